"""Twilio's error codes and what they mean, in answers and in status callbacks alike (docs; the classes are ours)."""

from collections.abc import Mapping
from typing import Final

from providers.provider import ErrorClass

CODES: Final[Mapping[ErrorClass, tuple[int, ...]]] = {
    "retry": (20500, 20503, 63009, 63010, 63012, 63017),
    "throttled": (20429, 21611, 30001, 63018),
    "credentials": (20003, 20005, 20006, 20404, 63001),
    "account": (
        21212,
        21603,
        21606,
        63007,
        63002,
        63008,
        63020,
        63022,
        63026,
        63038,
        63051,
        30002,
        *range(21701, 21706),
    ),
    "window_closed": (63016,),
    "recipient": (21211, 21408, 21608, 21614, 63003, 63015, 63024, 63031, 63032, 63033),
    "opted_out": (21610, 63014),
    "marketing": (63049,),
    "template": (21654, 21655, 21656, 63027, 63028, 63040, 63041, 63062),
    "media": (21623, 63019),
    "request": (
        21602,
        21617,
        21620,
        63005,
        63006,
        63013,
        63021,
        63030,
        63034,
        63037,
        30007,
        30008,
    ),
}
CLASSES: Final[Mapping[int, ErrorClass]] = {code: name for name, codes in CODES.items() for code in codes}


def classify(code: int, http_status: int) -> ErrorClass:
    """What an error means. code: 0 where there is none; http_status: 0 in a status callback."""
    if http_status == 429:
        return "throttled"
    found = CLASSES.get(code)
    if found is not None:
        return found
    return "credentials" if http_status in (401, 403) else "request"

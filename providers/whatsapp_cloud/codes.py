"""Meta's error codes and what they mean, in answers and in failed statuses alike (docs; the classes are ours).

The HTTP status varies: the code decides.
"""

from collections.abc import Mapping
from typing import Final

from providers.provider import ErrorClass

CODES: Final[Mapping[ErrorClass, tuple[int, ...]]] = {
    "retry": (1, 2, 131000, 131016, 131057, 133004),
    "throttled": (4, 80007, 130429, 131064, 133016),
    "recipient_throttled": (131056,),
    "credentials": (0, 3, 10, 33, 190, *range(200, 300), 131005, 133010),
    "account": (368, 131031, 131037, 131042, 131045, 131048),
    "window_closed": (131047,),
    "recipient": (130472, 130497, 131021, 131026, 131030, 131062, 137000),
    "opted_out": (131050,),
    "marketing": (131049,),
    "template": (
        131063,
        132000,
        132001,
        132005,
        132007,
        132008,
        132012,
        132015,
        132016,
        132018,
        132068,
        132069,
    ),
    "media": (131052, 131053),
    "request": (100, 131008, 131009, 131051, 135000),
}
LIMIT_OF_A_DAY: Final = 131064
"""A limit that counts a whole day: there is no use in asking every minute."""
CLASSES: Final[Mapping[int, ErrorClass]] = {code: name for name, codes in CODES.items() for code in codes}


def classify(code: int, http_status: int, *, transient: bool = False) -> ErrorClass:
    """What an error means. code: -1 where there is none; http_status: 0 in a status. transient: Meta says so."""
    found = CLASSES.get(code)
    if found is not None and not (transient and found == "request"):
        return found
    if transient or http_status >= 500 or http_status == 408:
        return "retry"
    if http_status == 429:
        return "throttled"
    return "credentials" if code < 0 and http_status in (401, 403) else "request"

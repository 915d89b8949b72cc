"""Reads what comes from outside: fields of JSON, and the contacts and numbers in them.

What is not as expected is None; only what an identity rests on raises RowError.
"""

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, TypeAlias

import orjson

from providers.provider import ANSWERS, THROTTLED, Answer, ErrorClass
from providers.rows import BadRow, BadRowReason
from schemas.contact import InvalidContact, canonical_number, contact_id, is_number
from schemas.effects import SendResult
from schemas.settings.phone import InvalidPhoneNumber

Json: TypeAlias = Mapping[str, object]

MAX_ROWS: Final = 1_000
"""Rows of one callback: each may become a record of the one transaction. A body with more is put aside whole."""

MAX_ID: Final = 256
MAX_DEPTH: Final = 64
"""How deep a notification's data may nest: it is written inside other records, and JSON writers give up past 200."""

MAX_INBOUND_TEXT: Final = 65_536
"""Characters that WhatsApp lets a customer write in one message."""

MAX_ERROR: Final = 1_024

MAX_LABEL: Final = 256
"""Characters of a name or label, and of a number that is written as text."""

_MAX_RETRY_AFTER_S: Final = 3_600
_EARLIEST: Final = 978_307_200  # 2001-01-01
_LATEST: Final = 4_133_980_800  # 2101-01-01


def text_of(part: Json, field: str, limit: int) -> str | None:
    text = string(part.get(field))
    return text if text is not None and len(text) <= limit else None


def clipped(value: object, limit: int) -> str | None:
    text = string(value)
    return text[:limit] if text is not None else None


def string(value: object) -> str | None:
    """Text that is not blank. An integer counts as its digits; a float doesn't: an id that became one lost digits."""
    if isinstance(value, str):
        return value if value and not value.isspace() else None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def part_of(part: Json, field: str) -> Json:
    value = part.get(field)
    return value if isinstance(value, dict) else {}


def instant(value: object) -> int | None:
    seconds = finite(value)
    return int(seconds) if seconds is not None and _EARLIEST <= seconds < _LATEST else None


def whole(value: object) -> int | None:
    number = finite(value)
    return int(number) if number is not None and number == int(number) and abs(number) < 2**63 else None


def finite(value: object) -> int | float | None:
    if isinstance(value, str) and len(value) <= MAX_LABEL:
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value


def deeper_than(limit: int, value: object) -> bool:
    level: list[object] = [value]
    for _ in range(limit):
        level = [child for parent in level for child in _children(parent)]
        if not level:
            return False
    return True


def _children(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


# --- answers to calls ----------------------------------------------------------------------------------------------


def object_in(body: bytes) -> Json:
    """The JSON object of an answer; an empty one where it is anything else."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def objects_in(part: Json, field: str) -> list[Json]:
    """The objects of a list; what is none is left out."""
    value = part.get(field)
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def word(part: Json, field: str) -> str:
    """A word in upper case; empty where there is none."""
    return (string(part.get(field)) or "").upper()


def retry_seconds(retry_after: str, now: datetime | None = None) -> float | None:
    """The seconds that a Retry-After header asks for, an hour at most. now: what an instant in it is compared with."""
    value = retry_after.strip()
    if value.isascii() and value.isdigit():
        return float(min(int(value), _MAX_RETRY_AFTER_S))
    if now is None:
        return None
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    # An instant without a zone is in UTC (RFC 9110).
    wait = (at if at.tzinfo else at.replace(tzinfo=UTC)) - now
    return min(max(wait.total_seconds(), 0.0), float(_MAX_RETRY_AFTER_S))


def error_result(meaning: ErrorClass, code: int, message: object, answer: Answer) -> SendResult:
    """How an attempt ended that was answered with an error of the class."""
    verdict = ANSWERS[meaning]
    return SendResult(
        answer=verdict,
        code=max(0, code),
        message=clipped(message, MAX_ERROR) or "",
        throttled=THROTTLED.get(meaning),
        retry_after_s=retry_seconds(answer.retry_after) if verdict == "retry" else None,
        http_status=answer.status,
    )


# --- rows of a callback --------------------------------------------------------------------------------------------


class RowError(Exception):
    """A row, or a whole body, that can't be used. detail: the field, never its value."""

    def __init__(self, reason: BadRowReason, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def bad_row(self, row: object, body: bytes) -> BadRow:
        """The row as it is put aside; the body where the row nests deeper than orjson writes."""
        try:
            return BadRow(self.reason, self.detail, orjson.dumps(row))
        except TypeError:
            return BadRow(self.reason, self.detail, body)


_ESCAPE: Final = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)


def decode_json(body: bytes) -> object:
    """The body's JSON, mended where that loses no message. Raises RowError."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    # Half an emoji, a stray byte, NaN or a control character must not cost the customers their messages: the standard
    # library's parser reads what orjson refuses. Numbers too big for 64 bits become floats, as orjson makes them.
    text = _ESCAPE.sub(lambda escape: r"\ufffd" if escape[1] else escape[0], body.decode("utf-8-sig", "replace"))
    try:
        return json.loads(text, strict=False, parse_constant=_no_number, parse_int=_integer, parse_float=_float)
    except (ValueError, RecursionError):
        raise RowError(BadRowReason.INVALID_JSON, "body") from None


def _no_number(_name: str) -> None:
    return None


def _integer(literal: str) -> int | float | None:
    if len(literal) > 20:
        return _float(literal)
    number = int(literal)
    return number if -(2**63) <= number < 2**64 else float(number)


def _float(literal: str) -> float | None:
    number = float(literal)
    return number if math.isfinite(number) else None


def identifier(part: Json, field: str) -> str | None:
    """An id that an identity rests on: refused where present but unusable. "0" means no id (EngageLab's OTP)."""
    value = part.get(field)
    if value is None or value == "" or value == "0" or (value == 0 and type(value) is int):
        return None
    return label(part, field)


def label(part: Json, field: str) -> str | None:
    """A short text; None where absent or blank. Raises RowError where it is anything else."""
    value = part.get(field)
    if value is None:
        return None
    found = string(value)
    if (found is None and not isinstance(value, str)) or (found is not None and len(found) > MAX_ID):
        raise RowError(BadRowReason.WRONG_TYPE, field)
    return found


def object_of(part: Json, field: str) -> Json:
    """An object; an empty one where absent. Raises RowError where it is anything else."""
    value = part.get(field)
    if value is not None and not isinstance(value, dict):
        raise RowError(BadRowReason.WRONG_TYPE, field)
    return value or {}


def contact_in(part: Json, field: str) -> str | None:
    """The contact that the field names, as contact_id gives it."""
    text = string(part.get(field))
    return contact_from(text) if text else None


def contact_from(text: str) -> str | None:
    """The contact that the text names, as contact_id gives it."""
    try:
        return contact_id(text)
    except InvalidContact:
        return None


def names_in(*found: str | None) -> tuple[str | None, str | None]:
    """Of the contacts that a row names, which are one customer's: a number where there is one, and a user id beside it.

    Without a number it is the user id, and nothing beside.
    """
    phone = next((one for one in found if one is not None and is_number(one)), None)
    user_id = next((one for one in found if one is not None and not is_number(one)), None)
    return (phone, user_id) if phone is not None else (user_id, None)


def number_from(text: str) -> str | None:
    """The canonical phone number in the text."""
    try:
        return canonical_number(text)
    except InvalidPhoneNumber:
        return None


def unusable_contact(part: Json, field: str) -> RowError:
    """Why the field names no contact: it is blank, or something else."""
    blank = part.get(field) is None or (isinstance(part[field], str) and string(part[field]) is None)
    return RowError(BadRowReason.MISSING_CONTACT if blank else BadRowReason.WRONG_TYPE, field)

"""Reads fields of JSON that comes from outside: what is not as expected is None, and nothing raises."""

import math
from collections.abc import Mapping
from typing import Final, TypeAlias

Json: TypeAlias = Mapping[str, object]

MAX_LABEL: Final = 256
"""Characters of a name or label, and of a number that is written as text."""

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

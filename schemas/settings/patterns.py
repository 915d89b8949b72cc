"""Regular expressions that people write into settings, bounded: none may hold up a partition."""

import re
import warnings
from functools import lru_cache
from re import _parser  # type: ignore[attr-defined, unused-ignore]  # typeshed leaves it out
from typing import Final

MAX_PATTERN: Final = 200
"""Characters of a pattern."""
MATCHED_TEXT: Final = 512
"""A pattern sees this many characters of a text."""
MAX_BACKTRACKS: Final = 1_000_000
"""Ways to try a text from one place: room for two wildcards (512 * 512), not for three or for one inside another."""


def pattern_matches(pattern: str, text: str) -> bool:
    """Whether a checked pattern is found anywhere in the first MATCHED_TEXT characters."""
    return _compiled(pattern).search(text[:MATCHED_TEXT]) is not None


@lru_cache(maxsize=2048)
def check_pattern(pattern: str) -> None:
    """Refuse a pattern that doesn't compile, or that could take very long on some text. Raises ValueError."""
    if len(pattern) > MAX_PATTERN:
        raise ValueError(f"a pattern must be at most {MAX_PATTERN} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a pattern whose meaning is going to change
            parsed = _parser.parse(pattern)
            _compiled(pattern)
    except (re.error, OverflowError, RecursionError, Warning) as exc:
        raise ValueError(f"is not a regular expression: {exc}") from None
    if _backtracks(parsed, last=True) > MAX_BACKTRACKS:
        raise ValueError(
            "could take very long on some texts: put no repetition inside another, and use {0,9} in place of * and +"
        )


@lru_cache(maxsize=2048)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _backtracks(parsed: _parser.SubPattern, *, last: bool) -> int:
    """In how many ways it can be tried at most, cut off above MAX_BACKTRACKS. last: nothing after it can fail."""
    ways = 1
    for index, (op, argument) in enumerate(parsed):
        last_here = last and index == len(parsed) - 1
        # BRANCH is (None, [alternatives]); any other node holds what is inside it among its arguments.
        if str(op) == "BRANCH":
            ways *= sum(_backtracks(part, last=last_here) for part in argument[1])
        else:
            inside = 1
            for part in argument if isinstance(argument, tuple) else (argument,):
                if isinstance(part, _parser.SubPattern):
                    inside *= _backtracks(part, last=last_here and str(op) == "SUBPATTERN")
            ways *= _repeated(inside, argument[0], argument[1], last_here) if str(op).endswith("REPEAT") else inside
        ways = min(ways, MAX_BACKTRACKS + 1)
    return ways


def _repeated(inside: int, least: int, most: int, last: bool) -> int:
    least, most = min(least, MATCHED_TEXT), min(most, MATCHED_TEXT)
    if inside == 1:
        return 1 if last else most - least + 1
    ways: int = sum(inside**times for times in range(least, most + 1))
    return min(ways, MAX_BACKTRACKS + 1)

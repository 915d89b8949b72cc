"""Words as the search index knows them: the same folding for what is indexed and for what is asked."""

import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final

MAX_WORD: Final = 64
"""Characters of a word that count."""
MAX_WORDS: Final = 4_000
"""Words of a text that are indexed."""
MAX_FORM: Final = 20
"""Characters of a word that is one of a language, and no id."""
MAX_QUERY: Final = 16
"""Words of a query that count."""
_SHORTEST_PART: Final = 4
"""Digits of the shortest end of a number that it is found by."""


def fold(text: str) -> Iterator[str]:
    """The words of a text, in order: letters and digits alone, without case, accents or other marks.

    A character of a script without spaces is a word of its own.
    """
    if text.isascii():
        cleaned = "".join(map(_ASCII.__getitem__, map(ord, text)))
    else:
        cleaned = "".join(map(_folded, unicodedata.normalize("NFKD", text.casefold()).casefold()))
    for word in cleaned.split():
        yield word[:MAX_WORD]


def words_of(*texts: str | None) -> str:
    """Each different word of some texts, separated by blanks."""
    found = dict.fromkeys(word for text in texts if text for word in fold(text))
    return " ".join(list(found)[:MAX_WORDS])


def joined(*groups: Iterable[str]) -> str:
    """Each different word of some groups of words, separated by blanks."""
    return " ".join(dict.fromkeys(word for group in groups for word in group))


def id_word(id: str) -> str:
    """An id, a customer's number too, as one word."""
    return "".join(fold(id))[:MAX_WORD]


def number_words(number: str) -> Iterator[str]:
    """A number, and every end of it, so that it is found by any part of it."""
    digits = id_word(number)
    yield digits
    if digits.isdigit():
        yield from (digits[start:] for start in range(1, len(digits) - _SHORTEST_PART + 1))


def queried(text: str) -> list[list[str]]:
    """What a query asks for: every item, which is met by all of its words, or by these written as one.

    Words are met by what begins with them.
    """
    items = [list(fold(part)) for part in text.split()]
    return [item for item in items if item][:MAX_QUERY]


_ASCII: Final = [chr(code).lower() if chr(code).isalnum() else " " for code in range(128)]


@lru_cache(maxsize=20_000)
def _folded(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Mn":
        return ""
    if category[0] not in "LN":
        return " "
    return f" {character} " if _stands_alone(character) else character


def _stands_alone(character: str) -> bool:
    """Han, Kana, Thai, Lao, Khmer and Burmese: written without spaces between words."""
    code = ord(character)
    return (
        0x4E00 <= code <= 0x9FFF
        or 0x3400 <= code <= 0x4DBF
        or 0x20000 <= code <= 0x3FFFF
        or 0x3040 <= code <= 0x30FF
        or 0x0E00 <= code <= 0x0EFF
        or 0x1780 <= code <= 0x17FF
        or 0x1000 <= code <= 0x109F
    )

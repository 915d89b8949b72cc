"""What a text is found by, in any language: the four-letter parts of its words, without case and accents."""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

SIZE: Final = 4
_HAN_OR_KANA: Final = re.compile(r"[぀-ヿ㐀-䶿一-鿿豈-﫿\U00020000-\U0003FFFF]+")
_SAME: Final = {"ة": "ه", "ى": "ي", "ی": "ي", "ک": "ك", "ـ": ""}
"""Letters of Arabic and Persian that people write for one another; the last one only stretches a word."""


class _Folding(dict[int, str]):
    """Each character as it counts: nothing for an accent, a blank for what is neither letter nor digit."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        category = unicodedata.category(character)
        folded = _SAME.get(character, character)
        self[code] = folded if category[0] in "LN" else "" if category == "Mn" else " "
        return self[code]


_FOLDING: Final = _Folding()


def grams(*texts: str) -> list[str]:
    """The parts of the words of some texts, as often as they are there. A word's ends count as a letter, `_`.

    Han and Kana, written without spaces, are cut into single characters and pairs of them.
    """
    found: list[str] = []
    for text in texts:
        folded = unicodedata.normalize("NFKD", text.casefold()).casefold()
        for word in folded.translate(_FOLDING).split():
            found += _of_word(word)
    return found


@lru_cache(maxsize=50_000)
def _of_word(word: str) -> tuple[str, ...]:
    if not word.isascii() and _HAN_OR_KANA.search(word):
        return tuple(_of_run(word))
    return _parts(word)


def _of_run(word: str) -> Iterator[str]:
    for part in re.split(f"({_HAN_OR_KANA.pattern})", word):
        if _HAN_OR_KANA.fullmatch(part):
            yield from part
            yield from (part[start : start + 2] for start in range(len(part) - 1))
        elif part:
            yield from _parts(part)


def _parts(word: str) -> tuple[str, ...]:
    ended = f"_{word}_"
    return tuple(ended[start : start + SIZE] for start in range(max(1, len(ended) - SIZE + 1)))

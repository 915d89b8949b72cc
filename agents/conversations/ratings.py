"""Reads a customer's answer to a survey: a rating of 1 to 5, and the comment that may come with it.

A rating is the whole message: a digit of any script or a keycap, `4/5`, `4 out of 5`, `4 stars`, as many stars, or the
number's word. Case, invisible characters, blanks, marks and emoji around it don't matter. A digit, a separator and
words are a rating with a comment: "5, very kind". A message that quotes the survey needs no separator: "5 so kind".
"""

import re
import unicodedata
from collections.abc import Iterator
from typing import Final, NamedTuple

_WORDS: Final = {
    word: rating
    for rating, words in enumerate(
        (
            "one uno una un une um uma eins ein één een bir satu один واحد एक 一 壱 いち 하나",
            "two dos deux dois duas zwei due twee iki dua два две اثنان اثنين दो 二 两 に 둘",
            "three tres trois três drei tre drie üç tiga три ثلاثة तीन 三 さん 셋",
            "four cuatro quatre quatro vier quattro dört empat четыре أربعة اربعة चार 四 よん 넷",
            "five cinco cinq fünf cinque vijf beş пять خمسة पांच पाँच 五 ご 다섯",
        ),
        start=1,
    )
    for word in words.split()
}
"""Numbers in the languages that surveys are offered in. Not Indonesian 5, which is a city in others."""

_OF_FIVE: Final = r"(?:\s*/\s*5|\s+(?:out\s+of|of|de|von|sur|su|van|из)\s+5)?"
_STARS_WORD: Final = (
    r"(?:\s*(?:\*|stars?|estrellas?|étoiles?|estrelas?|sterne?n?|stelle|stella|sterren|yıldız|bintang|"
    r"звезд[аы]?|звёзд[аы]?|نجوم|نجمة|सितारे|星|つ星|점|분))?"
)
_DIGIT: Final = re.compile(rf"([0-9]+){_OF_FIVE}{_STARS_WORD}(?![0-9])", re.IGNORECASE)
_STARS: Final = re.compile(r"(?=[⭐★🌟☆]{1,5}$)([⭐★🌟]{1,5})☆*")
_SEPARATOR: Final = re.compile(r"\s*(?:[,;:.!…](?=\s)|[,;!…](?=[^\W\d])|\s[-–—](?=\s)|[–—](?=\s)|\n)[\s,;:.!…–—-]*")
_OPENING: Final = "([{\"'“”«*~"
_INVISIBLE: Final = frozenset({"Cf", "Me"})
_FILLERS: Final = frozenset("\u034f\u115f\u1160\u3164\uffa0")
_UNFIT: Final = frozenset("/?%°#@+=<>&¿？٪")
"""Marks that make a number something else than a rating: a question, an amount."""


class Answer(NamedTuple):
    """An answer to a survey."""

    rating: int
    comment: str | None = None


def read_answer(text: str, *, quotes_survey: bool = False) -> Answer | None:
    """The rating of a message, and its comment; None: it is no answer."""
    plain = _plain(text)
    return _stars(plain) or _word(plain) or _digit(plain, text, quotes_survey=quotes_survey)


def _plain(text: str) -> str:
    """The text as it is seen: without what shows nothing, digits of every script as 0 to 9."""
    return "".join(_visible(unicodedata.normalize("NFC", text))).strip()


def _visible(text: str) -> Iterator[str]:
    for character in text:
        if unicodedata.category(character) in _INVISIBLE or character in _FILLERS or _is_selector(character):
            continue
        digit = unicodedata.decimal(character, None)
        yield character.replace("／", "/").replace("⁄", "/") if digit is None else str(digit)


def _is_selector(character: str) -> bool:
    return "\ufe00" <= character <= "\ufe0f" or "\U0001f3fb" <= character <= "\U0001f3ff"


def _stars(plain: str) -> Answer | None:
    stars = _STARS.fullmatch("".join(plain.split()))
    return None if stars is None else Answer(len(stars[1]))


def _word(plain: str) -> Answer | None:
    words = "".join(one if one.isalpha() or unicodedata.category(one)[0] == "M" else " " for one in plain)
    first, *rest = words.casefold().split() or [""]
    if plain[-1:] in _UNFIT or first not in _WORDS or any(character.isdigit() for character in plain):
        return None
    unit = re.fullmatch(_STARS_WORD, " " + " ".join(rest), re.IGNORECASE) if rest else True
    return Answer(_WORDS[first]) if unit else None


def _digit(plain: str, text: str, *, quotes_survey: bool) -> Answer | None:
    begun = plain.lstrip(_OPENING).lstrip()
    found = _DIGIT.match(begun)
    if found is None or found[1] not in ("1", "2", "3", "4", "5"):
        return None
    rating, rest = int(found[1]), begun[found.end() :]
    if not any(character.isalnum() for character in rest):
        return Answer(rating) if not _changes_meaning(rest) else None
    separator = _SEPARATOR.match(rest)
    if separator is None and not (quotes_survey and rest[0].isspace()):
        return None
    comment = rest[separator.end() if separator else 0 :].strip()
    if not any(character.isalpha() for character in comment):
        return None
    # As the customer wrote it, where nothing had to be left out.
    return Answer(rating, text.strip()[-len(comment) :] if text.strip().endswith(comment) else comment)


def _changes_meaning(rest: str) -> bool:
    return any(one in _UNFIT or unicodedata.category(one) == "Sc" for one in rest)

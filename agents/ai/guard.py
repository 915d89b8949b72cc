"""What an answer may hold: links and numbers that stand in a source, and marks of the sources that it rests on."""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import unquote, urlsplit

from agents.ai.whatsapp import LINK, link_end

_MARK: Final = re.compile(r"[ \t]*[\[【](\d{1,3}(?:[ ,;]+\d{1,3})*)(?:†[^\]】]*)?[\]】]")
"""How an answer names its sources: [1], [1, 2], and as some models write it by themselves."""
_MAIL: Final = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_DOMAIN: Final = re.compile(
    r"(?<![\w@./-])(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)+"
    r"(?:(?:(?i:com|net|org|info|biz|app|dev|shop|store|online|site|example|test)|(?!js|ts)[a-z]{2}|[A-Z]{2})(?![\w-])"
    r"(?:/[^\s<>\"`\[\]]*)?|[A-Za-z]{2,24}/[^\s<>\"`\[\]]*)"
)
"""An address without https://: WhatsApp makes a link of it all the same."""
_DATE: Final = re.compile(r"\d{4}-\d{1,2}-\d{1,2}|\d{1,2}[./]\d{1,2}[./]\d{4}")
_NUMBER: Final = re.compile(r"(?<![\w.])(?:\+|00)?[(]?\d(?:[ \u00a0\u202f().\-–/]{0,3}\d){5,20}(?![\w])")
_LEAST_DIGITS: Final = 7
"""Of a phone number: shorter ones are prices and amounts."""
_SENTENCE: Final = re.compile(r"((?<=[.!?…])\s+|(?<=[.!?…][*_~\"'”’»)])\s+|(?<=[。！？]))")


def citations(text: str, sources: int) -> tuple[str, list[int]]:
    """The text without marks of sources, and the numbers of the sources, from 1, that it names."""
    named: list[int] = []

    def taken(found: re.Match[str]) -> str:
        numbers = [int(number) for number in re.findall(r"\d+", found[1])]
        if not any(1 <= number <= sources for number in numbers):
            return found[0] if sources == 0 else ""
        named.extend(number for number in numbers if 1 <= number <= sources and number not in named)
        return ""

    return _MARK.sub(taken, text).strip(), named


class Known:
    """The links, addresses and numbers that stand in what an answer may rest on."""

    def __init__(self, texts: Iterable[str]) -> None:
        whole = [_folded(text) for text in texts if text]
        self._links = {link for text in whole for _, link in _links(text)}
        self._numbers = {number for text in whole for number in _all_numbers(text)}

    def unknown(self, text: str) -> list[str]:
        """What stands in the text and in none of them, as it stands there."""
        text = _folded(text)
        spans = list(_links(text))
        links = [span for span, link in spans if link not in self._links]
        for span, _ in spans:
            text = text.replace(span, " ")
        return links + [number for number in _numbers(text) if not self._has(_digits(number))]

    def _has(self, digits: str) -> bool:
        return any(known == digits or known.endswith(digits.lstrip("0")) for known in self._numbers)


def without_unknown(text: str, known: Known) -> str:
    """The text without the sentences that hold an unknown link or number."""
    lines: list[str] = []
    for line in text.split("\n"):
        parts = [*_SENTENCE.split(line), ""]
        sentences = zip(parts[::2], parts[1::2], strict=True)
        kept = "".join(f"{sentence}{blank}" for sentence, blank in sentences if not known.unknown(sentence)).rstrip()
        if kept or not line.strip():
            lines.append(kept)
    cleaned = "\n".join(lines).strip()
    # What was cut may have stood between two halves of a number.
    return "" if known.unknown(cleaned) else cleaned


def _folded(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text)
    return "".join(char for char in folded if unicodedata.category(char) != "Cf")


def _links(text: str) -> Iterator[tuple[str, str]]:
    """Links and mail addresses: as they stand in the text, and as they are compared."""
    for found in LINK.finditer(text):
        span = found[0][: link_end(found)]
        yield span, _compared(span)
    rest = LINK.sub(" ", text)
    for found in _MAIL.finditer(rest):
        span = found[0].rstrip(".")
        yield span, span.casefold()
    for found in _DOMAIN.finditer(_MAIL.sub(" ", rest)):
        span = found[0][: link_end(found)]
        yield span, _compared(span)


def _compared(link: str) -> str:
    """The same for two links to the same: whatever the scheme's and host's case, www. and a slash at the end."""
    try:
        parts = urlsplit(link if "://" in link else f"https://{link}")
    except ValueError:
        return link
    host = parts.netloc.casefold().removeprefix("www.")
    scheme = "" if parts.scheme in ("http", "https") else f"{parts.scheme}://"
    query = f"?{parts.query}" if parts.query else ""
    return f"{scheme}{host}{unquote(parts.path).rstrip('/')}{query}"


def _numbers(text: str) -> Iterator[str]:
    for found in _NUMBER.finditer(_DATE.sub(" ", text)):
        if len(_digits(found[0])) >= _LEAST_DIGITS:
            yield found[0]


def _all_numbers(text: str) -> Iterator[str]:
    """Every number of a source, also where it stands in a word, a link or a date."""
    for found in re.finditer(r"\d(?:[ \u00a0\u202f().\-–/]{0,3}\d){5,}", text):
        yield _digits(found[0])
    for found in re.finditer(r"\d{6,}", text):
        yield _digits(found[0])


def _digits(number: str) -> str:
    digits = "".join(str(unicodedata.decimal(char)) for char in number if char.isdecimal())
    return digits.removeprefix("00")

"""Cutting a document into passages: at its headings, then at paragraphs, sentences and words."""

import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

LENGTH: Final = 1_000
"""Characters of a passage, without the headings above it."""
MAX_HEADING: Final = 200
"""Characters of the headings above a passage that are kept."""
_SENTENCES: Final = re.compile(r"(?<=[.!?…؟۔])[\"'”’»)\]]*\s+|(?<=[。！？；])")
_WORDS: Final = re.compile(r"(?<=\s)|(?<=[，、])")


class Block(NamedTuple):
    """A heading (level 1 to 6) or a paragraph (level 0) of a document."""

    level: int
    text: str


def cut(blocks: Iterable[Block]) -> list[str]:
    """The passages of a document, in order; each begins with the headings that it stands under, in one line."""
    passages: list[str] = []
    for path, paragraphs in _sections(blocks):
        texts = list(_packed(paragraphs))
        passages += [f"{path}\n{text}" if path else text for text in texts]
        # A heading with nothing below it may say all that there is to say.
        passages += [path] if path and not texts else []
    return passages


def _sections(blocks: Iterable[Block]) -> Iterator[tuple[str, list[str]]]:
    """Each heading's own paragraphs. One that has only further headings below it is left to these."""
    path: list[Block] = []
    paragraphs: list[str] = []
    for block in blocks:
        if not block.level:
            paragraphs.append(block.text)
            continue
        if paragraphs or (path and block.level <= path[-1].level):
            yield _line(path), paragraphs
        path = [one for one in path if one.level < block.level] + [block]
        paragraphs = []
    if paragraphs or path:
        yield _line(path), paragraphs


def _line(path: list[Block]) -> str:
    return " › ".join(" ".join(one.text.split()) for one in path)[-MAX_HEADING:].lstrip(" ›")


def _packed(paragraphs: Iterable[str]) -> Iterator[str]:
    held = ""
    for paragraph in paragraphs:
        for part in _parts(paragraph):
            if held and len(held) + 2 + len(part) > LENGTH:
                yield held
                held = ""
            held = f"{held}\n\n{part}" if held else part
    if held:
        yield held


def _parts(text: str) -> Iterator[str]:
    """A paragraph in parts that are no longer than a passage: whole sentences where these are short enough."""
    if len(text) <= LENGTH:
        yield from ([text] if text.strip() else [])
        return
    held = ""
    for piece in _pieces(text):
        if held and len((held + piece).rstrip()) > LENGTH:
            yield held.strip()
            held = ""
        held += piece
    if held.strip():
        yield held.strip()


def _pieces(text: str) -> Iterator[str]:
    for sentence in _split(_SENTENCES, text):
        if len(sentence) <= LENGTH:
            yield sentence
            continue
        for word in _split(_WORDS, sentence):
            yield from (word[start : start + LENGTH] for start in range(0, len(word), LENGTH))


def _split(pattern: re.Pattern[str], text: str) -> Iterator[str]:
    start = 0
    for found in pattern.finditer(text):
        if found.end() > start:
            yield text[start : found.end()]
            start = found.end()
    if start < len(text):
        yield text[start:]

"""Text of a document: told from bytes, and normalised."""

import re
import unicodedata
from typing import Final

from charset_normalizer import from_bytes

_BOMS: Final = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_JOINERS: Final = "\u200c\u200d"
"""They are seen: in Persian, in Indic scripts and in emoji."""
_DETECT_BY: Final = 64 << 10
"""Bytes by which an encoding is told."""
_HIDDEN: Final = {"Cc", "Cf", "Cs", "Co"}


class Unreadable(Exception):
    """The document can't be used. Its message is for people, and says what to do."""


def decoded(data: bytes) -> str:
    """The text in some bytes: by its mark, as UTF-8, or in the encoding that fits best. Raises Unreadable."""
    encoding = next((name for mark, name in _BOMS if data.startswith(mark)), "utf-8")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        pass
    # A part is enough to tell it by, and what no text holds is in no text of any encoding.
    best = None if looks_binary(data) else from_bytes(data[:_DETECT_BY]).best()
    if best is None:
        raise Unreadable("it is no text in any encoding known here: save it as UTF-8, or as PDF or docx")
    return data.decode(best.encoding, "replace")


def looks_binary(data: bytes) -> bool:
    """Whether it holds what no text without a mark does."""
    start = data[:_DETECT_BY]
    if any(data.startswith(mark) for mark, _ in _BOMS):
        return False
    return b"\0" in start or sum(byte < 32 and byte not in b"\t\n\f\r\x1b" for byte in start) * 50 > len(start)


def cleaned(text: str) -> str:
    """The text in NFKC, which takes ligatures apart, without what is not seen; with blanks where there are many."""
    text = unicodedata.normalize("NFKC", text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n\n"))
    if not text.isascii() or not text.isprintable():
        text = "".join(map(_seen, text))
    text = re.sub(r"[^\S\n]+", " ", text)
    return re.sub(r" ?\n ?", "\n", text).strip()


def _seen(character: str) -> str:
    if character in "\n\t" or character in _JOINERS:
        return character
    category = unicodedata.category(character)
    if category in ("Zl", "Zp"):
        return "\n"
    return "" if category in _HIDDEN else character

"""A text that is too long for one message, cut into parts."""

import re
import unicodedata
from collections.abc import Sequence
from itertools import takewhile
from typing import Final

_EARLIER: Final = "~"
"""In the id of each part of a message but the last, which has the message's own: so its status is the last part's."""
_BOUNDARIES: Final = (
    re.compile(r"\n\s*\n"),
    re.compile(r"\n"),
    re.compile(r"(?<=[.!?…])\s|(?<=[.!?…][\"'”’»)\]*_])\s|(?<=[。！？])"),
    re.compile(r"\s"),
)
"""Where a text is best cut: between paragraphs, lines, sentences, words."""
_LEAST: Final = 4
"""Of what fits a part has this fraction at least, where a lesser boundary allows it."""
_LINK: Final = re.compile(r"(?:https?://|www\.)[!-~]+", re.IGNORECASE)
_JOINER: Final = "\u200d"
_MARKS: Final = frozenset({"Mn", "Mc", "Me"})
_JOINED: Final = re.compile("[\u0e33\u0eb3\u1160-\u11ff\ud7b0-\ud7ff\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]")
"""Thai and Lao am, Hangul's vowels and finals, skin tones, tags: they belong to what is before, as marks do."""
_HANGUL: Final = re.compile("[\u1100-\u115f\ua960-\ua97f][\u1100-\u115f\ua960-\ua97f\uac00-\ud7a3]")
_FLAG: Final = re.compile("[\U0001f1e6-\U0001f1ff]+$")
"""Letters of flags, which come in pairs."""
_VIRAMA: Final = 9


def split_text(text: str, limit: int) -> list[str]:
    """The text in parts of at most `limit` characters, in order, without the blanks at the cuts.

    No cut is inside a link, or a character that several code points make, unless that alone is longer than a part.
    """
    parts: list[str] = []
    while len(text) > limit:
        cut = _cut(text, limit)
        parts.append(text[:cut].rstrip())
        text = text[cut:].lstrip()
    return [part for part in (*parts, text) if part.strip()]


def earlier_part(message_id: str, number: int) -> str:
    """The id of a part of the message before its last one."""
    return f"{message_id}{_EARLIER}{number}"


def is_earlier_part(message_id: str) -> bool:
    """Whether the id is that of a part before a message's last one."""
    return _EARLIER in message_id


def _cut(text: str, limit: int) -> int:
    for boundary in _BOUNDARIES:
        found = [match.start() for match in boundary.finditer(text[: limit + 1])]
        if found and limit // _LEAST <= found[-1] <= limit:
            return found[-1]
    links = [match.span() for match in takewhile(lambda match: match.start() < limit, _LINK.finditer(text))]
    whole = [cut for cut in range(limit, 0, -1) if _is_between(text, cut)]
    return next((cut for cut in whole if not _is_inside(links, cut)), whole[0] if whole else limit)


def _is_inside(spans: Sequence[tuple[int, int]], cut: int) -> bool:
    return any(start < cut < end for start, end in spans)


def _is_between(text: str, cut: int) -> bool:
    """Whether one character ends there and the next begins: the rules of Unicode (annex 29), but for rare ones."""
    before, after = text[cut - 1], text[cut]
    if after == _JOINER or before == _JOINER or _JOINED.match(after) or unicodedata.category(after) in _MARKS:
        return False
    if unicodedata.combining(before) == _VIRAMA or _HANGUL.match(before + after):
        return False
    flag = _FLAG.search(text[max(cut - 64, 0) : cut])
    return flag is None or not _FLAG.match(after) or len(flag[0]) % 2 == 0

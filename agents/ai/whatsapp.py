"""What a model writes, as WhatsApp shows it: Markdown becomes the little that WhatsApp has; links stay whole."""

import re
from collections.abc import Callable
from typing import Final

_INVISIBLE: Final = re.compile("[\u200b\u2060\ufeff\u00ad\ue000-\uf8ff]")
"""Also the private characters that stand for what is kept as it is."""
_FENCE: Final = re.compile(r"```[ \t]*[\w+-]*[ \t]*\n?(.*?)```", re.DOTALL)
_CODE: Final = re.compile(r"`[^`\n]+`")
_TARGET: Final = r"(?:https?://|www\.|mailto:|tel:)(?:[^\s()<>]|\([^\s()<>]*\))+"
_LINK: Final = re.compile(rf"!?\[([^\]\n]*)\]\(\s*<?({_TARGET})>?(?:\s+[\"'][^\n]*?[\"'])?\s*\)", re.IGNORECASE)
_AUTOLINK: Final = re.compile(rf"<({_TARGET})>", re.IGNORECASE)
LINK: Final = re.compile(r"(?:[a-z][a-z0-9+.-]*://|www\.)[^\s<>\"`\[\]\ue000-\uf8ff]+", re.IGNORECASE)
"""A link as it stands in a text, with what may follow it."""
_AFTER: Final = ".,;:!?…*~'’”)_。，！？、）"
_HEADING: Final = re.compile(r"^[ \t]{0,3}#{1,6}[ \t]+(.+?)[ \t]*#*[ \t]*$", re.MULTILINE)
_RULE: Final = re.compile(r"^[ \t]*(?:(?:-[ \t]*){3,}|(?:\*[ \t]*){3,}|(?:_[ \t]*){3,})$\n?", re.MULTILINE)
_TABLE_RULE: Final = re.compile(r"^[ \t|]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)+\|?[ \t]*$\n?", re.MULTILINE)
_BULLET: Final = re.compile(r"^([ \t]*)[*+][ \t]+(?=\S)", re.MULTILINE)
_BOLD: Final = re.compile(r"(?<![A-Za-z0-9*])\*\*\*?(?=[^\s*])(.+?)(?<=[^\s*])\*?\*\*(?![A-Za-z0-9*])")
_UNDERLINED: Final = re.compile(r"(?<![\w])__(?=\S)(.+?)(?<=\S)__(?![\w])")
_IDENTIFIER: Final = re.compile(r"[a-z0-9_]+")
_STRUCK: Final = re.compile(r"~~(?=\S)(.+?)(?<=\S)~~")
_STRAY: Final = re.compile(r"(?<![A-Za-z0-9*])\*\*(?=[^\s*])|(?<=[^\s*])\*\*(?![A-Za-z0-9*])")
_BREAK: Final = re.compile(r"<br\s*/?>", re.IGNORECASE)
_KEPT: Final = re.compile("[\ue000-\uf8ff]")
_FIRST: Final = 0xE000
_MOST: Final = 0xF8FF - _FIRST


def to_whatsapp(text: str) -> str:
    """The text without Markdown that WhatsApp does not show. Code and links are left as they are."""
    kept: list[str] = []

    def keep(part: str) -> str:
        if len(kept) > _MOST:
            return part
        kept.append(part)
        return chr(_FIRST + len(kept) - 1)

    text = _INVISIBLE.sub("", text)
    text = _FENCE.sub(lambda found: keep(f"```{found[1].rstrip()}```"), text)
    text = _CODE.sub(lambda found: keep(found[0]), text)
    text = _LINK.sub(lambda found: _labelled(found[1], keep(found[2]), found[2]), text)
    text = _AUTOLINK.sub(lambda found: keep(found[1]), text)
    text = LINK.sub(lambda found: _bare(found, keep), text)
    text = _HEADING.sub(lambda found: _bold(found[1].replace("**", "")), text)
    text = _BREAK.sub("\n", _TABLE_RULE.sub("", _RULE.sub("", text)))
    text = _BULLET.sub(r"\1- ", text)
    text = _BOLD.sub(lambda found: _bold(found[1]), text)
    text = _UNDERLINED.sub(lambda found: found[0] if _IDENTIFIER.fullmatch(found[1]) else _bold(found[1]), text)
    text = _STRAY.sub("", _STRUCK.sub(r"~\1~", text))
    return _KEPT.sub(lambda found: kept[ord(found[0]) - _FIRST], text).strip()


def link_end(found: re.Match[str]) -> int:
    """How long a link is that was found in a text: what closes the sentence or a bracket around it is not its own."""
    link, is_italic = found[0], found.string[: found.start()].endswith("_")
    end = len(link)
    while end and link[end - 1] in _AFTER:
        if link[end - 1] == ")" and link.count("(", 0, end) >= link.count(")", 0, end):
            break
        if link[end - 1] == "_" and not is_italic and not link[:end].endswith("__"):
            break
        end -= 1
    return end


def _bare(found: re.Match[str], keep: Callable[[str], str]) -> str:
    end = link_end(found)
    return keep(found[0][:end]) + found[0][end:]


def _labelled(label: str, kept: str, target: str) -> str:
    label = label.strip().strip("*_")
    return kept if not label or _plain(label) == _plain(target) else f"{label}: {kept}"


def _plain(target: str) -> str:
    return re.sub(r"^(?:https?://|mailto:|tel:)", "", target.casefold()).rstrip("/")


def _bold(text: str) -> str:
    # A mark beside a link would become a part of it.
    return text if _KEPT.search(text) else f"*{text.strip()}*"

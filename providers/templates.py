"""What fills a template: in Meta's components, which EngageLab takes as well (docs, confirmed), or as variables."""

import re
from collections.abc import Callable, Iterator
from typing import Final

from pydantic import JsonValue

from schemas.events.content import Attachment
from schemas.events.template import Template, TemplateHeader

_BLANKS: Final = re.compile(r"\s+")
_BREAKS: Final = frozenset("\t\n\r\v\f\x85\u2028\u2029")
_MAX_BLANKS: Final = 3
"""Meta refuses a parameter with a line break, a tab or more than four blanks in a row: 132018 (docs, confirmed)."""

Written = dict[str, JsonValue]


def parameter(text: str, field: str) -> str:
    """The text as it goes into a template: each run of line breaks, tabs or many blanks is one blank.

    Raises ValueError where nothing is left, naming the field.
    """
    if not text.strip():
        raise ValueError(f"{field}: empty")
    return _BLANKS.sub(_narrowed, text)


def _narrowed(blanks: re.Match[str]) -> str:
    return " " if len(blanks[0]) > _MAX_BLANKS or not _BREAKS.isdisjoint(blanks[0]) else blanks[0]


def variables(template: Template) -> dict[str, str]:
    """What fills the body, by number or by name. Raises ValueError."""
    numbered = {
        str(number): parameter(text, f"parameters[{number - 1}]")
        for number, text in enumerate(template.parameters, start=1)
    }
    return numbered | {name: parameter(text, f"named.{name}") for name, text in template.named.items()}


def components(template: Template, write_file: Callable[[Attachment], Written]) -> list[JsonValue]:
    """What fills it, as Meta's components. write_file: a header's file, as the provider has it. Raises ValueError."""
    return list(_components(template, write_file))


def _components(template: Template, write_file: Callable[[Attachment], Written]) -> Iterator[JsonValue]:
    if template.header is not None:
        yield {"type": "header", "parameters": [_header(template.header, write_file)]}
    filled = variables(template)
    if filled:
        texts: list[JsonValue] = [
            _text(text, name if name in template.named else None) for name, text in filled.items()
        ]
        yield {"type": "body", "parameters": texts}
    for button in template.buttons:
        field = f"buttons[{button.index}]"
        shown: Written = _text(parameter(button.text, field))
        if button.kind == "quick_reply":
            shown = {"type": "payload", "payload": button.text}
        yield {"type": "button", "sub_type": button.kind, "index": str(button.index), "parameters": [shown]}


def _header(header: TemplateHeader, write_file: Callable[[Attachment], Written]) -> Written:
    if header.media is None:
        return _text(parameter(header.text or "", "header.text"), header.name)
    kind = header.media.kind
    return {"type": kind, kind: write_file(header.media)}


def _text(text: str, name: str | None = None) -> Written:
    return {"type": "text", **({} if name is None else {"parameter_name": name}), "text": text}

"""Reads YAML and JSON files: the channels file, and whatever else people write by hand."""

import json
import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from deploy.errors import LiveDeskError
from schemas.settings.channels_file import ChannelsFile, parse_channels_file
from schemas.settings.errors import InvalidSettings

_HINT = "docs/channels.example.yaml shows every setting."


def load_channels_file(path: Path) -> ChannelsFile:
    """Read and check a channels file (YAML; JSON by its suffix). Raises LiveDeskError."""
    try:
        return parse_channels_file(read_data(path))
    except InvalidSettings as exc:
        wrong = "".join(f"\n  {error}" for error in exc.errors)
        raise LiveDeskError(f"{path} has settings that can't be used:{wrong}", hint=_HINT) from None


def read_data(path: Path) -> object:
    """Read a YAML or, by its suffix, JSON file into plain data. Raises LiveDeskError: where it is broken."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as exc:
        raise LiveDeskError(f"{path} can't be read: {exc.strerror}") from None
    except UnicodeDecodeError as exc:
        raise LiveDeskError(f"{path} is not UTF-8 text (byte {exc.start})") from None
    return parse_data(text, source=str(path), is_json=path.suffix.lower() == ".json")


def parse_data(text: str, *, source: str, is_json: bool = False) -> object:
    """Read YAML or JSON text; `source` names it in errors. Raises LiveDeskError."""
    data: object
    try:
        # YAML's parser refuses JSON that is indented with tabs.
        data = json.loads(text) if is_json else yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except json.JSONDecodeError as exc:
        raise LiveDeskError(f"{source}, line {exc.lineno}: not valid JSON: {exc.msg}") from None
    except yaml.MarkedYAMLError as exc:
        line = f", line {exc.problem_mark.line + 1}" if exc.problem_mark else ""
        raise LiveDeskError(f"{source}{line}: not valid YAML: {exc.problem or exc.context}") from None
    except yaml.reader.ReaderError as exc:
        line_number = text.count("\n", 0, int(exc.position)) + 1
        raise LiveDeskError(f"{source}, line {line_number}: not valid YAML: a control character") from None
    return data


class _Loader(yaml.SafeLoader):
    """YAML 1.2's idea of plain values, and no key twice.

    YAML 1.1 reads 17:00 as 1020, 2026-05-25 as a date, +34600000001 as a number and the language `no` as false.
    """

    yaml_implicit_resolvers = {}

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} is there twice", key.start_mark)
            if isinstance(key, yaml.ScalarNode):
                seen.add(key.value)
        return super().construct_mapping(node, deep)


for _tag, _form, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"-?(?:0|[1-9][0-9]*)", list("-0123456789")),
    ("float", r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+(?:[eE][-+]?[0-9]+)?|[eE][-+]?[0-9]+)", list("-0123456789")),
    ("merge", r"<<", ["<"]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_form})$"), _first)

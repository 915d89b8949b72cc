"""What commands ask for and let people edit: settings as questions and as text."""

import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

import click
import typer
import yaml

from cli.api_client import Json
from deploy.channels_file import parse_data, read_data
from deploy.errors import LiveDeskError


def asked(
    what: str, given: str | None, prompt: str, how: str, *, hidden: bool = False, default: str | None = None
) -> str:
    """What was given, else the answer at the terminal. how: to give it without one. Raises LiveDeskError."""
    if given is not None:
        return given
    if not sys.stdin.isatty():
        raise LiveDeskError(f"{what} is missing, and there is no terminal to ask at.", f"Give it by {how}.")
    answer: str = typer.prompt(prompt, hide_input=hidden, default=default, show_default=bool(default))
    return answer.strip()


def secret_of(path: str | Path, what: str) -> str:
    """The secret that a file holds. Raises LiveDeskError."""
    try:
        return Path(path).read_text().strip()
    except OSError as error:
        raise LiveDeskError(f"The file for {what} can't be read: {error.strerror}.") from None


def settings_of(path: Path) -> dict[str, Any]:
    """The settings of a YAML or JSON file. Raises LiveDeskError."""
    return _mapping(read_data(path))


def edited(before: Json, shown_only: Collection[str]) -> dict[str, Any]:
    """What an editor changed. What it must not change is not in the text. Raises LiveDeskError."""
    if not sys.stdin.isatty():
        raise LiveDeskError("There is no terminal for an editor.", "Give the changes by --file.")
    known = {name: value for name, value in before.items() if name not in shown_only}
    text = click.edit(as_yaml(known), extension=".yaml")
    after = known if text is None else _mapping(parse_data(text, source="the text"))
    return {name: value for name, value in after.items() if known.get(name) != value}


def as_yaml(data: Json) -> str:
    """As people read it."""
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True).rstrip()


def _mapping(found: object) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise LiveDeskError("The settings are not a mapping of names to values.")
    return found

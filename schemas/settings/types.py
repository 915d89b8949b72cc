"""Types that the settings share."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    Strict,
    StringConstraints,
    ValidationInfo,
)

MAX_TEXT = 4096  # characters of a WhatsApp text (docs, confirmed)


class SettingsModel(BaseModel):
    """Frozen, and refuses what it doesn't know: a mistyped setting must not pass for its default."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def merged(current: Mapping[str, object], change: Mapping[str, object]) -> dict[str, object]:
    """What a partial change makes of settings: objects are merged, lists and single values replaced."""
    found = dict(current)
    for key, value in change.items():
        old = current.get(key)
        found[key] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return found


def _or_id(name: str, info: ValidationInfo) -> str:
    return name or info.data.get("id", "")


def _instant(value: object) -> datetime:
    try:
        # Not pydantic's own reading, which takes a plain number for an instant.
        instant = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
        if instant.tzinfo is not None:
            return instant.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ValueError("must be an instant with its zone, such as 2026-06-01T10:00:00Z")


class Template(SettingsModel):
    """A message template approved by the provider."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=512)]
    language: Annotated[str, StringConstraints(min_length=1, max_length=32)]


Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
Name = Annotated[str, StringConstraints(max_length=200)]
# Left out or empty: the id, which the model must declare before it.
NameOrId = Annotated[Name, AfterValidator(_or_id), Field(validate_default=True)]
Text = Annotated[str, StringConstraints(max_length=MAX_TEXT)]
Flag = Annotated[bool, Strict()]
Count = Annotated[int, Strict(), Field(ge=0)]
PositiveCount = Annotated[int, Strict(), Field(ge=1)]
Instant = Annotated[datetime, PlainValidator(_instant, json_schema_input_type=str)]

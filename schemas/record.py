"""CloudEvents 1.0 in structured JSON: how our records travel."""

import base64
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import orjson
from pydantic import ValidationError

from schemas.event import Event

MAX_TEXT_BYTES = 64 << 10


class UndecodableRecord(ValueError):
    """The bytes are not a record of ours, or not one this version knows."""


@dataclass(frozen=True, slots=True)
class Record:
    """One event with its envelope.

    time: when it happened for us (UTC): ingress' receipt, or a timer's deadline; never a provider's clock.
    subject: the record's key. channel and settings_revision: the settings that were in force (docs/design.md, 4.6).
    replayed_for: an operator wrote it again for that one stage; the topic's other readers leave it out.
    """

    id: str
    source: str
    time: datetime
    subject: str
    event: Event
    channel: str | None = None
    settings_revision: int = 0
    correlation_id: str | None = None
    causation_id: str | None = None
    replayed_for: str | None = None


def encode(record: Record) -> bytes:
    """The record as a structured-mode CloudEvent."""
    event = record.event
    body: dict[str, object] = {
        "specversion": "1.0",
        "id": record.id,
        "source": record.source,
        "type": event.type,
        "time": record.time,
        "subject": record.subject,
        "datacontenttype": "application/json",
        "data": orjson.Fragment(event.__pydantic_serializer__.to_json(event, exclude_defaults=True)),
    }
    if record.channel is not None:
        body["channel"] = record.channel
        body["settingsrevision"] = record.settings_revision
    if record.correlation_id is not None:
        body["correlationid"] = record.correlation_id
    if record.causation_id is not None:
        body["causationid"] = record.causation_id
    if record.replayed_for is not None:
        body["replayedfor"] = record.replayed_for
    return orjson.dumps(body, option=orjson.OPT_UTC_Z)


def decode(value: bytes, types: dict[str, type[Event]]) -> Record:
    """The record in a value, its data read as one of `types`.

    Raises UndecodableRecord; the message names what is wrong and never holds the data.
    """
    try:
        return read_body(orjson.loads(value), types)
    except orjson.JSONDecodeError:
        raise UndecodableRecord("not a CloudEvent in JSON") from None


def read_body(body: Any, types: dict[str, type[Event]]) -> Record:
    """The same of a value that is parsed already."""
    try:
        event_type = types[body["type"]]
        return Record(
            id=body["id"],
            source=body["source"],
            time=datetime.fromisoformat(body["time"]),
            subject=body["subject"],
            event=event_type.__pydantic_validator__.validate_python(body["data"]),
            channel=body.get("channel"),
            settings_revision=body.get("settingsrevision", 0),
            correlation_id=body.get("correlationid"),
            causation_id=body.get("causationid"),
            replayed_for=body.get("replayedfor"),
        )
    except KeyError as error:
        raise UndecodableRecord(f"unknown type or missing attribute: {error}") from None
    except ValidationError as error:
        where = ", ".join(".".join(map(str, item["loc"])) for item in error.errors(include_input=False))
        raise UndecodableRecord(f"data does not fit its type, at: {where}") from None
    except (TypeError, ValueError, AttributeError):
        raise UndecodableRecord("not a CloudEvent in JSON") from None


def format_time(instant: datetime) -> str:
    """RFC 3339 in UTC, milliseconds only when there are any: 2026-06-01T10:00:00Z."""
    instant = instant.astimezone(UTC)
    spec = "milliseconds" if instant.microsecond else "seconds"
    return instant.isoformat(timespec=spec).replace("+00:00", "Z")


def milliseconds(instant: datetime) -> int:
    """Unix time in milliseconds."""
    return round(instant.timestamp() * 1000)


def from_milliseconds(unix_ms: int) -> datetime:
    """The UTC instant of a unix time in milliseconds."""
    return datetime.fromtimestamp(unix_ms / 1000, UTC)


def body_text(value: bytes) -> tuple[str, Literal["text", "base64"]]:
    """Bytes as text where they are clean UTF-8 text for a reader; else, and where they are many, in base64.

    What JSON must escape grows up to sixfold in it, so that a large text could outgrow a Kafka message.
    """
    try:
        text = value.decode() if len(value) <= MAX_TEXT_BYTES else None
    except UnicodeDecodeError:
        text = None
    if text is None or any(character < " " and character not in "\t\r\n" for character in text):
        return base64.b64encode(value).decode(), "base64"
    return text, "text"

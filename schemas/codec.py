"""Records to and from what travels on Kafka: CloudEvents in JSON, but callbacks raw with their envelope in headers."""

from collections.abc import Sequence
from datetime import datetime

from schemas.record import Record, UndecodableRecord, decode, encode, format_time
from schemas.system import WebhookReceived
from schemas.topics import Topic

Headers = Sequence[tuple[str, bytes]]

_REQUEST_HEADER = "http-"


def to_kafka(topic: Topic, record: Record) -> tuple[bytes, list[tuple[str, bytes]]]:
    """Value and headers of the record on that topic."""
    if not topic.raw:
        return encode(record), []
    event = record.event
    if not isinstance(event, WebhookReceived):
        raise TypeError(f"{topic.name} carries callbacks only")
    headers = [
        ("delivery-id", record.id.encode()),
        ("received-at", format_time(record.time).encode()),
        ("provider", event.provider.encode()),
        ("channel", (record.channel or record.subject).encode()),
        ("settings-revision", str(record.settings_revision).encode()),
    ]
    headers += [(_REQUEST_HEADER + name, value.encode()) for name, value in event.request_headers.items()]
    return event.body, headers


def from_kafka(topic: Topic, value: bytes | None, headers: Headers) -> Record:
    """The record in a Kafka message. Raises UndecodableRecord."""
    if value is None:
        raise UndecodableRecord("a tombstone, where none is expected")
    if not topic.raw:
        return decode(value, topic.types)
    try:
        named = {name: content.decode() for name, content in headers}
        event = WebhookReceived(
            provider=named["provider"],
            body=value,
            request_headers={
                name.removeprefix(_REQUEST_HEADER): content
                for name, content in named.items()
                if name.startswith(_REQUEST_HEADER)
            },
        )
        return Record(
            id=named["delivery-id"],
            source="/livedesk/ingress",
            time=datetime.fromisoformat(named["received-at"]),
            subject=named["channel"],
            event=event,
            channel=named["channel"],
            settings_revision=int(named["settings-revision"]),
        )
    except (KeyError, ValueError, UnicodeDecodeError) as error:
        raise UndecodableRecord(f"headers of a callback: {error}") from None

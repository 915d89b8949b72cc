"""Records to and from what travels on Kafka: CloudEvents in JSON, but callbacks raw with their envelope in headers."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from schemas.events.callbacks import WebhookReceived
from schemas.record import Record, UndecodableRecord, decode, encode, format_time
from schemas.topics import Topic

Headers = Sequence[tuple[str, bytes]]

STRUCTURED_MODE: list[tuple[str, bytes]] = [("content-type", b"application/cloudevents+json; charset=UTF-8")]
"""By this header consumers know that the whole event is in the value (CloudEvents' Kafka binding, 3.3)."""

INGRESS = "/livedesk/ingress"
"""Writes callbacks; a source that is another stands in a header."""
_REQUEST_HEADER = "http-"


def to_kafka(topic: Topic, record: Record) -> tuple[bytes, list[tuple[str, bytes]]]:
    """Value and headers of the record on that topic."""
    if not topic.raw:
        return encode(record), STRUCTURED_MODE
    event = record.event
    if not isinstance(event, WebhookReceived):
        raise TypeError(f"{topic.name} carries callbacks only")
    channel = record.channel or record.subject
    headers = callback_headers(
        record.id,
        record.time,
        event.provider,
        channel,
        record.settings_revision,
        event.request_headers.items(),
        query=event.query,
        elsewhere=event.elsewhere,
    )
    if record.source != INGRESS:
        headers += [("source", record.source.encode()), ("causation-id", (record.causation_id or "").encode())]
    return event.body, headers


def callback_headers(
    delivery_id: str,
    received_at: datetime,
    provider: str,
    channel: str,
    settings_revision: int,
    request_headers: Iterable[tuple[str, str]],
    *,
    query: str = "",
    elsewhere: Iterable[str] = (),
) -> list[tuple[str, bytes]]:
    """A callback's envelope. request_headers: names in lower case.

    Ingress calls this and makes no Record: models would be a fifth of its work.
    """
    headers = [
        ("delivery-id", delivery_id.encode()),
        ("received-at", format_time(received_at).encode()),
        ("provider", provider.encode()),
        ("channel", channel.encode()),
        ("settings-revision", b"%d" % settings_revision),
    ]
    if query:
        headers.append(("query", query.encode()))
    if elsewhere:
        headers.append(("elsewhere", ",".join(elsewhere).encode()))
    headers += [(_REQUEST_HEADER + name, value.encode()) for name, value in request_headers]
    return headers


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
            query=named.get("query", ""),
            elsewhere=tuple(filter(None, named.get("elsewhere", "").split(","))),
        )
        return Record(
            id=named["delivery-id"],
            source=named.get("source", INGRESS),
            time=datetime.fromisoformat(named["received-at"]),
            subject=named["channel"],
            event=event,
            channel=named["channel"],
            settings_revision=int(named["settings-revision"]),
            causation_id=named.get("causation-id") or None,
        )
    except (KeyError, ValueError, UnicodeDecodeError) as error:
        raise UndecodableRecord(f"headers of a callback: {error}") from None

"""Reading what Kafka holds: from a message to what it changes in the view. No I/O."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import orjson
from aiokafka.structs import ConsumerRecord

from desk.view.applier import Applied, Failure, Place
from desk.view.projection import TYPES, project
from desk.view.rows import Logged
from desk.view.schema import FOLLOWED
from schemas.record import UndecodableRecord, read_body

_NUL = b"\\u0000"


class Reading(NamedTuple):
    """What a message leads to. ignored: a type that this version does not know, as a newer one may write."""

    applied: Applied
    ignored: bool = False


def read_all(messages: Sequence[ConsumerRecord], topics: Mapping[str, str]) -> list[Reading]:
    """What messages change, in their order. Of a compacted topic the newest of a key: those before it may be gone."""
    compacted = {full for full, name in topics.items() if FOLLOWED[name].compacted}
    newest = {(one.topic, one.partition, one.key): one.offset for one in messages if one.topic in compacted}
    return [
        read(one, topics)
        if newest.get((one.topic, one.partition, one.key), one.offset) == one.offset
        else Reading(Applied(Place(one.topic, one.partition), one.offset, None, None))
        for one in messages
    ]


def read(message: ConsumerRecord, topics: Mapping[str, str]) -> Reading:
    """What a message changes. topics: full name -> bare. Whatever is wrong with it becomes a failure of it alone."""
    place, name = Place(message.topic, message.partition), topics[message.topic]
    if message.value is None:
        return Reading(Applied(place, message.offset, None, None))
    type: str | None = None
    time: datetime | None = None
    try:
        body = _parsed(message.value)
        type = str(body["type"])
        if type not in TYPES[name]:
            applied = Applied(place, message.offset, None, type)
            return Reading(applied, ignored=type not in FOLLOWED[name].types)
        record = read_body(body, TYPES[name])
        time = record.time
        logged = Logged(name, message.partition, message.offset, (message.key or b"").decode(), record)
        return Reading(Applied(place, message.offset, time, type, project(logged)))
    except UndecodableRecord as error:
        error_text = str(error)
    except Exception as error:  # noqa: BLE001 - one record that we can't read must not stop the view
        error_text = f"not read: {error.__class__.__name__}"
    failure = Failure(place, message.offset, type, error_text)
    return Reading(Applied(place, message.offset, time, type, failure=failure))


def _parsed(value: bytes) -> dict[str, Any]:
    """The record in JSON, without U+0000, which PostgreSQL keeps in no text."""
    try:
        body = orjson.loads(value)
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict) or "type" not in body:
        raise UndecodableRecord("not a CloudEvent in JSON")
    return _without_nul(body) if _NUL in value else body


def _without_nul(value: Any) -> Any:
    match value:
        case str():
            return value.replace("\0", "")
        case list():
            return [_without_nul(part) for part in value]
        case dict():
            return {_without_nul(name): _without_nul(part) for name, part in value.items()}
    return value

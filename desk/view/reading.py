"""Reading what Kafka holds: from a message to what it changes in the view. No I/O."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

import orjson
from aiokafka.structs import ConsumerRecord

from desk.view.applier import Applied, Failure, Place
from desk.view.projection import TYPES, project
from desk.view.rows import Logged
from desk.view.schema import FOLLOWED
from schemas.record import UndecodableRecord, decode

_NUL = b"\\u0000"


class Reading(NamedTuple):
    """What a message leads to. ignored: a type that this version does not know, as a newer one may write."""

    applied: Applied
    ignored: bool = False


def read(message: ConsumerRecord, topics: Mapping[str, str]) -> Reading:
    """What a message changes. topics: full name -> bare. Whatever is wrong with it becomes a failure of it alone."""
    place, name = Place(message.topic, message.partition), topics[message.topic]
    if message.value is None:
        return Reading(Applied(place, message.offset, None, None))
    type: str | None = None
    time: datetime | None = None
    try:
        type = _type_of(message.value)
        if type not in TYPES[name]:
            applied = Applied(place, message.offset, None, type)
            return Reading(applied, ignored=type not in FOLLOWED[name].types)
        record = decode(_storable(message.value), TYPES[name])
        time = record.time
        logged = Logged(name, message.partition, message.offset, (message.key or b"").decode(), record)
        return Reading(Applied(place, message.offset, time, type, project(logged)))
    except UndecodableRecord as error:
        error_text = str(error)
    except Exception as error:  # noqa: BLE001 - one record that we can't read must not stop the view
        error_text = f"not read: {error.__class__.__name__}"
    failure = Failure(place, message.offset, type, error_text)
    return Reading(Applied(place, message.offset, time, type, failure=failure))


def _type_of(value: bytes) -> str:
    try:
        type = orjson.loads(value)["type"]
    except (ValueError, TypeError, LookupError):
        raise UndecodableRecord("not a CloudEvent in JSON") from None
    return str(type)


def _storable(value: bytes) -> bytes:
    """Without U+0000, which PostgreSQL keeps in no text."""
    return orjson.dumps(_without_nul(orjson.loads(value))) if _NUL in value else value


def _without_nul(value: Any) -> Any:
    match value:
        case str():
            return value.replace("\0", "")
        case list():
            return [_without_nul(part) for part in value]
        case dict():
            return {_without_nul(name): _without_nul(part) for name, part in value.items()}
    return value

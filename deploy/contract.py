"""The contract for other services, from the models: JSON Schemas, an AsyncAPI and an OpenAPI document.

`make contract` writes it; tests/contract fails when it is stale or would break a consumer of the last release.
"""

import shutil
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Final

import orjson
from pydantic import JsonValue
from pydantic.json_schema import GenerateJsonSchema

from deploy.settings import Settings
from desk.api.table import described
from schemas.event import Event
from schemas.events.operations import KeyUnparked
from schemas.topics import TOPICS, Topic
from streams.topology import TOPOLOGY

Document = dict[str, JsonValue]
Documents = dict[str, Document]

FOLDER: Final = Path(__file__).parents[1] / "schemas" / "generated"
ASYNCAPI: Final = "asyncapi.json"
CLOUDEVENT: Final = "cloudevent.json"
OPENAPI: Final = "openapi.json"

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_STRING: Final[Document] = {"type": "string"}
_TIME: Final[Document] = {"type": "string", "format": "date-time"}


def documents() -> Documents:
    """Every document by its path below FOLDER: the envelope, each event type's data, the topics, the API."""
    found: Documents = {ASYNCAPI: _asyncapi(), CLOUDEVENT: _envelope(), OPENAPI: described()}
    for topic in TOPICS:
        # A callback has no data in JSON: its body travels as it came.
        for event in () if topic.raw else _writers(topic):
            found[f"events/{event.type}.json"] = _data_schema(event)
    return found


def rendered() -> dict[str, bytes]:
    """The files' contents by path."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    return {path: orjson.dumps(document, option=options) for path, document in documents().items()}


def write() -> None:
    """Replace what is in FOLDER by the documents."""
    contents = rendered()
    shutil.rmtree(FOLDER, ignore_errors=True)
    for path, content in contents.items():
        (FOLDER / path).parent.mkdir(parents=True, exist_ok=True)
        (FOLDER / path).write_bytes(content)


class _Generator(GenerateJsonSchema):
    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002
        """Never: the titles only repeat the fields' names."""
        return False


def _data_schema(event: type[Event]) -> Document:
    # What a record leaves out has its default: so by the mode of reading, in which a default is not required.
    schema: Document = event.model_json_schema(schema_generator=_Generator, mode="validation")
    return {"$schema": _DIALECT, **schema}


def _envelope() -> Document:
    """What schemas.record.encode writes around the data."""
    attributes: Document = {
        "specversion": {"const": "1.0"},
        "id": _STRING,
        "source": _STRING,
        "type": _STRING,
        "time": {**_TIME, "description": "When it happened for us: never a provider's clock."},
        "subject": {**_STRING, "description": "The record's key."},
        "datacontenttype": {"const": "application/json"},
        "data": {"type": "object", "description": "By type, in events/."},
    }
    extensions: Document = {
        "channel": _STRING,
        "settingsrevision": {"type": "integer", "description": "The channel's settings that were in force."},
        "correlationid": {**_STRING, "description": "The id of the record that all began with."},
        "causationid": {**_STRING, "description": "The id of the record that led to this one."},
        "replayedfor": {**_STRING, "description": "Written again for this one stage: other readers leave it out."},
    }
    return {
        "$schema": _DIALECT,
        "title": "Record",
        "description": "A CloudEvent 1.0 in structured JSON. Ignore attributes and properties that you don't know.",
        "type": "object",
        "properties": attributes | extensions,
        "required": list(attributes),
    }


def _callback_headers() -> Document:
    """What schemas.codec.callback_headers writes beside the body."""
    named: Document = {
        "delivery-id": _STRING,
        "received-at": _TIME,
        "provider": _STRING,
        "channel": _STRING,
        "settings-revision": {**_STRING, "description": "A whole number."},
    }
    request: Document = {"^http-": {**_STRING, "description": "A header of the provider's request, in lower case."}}
    return {"type": "object", "properties": named, "required": list(named), "patternProperties": request}


def _asyncapi() -> Document:
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "LiveDesk WhatsApp pipeline",
            "version": "v1",
            "description": "The topics, with their default prefix. Read with isolation.level=read_committed. "
            "Not here: the stages' -state topics, which are their own.",
        },
        "defaultContentType": "application/cloudevents+json",
        "channels": {topic.name: _channel(topic) for topic in TOPICS},
        "operations": dict(_operations()),
    }


def _channel(topic: Topic) -> Document:
    config: Document = {"cleanup.policy": ["compact" if topic.compacted else "delete"]}
    if topic.retention is not None:
        config["retention.ms"] = topic.retention // timedelta(milliseconds=1)
    kafka: Document = {"topicConfiguration": config, "bindingVersion": "0.5.0"}
    if topic.partitions is not None:
        kafka["partitions"] = topic.partitions
    return {
        "address": topic.full_name(Settings.model_fields["topic_prefix"].get_default()),
        "description": topic.holds,
        "messages": {event.type: _message(topic, event) for event in _writers(topic)},
        "bindings": {"kafka": kafka},
    }


def _message(topic: Topic, event: type[Event]) -> Document:
    key: Document = {"key": {**_STRING, "description": topic.key}, "bindingVersion": "0.5.0"}
    message: Document = {"name": event.type, "bindings": {"kafka": key}}
    if topic.raw:
        body: Document = {"type": "string", "format": "binary", "description": "The body as the provider sent it."}
        return {**message, "contentType": "application/octet-stream", "headers": _callback_headers(), "payload": body}
    own: Document = {"type": {"const": event.type}, "data": {"$ref": f"./events/{event.type}.json"}}
    return {**message, "payload": {"allOf": [{"$ref": f"./{CLOUDEVENT}"}, {"type": "object", "properties": own}]}}


def _writers(topic: Topic) -> Mapping[type[Event], str]:
    """The registry's, and the operator, who may write to a stage that parks keys."""
    parks = any(stage.input is topic and stage.parks for stage in TOPOLOGY)
    return {**topic.writers, **({KeyUnparked: "operator"} if parks else {})}


def _operations() -> Iterator[tuple[str, JsonValue]]:
    for topic in TOPICS:
        written: dict[str, list[str]] = {}
        for event, writers in _writers(topic).items():
            for writer in writers.split(", "):
                written.setdefault(writer, []).append(event.type)
        for writer, types in written.items():
            yield f"{writer}-writes-{topic.name}", _operation("send", writer, topic, types)
        for stage in TOPOLOGY:
            if stage.input is topic:
                types = [event.type for event in _writers(topic)]
                yield f"{stage.name}-reads-{topic.name}", _operation("receive", stage.name, topic, types)


def _operation(action: str, who: str, topic: Topic, types: list[str]) -> Document:
    channel = f"#/channels/{topic.name}"
    return {
        "action": action,
        "channel": {"$ref": channel},
        "tags": [{"name": who}],
        "messages": [{"$ref": f"{channel}/messages/{type}"} for type in types],
    }


if __name__ == "__main__":
    write()

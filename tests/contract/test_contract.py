"""The kept contract is what the models say, holds for what the stages write, and breaks no consumer."""

import re
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
from jsonschema import Draft7Validator, Draft202012Validator, FormatChecker

from deploy.contract import ASYNCAPI, CLOUDEVENT, FOLDER, OPENAPI, Document, Documents, documents, rendered
from schemas.codec import to_kafka
from schemas.events.callbacks import WebhookReceived
from schemas.events.receipts import SendQueued
from schemas.record import Record, encode
from schemas.topics import TOPICS, WEBHOOKS
from simulation.scenario.format import load_file
from simulation.scenario.play import play
from streams.topology import TOPOLOGY
from tests.contract.breaking import breaking_changes

DOCUMENTS = documents()
RELEASES = FOLDER.parent / "released"
SCENARIOS = [
    loaded for file in sorted((Path(__file__).parents[1] / "scenarios").glob("*.jsonl")) for loaded in load_file(file)
]
NOON = datetime(2026, 3, 9, 12, tzinfo=UTC)

FORMATS = FormatChecker(formats=())
FORMATS.checks("date-time", ValueError)(lambda text: datetime.fromisoformat(str(text)).tzinfo is not None)


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.json")}


def test_the_kept_files_are_what_the_models_say() -> None:
    kept, wanted = files(FOLDER), rendered()
    stale = sorted(path for path in kept.keys() | wanted.keys() if kept.get(path) != wanted.get(path))
    assert not stale, "run: make contract"


def test_no_consumer_of_the_last_release_would_lose_anything() -> None:
    newest = max(RELEASES.iterdir(), key=lambda folder: int(folder.name.removeprefix("v")))
    released: Documents = {path: orjson.loads(content) for path, content in files(newest).items()}
    assert breaking_changes(released, DOCUMENTS) == []


@pytest.mark.parametrize("path", sorted(DOCUMENTS.keys() - {ASYNCAPI, OPENAPI}))
def test_a_schema_is_json_schema(path: str) -> None:
    Draft202012Validator.check_schema(DOCUMENTS[path])
    # What AsyncAPI's own tools read.
    Draft7Validator.check_schema(DOCUMENTS[path])


def part(path: str, *names: str) -> Document:
    """What the document has at these names, each within the one before."""
    found = DOCUMENTS[path]
    for name in names:
        inner = found[name]
        assert isinstance(inner, dict)
        found = inner
    return found


def test_references_lead_somewhere() -> None:
    references = set(re.findall(r'"\$ref": "([^"]+)"', rendered()[ASYNCAPI].decode()))
    files = {path.removeprefix("./") for path in references if path.startswith("./")}
    assert files == DOCUMENTS.keys() - {ASYNCAPI, OPENAPI}
    for reference in references:
        if reference.startswith("#/"):
            assert part(ASYNCAPI, *reference.removeprefix("#/").split("/"))


def test_every_topic_and_everyone_at_it_is_described() -> None:
    assert part(ASYNCAPI, "channels").keys() == {topic.name for topic in TOPICS}
    operations = part(ASYNCAPI, "operations").keys()
    assert {f"{stage.name}-reads-{stage.input.name}" for stage in TOPOLOGY} <= operations
    assert {f"{stage.name}-writes-{topic.name}" for stage in TOPOLOGY for topic in stage.outputs} <= operations
    assert {"ingress-writes-webhooks", "operator-writes-inbox", "runtime-writes-dead-letters"} <= operations


def test_the_envelope_has_every_attribute_of_a_record() -> None:
    event = SendQueued(message_id="m")
    bare = orjson.loads(encode(Record("r", "/livedesk/delivery", NOON, "k:1", event)))
    full = orjson.loads(encode(Record("r", "/livedesk/delivery", NOON, "k:1", event, "k", 4, "a", "b", "status")))
    assert DOCUMENTS[CLOUDEVENT]["required"] == list(bare)
    assert part(CLOUDEVENT, "properties").keys() == full.keys()


def test_a_callback_s_kafka_headers_are_described() -> None:
    event = WebhookReceived(provider="engagelab", body=b"{}", request_headers={"x-trace": "9"})
    _, written = to_kafka(WEBHOOKS, Record("d", "/livedesk/ingress", NOON, "k", event, "k", 2))
    headers = {name: content.decode() for name, content in written}
    described = part(ASYNCAPI, "channels", "webhooks", "messages", "webhook.received", "headers")
    assert described["required"] == [name for name in headers if not name.startswith("http-")]
    Draft202012Validator(described | {"additionalProperties": False}, format_checker=FORMATS).validate(headers)


async def test_records_of_the_stages_fit_their_schemas() -> None:
    validators = {
        path: Draft202012Validator(schema, format_checker=FORMATS)
        for path, schema in DOCUMENTS.items()
        if path not in (ASYNCAPI, OPENAPI)
    }
    seen = set()
    async for outcome in play(SCENARIOS):
        assert outcome.finished is not None
        for topic, record in outcome.finished.evidence.records:
            if not topic.raw:
                body = orjson.loads(encode(record))
                validators[CLOUDEVENT].validate(body)
                validators[f"events/{body['type']}.json"].validate(body["data"])
                seen.add(body["type"])
    assert len(seen) > 30

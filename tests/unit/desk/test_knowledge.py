"""Documents over real HTTP: added, listed, deleted."""

import io
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientSession, FormData

from desk.knowledge import MAX_RECORD_BYTES
from knowledge.extraction import MAX_BYTES
from schemas.events.access import AuditRecorded
from schemas.events.knowledge import DocumentDeleted, DocumentSaved
from schemas.topics import AUDIT, KNOWLEDGE
from tests.support.ingress import Ingress, running

DOCUMENT = "/v1/accounts/main/knowledge/faq/returns"
FAQ = b"- question: How long may I return it?\n  answer: 30 days.\n"


class Client:
    def __init__(self, ingress: Ingress, session: ClientSession) -> None:
        self.ingress, self.session = ingress, session

    async def call(self, method: str, path: str, data: Any = None, **query: str) -> tuple[int, dict[str, Any]]:
        url = self.ingress.control_url + path
        body = io.BytesIO(data) if isinstance(data, bytes) else data
        async with self.session.request(method, url, data=body, params=query) as answer:
            return answer.status, await answer.json(content_type=None)

    @property
    def events(self) -> list[Any]:
        return [record.event for record in self.ingress.records(KNOWLEDGE)]


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with running() as (ingress, session):
        session.headers["Authorization"] = f"Bearer {ingress.token()}"
        yield Client(ingress, session)


async def test_a_document_is_added_listed_and_deleted(client: Client) -> None:
    status, answer = await client.call("PUT", DOCUMENT, FAQ, name="Returns.yaml")
    assert (status, answer["changed"], answer["document"]["passages"]) == (200, True, 1)
    (saved,) = client.events
    assert isinstance(saved, DocumentSaved)
    assert (saved.title, saved.passages) == ("Returns.yaml", ("How long may I return it?\n30 days.",))
    assert client.ingress.records(KNOWLEDGE)[0].subject == "main/faq/returns"
    for query, expected in (({}, ["returns"]), ({"collection": "faq"}, ["returns"]), ({"collection": "x"}, [])):
        status, answer = await client.call("GET", "/v1/accounts/main/knowledge", **query)
        assert (status, [one["document"] for one in answer["documents"]]) == (200, expected)
    assert (await client.call("DELETE", DOCUMENT))[0] == 200
    assert isinstance(client.events[-1], DocumentDeleted)
    assert (await client.call("DELETE", DOCUMENT))[0] == 404
    assert (await client.call("GET", "/v1/accounts/main/knowledge"))[1] == {"documents": []}


async def test_the_same_bytes_again_are_no_change(client: Client) -> None:
    await client.call("PUT", DOCUMENT, FAQ, name="a.yaml")
    status, answer = await client.call("PUT", DOCUMENT, FAQ, name="a.yaml")
    assert (status, answer["changed"], len(client.events)) == (200, False, 1)
    assert (await client.call("PUT", DOCUMENT, FAQ + b"\n", name="a.yaml"))[1]["changed"]


async def test_a_form_s_file_is_taken(client: Client) -> None:
    form = FormData()
    form.add_field("file", b"Some text.", filename="a.txt")
    assert (await client.call("PUT", DOCUMENT, form))[0] == 200


async def test_who_changed_which_document_is_audited_without_its_text(client: Client) -> None:
    await client.call("PUT", DOCUMENT, FAQ, name="a.yaml")
    await client.call("DELETE", DOCUMENT)
    events = [record.event for record in client.ingress.records(AUDIT)]
    found = [one for one in events if isinstance(one, AuditRecorded) and one.target == "knowledge/faq/returns"]
    assert [one.action for one in found] == ["save_document", "delete_document"]
    assert "30 days" not in found[0].model_dump_json()


@pytest.mark.parametrize(
    ("data", "name", "status", "code", "error"),
    [
        (b"", "a.txt", 422, "no_file", None),
        (b"\0" * 100, "a.txt", 422, "unreadable", "it is no text: documents are PDF"),
        (b"x", "a.pdf", 422, "unreadable", "its name ends in .pdf, but"),
        ("字".encode() * (MAX_RECORD_BYTES // 3), "a.txt", 422, "unreadable", "its text has "),
        (bytes(MAX_BYTES + 1), "a.txt", 413, "too_large", None),
    ],
)
async def test_what_can_t_be_used_is_refused(
    client: Client, data: bytes, name: str, status: int, code: str, error: str | None
) -> None:
    answered, answer = await client.call("PUT", DOCUMENT, data, name=name)
    assert (answered, answer["code"]) == (status, code)
    if error is not None:
        assert answer["errors"][0]["field"] == "file"
        assert answer["errors"][0]["message"].startswith(error)
    assert client.events == []


async def test_another_account_s_documents_are_not_there(client: Client) -> None:
    await client.call("PUT", DOCUMENT, FAQ, name="a.yaml")
    client.session.headers["Authorization"] = f"Bearer {client.ingress.token(account='other')}"
    for method, path in (("GET", "/v1/accounts/main/knowledge"), ("DELETE", DOCUMENT), ("PUT", DOCUMENT)):
        assert (await client.call(method, path, FAQ if method == "PUT" else None))[0] == 404
    assert len(client.events) == 1

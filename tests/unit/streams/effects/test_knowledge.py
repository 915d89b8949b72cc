"""Finding passages for an agent, with and without embeddings."""

import threading
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from knowledge.index import Index
from schemas.effects import KnowledgeRequest, KnowledgeResult
from schemas.record import Record, encode
from schemas.settings.channel import ChannelSettings, parse_channel
from streams.effects.contract import Done, Postponed
from streams.effects.knowledge import KnowledgeFinder
from tests.support.ingress import NOW
from tests.unit.knowledge.test_index import saved

PASSAGES = ["Returns of sofas are free.", "Returns of beds are not free.", "We open at nine."]


def channel(**agent: Any) -> ChannelSettings:
    gpt = {"kind": "gpt", "id": "bot", "model": "m", "knowledge": ["faq"], **agent}
    return parse_channel(
        {"id": "shop", "phone_number": "+34611000111", "dev_key": "k", "dev_secret": "s", "ai_agents": [gpt]}
    )


@pytest.fixture
async def service() -> AsyncIterator[tuple[str, list[Any]]]:
    """Embeddings by which beds are nearest to every question. What was asked."""
    asked: list[Any] = []

    async def embed(request: web.Request) -> web.Response:
        body = await request.json()
        asked.append(body)
        if body["model"] == "broken":
            return web.json_response({}, status=500)
        vectors = [[1.0, 0.0] if "bed" in text or "?" in text else [0.0, 1.0] for text in body["input"]]
        data = [{"object": "embedding", "index": n, "embedding": vector} for n, vector in enumerate(vectors)]
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        return web.json_response({"object": "list", "data": data, "model": "e", "usage": usage})

    app = web.Application()
    app.add_routes([web.post("/v1/embeddings", embed)])
    async with TestServer(app) as server:
        yield str(server.make_url("/v1")), asked


async def found(settings: ChannelSettings, *queries: str) -> list[list[str]]:
    async with httpx2.AsyncClient(trust_env=False) as http:
        finder = KnowledgeFinder(lambda _: settings, http)
        for name, account in (("faq", "main"), ("secret", "main"), ("faq", "other")):
            event = saved(
                [text + ("" if name == "faq" and account == "main" else " Not yours.") for text in PASSAGES],
                account,
                name,
            )
            finder.apply(b"", encode(Record("", "", NOW, "", event)))
        texts = []
        for query in queries:
            outcome = await finder.perform(KnowledgeRequest(effect_id="1", channel="shop", agent="bot", query=query))
            assert isinstance(outcome, Done)
            texts.append([one.text for one in KnowledgeResult.model_validate(outcome.result).passages])
        finder.close()
        return texts


async def test_an_agent_s_collections_are_searched_and_no_others() -> None:
    assert await found(channel(), "sofa returns?") == [PASSAGES[:2]]
    assert await found(channel(knowledge=[]), "sofa returns?") == [[]]


async def test_embeddings_put_passages_in_order_and_are_kept(service: tuple[str, list[Any]]) -> None:
    url, asked = service
    settings = channel(base_url=url, embeddings="e")
    assert await found(settings, "sofa returns?", "sofas return?") == [PASSAGES[1::-1]] * 2
    assert [len(body["input"]) for body in asked] == [3, 1]


async def test_without_an_answer_of_the_service_the_order_is_that_of_words(service: tuple[str, list[Any]]) -> None:
    url, asked = service
    assert await found(channel(base_url=url, embeddings="broken"), "sofa returns?") == [PASSAGES[:2]]
    assert len(asked) == 1


async def test_an_index_that_is_behind_is_waited_for_and_then_postpones(monkeypatch: pytest.MonkeyPatch) -> None:
    going_on = threading.Event()
    monkeypatch.setattr(Index, "apply", lambda *_: going_on.wait(10))
    async with httpx2.AsyncClient(trust_env=False) as http:
        finder = KnowledgeFinder(lambda _: channel(), http, wait_s=0.01)
        finder.apply(b"", b"")
        request = KnowledgeRequest(effect_id="1", channel="shop", agent="bot", query="x")
        assert await finder.perform(request) == Postponed()
        going_on.set()
        finder.close()

"""Finds passages for GPT agents: the index of this process, and embeddings of the agent's service where it has some."""

import asyncio
import hashlib
import logging
import math
from array import array
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeAlias

import httpx2
from openai import AsyncOpenAI, OpenAIError

from knowledge.index import Index
from schemas.effects import KnowledgeRequest, KnowledgeResult, Passage
from schemas.settings.ai import GptAgent
from schemas.settings.channel import ChannelSettings
from streams.effects.contract import Done, Outcome, Postponed

logger = logging.getLogger(__name__)

FOUND: Final = 6
"""Passages that an agent is given."""
ORDERED: Final = 50
"""Passages, the best by words, that embeddings put in order."""
WAIT_S: Final = 6.0
"""For the index, where it has yet to take in what was read of the topic."""
EMBED_S: Final = 3.0
KEPT_VECTORS: Final = 5_000
_NO_KEY: Final = "none"

Vector: TypeAlias = "array[float]"


class KnowledgeFinder:
    """Performs KnowledgeRequest. newest: settings of a channel. http: connections to the agents' services.

    All that touches the index happens in one thread, in order: a search finds what was applied before it.
    """

    def __init__(
        self, newest: Callable[[str], ChannelSettings], http: httpx2.AsyncClient, *, wait_s: float = WAIT_S
    ) -> None:
        self._newest, self._wait_s = newest, wait_s
        self._embeddings = Embeddings(http)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="knowledge")
        self._index = self._thread.submit(Index)

    def apply(self, key: bytes, value: bytes | None) -> None:
        """Take in one record of the topic, soon."""
        self._thread.submit(lambda: self._index.result().apply(key, value)).add_done_callback(_reported)

    async def perform(self, request: KnowledgeRequest) -> Outcome:
        """Search once. Done holds a KnowledgeResult; Postponed: the index is not up to date yet."""
        settings = self._newest(request.channel)
        agent = settings.ai_agent(request.agent)
        embeds = isinstance(agent, GptAgent) and agent.embeddings is not None
        search = self._thread.submit(
            lambda: find(self._index.result(), settings, request, ORDERED if embeds else FOUND)
        )
        try:
            async with asyncio.timeout(self._wait_s):
                result = await asyncio.wrap_future(search)
        except TimeoutError:
            logger.warning("channel %s: the index of knowledge is not up to date yet", request.channel)
            return Postponed()
        if isinstance(agent, GptAgent) and agent.embeddings is not None:
            ordered = await self._embeddings.ordered(agent, agent.embeddings, request.query, result.passages)
            result = KnowledgeResult(passages=ordered[:FOUND])
        return Done(result.model_dump(mode="json", exclude_defaults=True))

    def close(self) -> None:
        """End the thread; what waits is left out."""
        self._thread.shutdown(wait=True, cancel_futures=True)
        if not self._index.cancelled():
            self._index.result().close()


def find(index: Index, settings: ChannelSettings, request: KnowledgeRequest, most: int = FOUND) -> KnowledgeResult:
    """What a channel's agent may answer by: passages of the channel's account, in the agent's collections alone."""
    agent = settings.ai_agent(request.agent)
    if not isinstance(agent, GptAgent):
        return KnowledgeResult()
    return KnowledgeResult(passages=tuple(index.search(settings.account, agent.knowledge, request.query, most)))


def _reported(applied: Future[None]) -> None:
    error = None if applied.cancelled() else applied.exception()
    if error is not None:
        logger.error("a record of knowledge was not taken into the index: %s", type(error).__name__)


class Embeddings:
    """What texts mean, as the agents' services say; those of passages are kept, by service, model and text."""

    def __init__(self, http: httpx2.AsyncClient, *, within_s: float = EMBED_S) -> None:
        self._http, self._within_s = http, within_s
        self._kept: OrderedDict[tuple[str, str, bytes], Vector] = OrderedDict()

    async def ordered(
        self, agent: GptAgent, model: str, query: str, passages: Sequence[Passage]
    ) -> tuple[Passage, ...]:
        """The passages, nearest to the query first; where the service does not say in time, as they came."""
        texts = [f"{one.title}\n{one.text}" for one in passages]
        keys = [(agent.base_url, model, hashlib.sha256(text.encode()).digest()) for text in texts]
        known = {key: self._kept[key] for key in keys if key in self._kept}
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        try:
            async with asyncio.timeout(self._within_s):
                asked, *made = await self._ask(agent, model, [query, *missing.values()])
            known |= zip(missing, made, strict=True)
            order = await asyncio.to_thread(_nearest, asked, [known[key] for key in keys])
        except (OpenAIError, httpx2.HTTPError, TimeoutError, ValueError) as error:
            logger.warning("agent %s: passages are ordered by words: %s", agent.id, type(error).__name__)
            return tuple(passages)
        for key in keys:
            self._kept[key] = known[key]
            self._kept.move_to_end(key)
        while len(self._kept) > KEPT_VECTORS:
            self._kept.popitem(last=False)
        return tuple(passages[place] for place in order)

    async def _ask(self, agent: GptAgent, model: str, texts: list[str]) -> list[Vector]:
        key = _NO_KEY if agent.api_key is None else agent.api_key.get_secret_value()
        client = AsyncOpenAI(
            api_key=key, base_url=agent.base_url, http_client=self._http, max_retries=0, timeout=self._within_s
        )
        # The worker's environment may hold some, which are no business of the agent's service.
        client.organization = client.project = None
        answer = await client.embeddings.create(model=model, input=texts, encoding_format="float")
        vectors = [array("f", one.embedding) for one in sorted(answer.data, key=lambda one: one.index)]
        if len(vectors) != len(texts) or len({len(vector) for vector in vectors}) != 1:
            raise ValueError("not a vector for each text")
        return vectors


def _nearest(asked: Vector, vectors: Sequence[Vector]) -> list[int]:
    """The places of the vectors, by the cosine of their angle to the first."""

    def near(vector: Vector) -> float:
        length = math.hypot(*vector)
        return sum(map(float.__mul__, asked, vector)) / length if length else -1.0

    near_to = list(map(near, vectors))
    return sorted(range(len(vectors)), key=lambda place: (-near_to[place], place))

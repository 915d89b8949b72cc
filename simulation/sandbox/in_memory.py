"""The sandbox without HTTP: the transport of the in-memory driver."""

import hashlib
from collections.abc import Callable, Iterable
from datetime import datetime

import orjson
from pydantic import JsonValue

from media.store import received_key
from media.types import type_of
from providers.provider import Answer, Call
from schemas.effects import MediaRequest, MediaResult
from schemas.ids import derived_id
from simulation.sandbox.accounts import Credentials
from simulation.sandbox.ai import AiStandIn
from simulation.sandbox.engagelab.errors import ApiError
from simulation.sandbox.engagelab.provider import Provider
from simulation.sandbox.engagelab.receipts import ScheduledCallback
from simulation.sandbox.engagelab.templates import TemplateApi, TemplateFilter, UnreachableError
from streams.effects.contract import Done, Outcome
from streams.effects.http import NoAnswer


class InMemory:
    """Answers calls to the provider and the AI agent at once. on_callbacks: takes the receipts that follow a send."""

    def __init__(
        self,
        provider: Provider,
        ai: AiStandIn,
        now: Callable[[], datetime],
        on_callbacks: Callable[[Iterable[ScheduledCallback]], None] = lambda _: None,
    ) -> None:
        self._provider, self._ai, self._now, self._on_callbacks = provider, ai, now, on_callbacks

    async def __call__(self, base_url: str, call: Call, total_s: float) -> Answer:  # noqa: ARG002 - there is one of each
        """The whole answer. Raises NoAnswer."""
        body, credentials = call.body or b"", Credentials.from_header(call.headers.get("Authorization"))
        match call.path:
            case "/v1/answers":
                status, answer = self._ai.handle(body)
                return Answer(status, orjson.dumps(answer))
            case "/v1/messages":
                return self._send(credentials, body)
            case "/v1/templates":
                return self._list(credentials, TemplateFilter(**call.params))
        raise ValueError(f"the sandbox has no {call.path}")

    def _send(self, credentials: Credentials | None, body: bytes) -> Answer:
        result = self._provider.handle_send(credentials, body, self._now())
        self._on_callbacks(result.callbacks)
        if result.http_status is None:
            raise NoAnswer("silence")
        return _answer(result.http_status, result.body, result.retry_after)

    def _list(self, credentials: Credentials | None, wanted: TemplateFilter) -> Answer:
        try:
            return _answer(200, TemplateApi(self._provider.accounts).list(credentials, wanted))
        except UnreachableError:
            raise NoAnswer("unreachable") from None
        except ApiError as error:
            return _answer(error.http_status, error.body())


async def store_at_once(request: MediaRequest) -> Outcome:
    """Performs a MediaRequest without a file: one with a link counts as stored, one with an id alone as unsupported."""
    link = request.media.link
    if link is None:
        return Done({"answer": "refused", "reason": "unsupported"})
    hash = hashlib.sha256(link.encode()).hexdigest()
    key = received_key(request.channel, derived_id(request.channel, request.message_id, request.index), "bin")
    return Done(MediaResult(answer="stored", file=key, mime_type=type_of(key), sha256=hash).model_dump(mode="json"))


def _answer(status: int, body: JsonValue, retry_after: int | None = None) -> Answer:
    return Answer(status, b"" if body is None else orjson.dumps(body), str(retry_after or ""))

"""The sandbox without HTTP: the transport of the in-memory driver."""

import hashlib
from collections.abc import Callable, Iterable
from datetime import datetime

import orjson

from media.store import received_key
from media.types import type_of
from providers.provider import Answer, Call
from schemas.effects import MediaRequest, MediaResult
from schemas.ids import derived_id
from simulation.sandbox.ai import AiStandIn
from simulation.sandbox.calls import Request, ScheduledCallback
from simulation.sandbox.providers import Providers
from streams.effects.contract import Done, Outcome
from streams.effects.http import NoAnswer


class InMemory:
    """Answers calls to the providers and the AI agent at once. on_callbacks: takes the receipts that follow a send."""

    def __init__(
        self,
        providers: Providers,
        ai: AiStandIn,
        now: Callable[[], datetime],
        on_callbacks: Callable[[Iterable[ScheduledCallback]], None] = lambda _: None,
    ) -> None:
        self._providers, self._ai, self._now, self._on_callbacks = providers, ai, now, on_callbacks

    async def __call__(self, base_url: str, call: Call, total_s: float) -> Answer:  # noqa: ARG002 - nothing takes time
        """The whole answer. Raises NoAnswer."""
        if call.path == "/v1/answers":
            status, answer = self._ai.handle(call.body or b"")
            return Answer(status, orjson.dumps(answer))
        headers = {name.lower(): value for name, value in call.headers.items()}
        request = Request(call.method, call.path, dict(call.params), headers, call.body or b"", base_url)
        reply = self._providers.handle(request, self._now())
        if reply is None:
            raise ValueError(f"the sandbox has no {call.method} {call.path}")
        self._on_callbacks(reply.callbacks)
        if reply.status is None:
            raise NoAnswer("silence")
        return Answer(reply.status, reply.body + bytes(reply.padding), reply.headers.get("Retry-After", ""))


async def store_at_once(request: MediaRequest) -> Outcome:
    """Performs a MediaRequest without a file: one with a link counts as stored, one with an id alone as unsupported."""
    link = request.media.link
    if link is None:
        return Done({"answer": "refused", "reason": "unsupported"})
    hash = hashlib.sha256(link.encode()).hexdigest()
    key = received_key(request.channel, derived_id(request.channel, request.message_id, request.index), "bin")
    return Done(MediaResult(answer="stored", file=key, mime_type=type_of(key), sha256=hash).model_dump(mode="json"))

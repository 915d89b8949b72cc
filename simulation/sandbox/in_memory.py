"""The sandbox without HTTP: the transport of the in-memory driver."""

from collections.abc import Callable, Iterable
from datetime import datetime

import orjson

from providers.provider import Answer, Call
from simulation.sandbox.ai import AiStandIn
from simulation.sandbox.calls import Request, ScheduledCallback
from simulation.sandbox.providers import Providers
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

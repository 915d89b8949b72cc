"""The stream of changes for desks: server-sent events that go on from the last one that was received."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from time import monotonic
from typing import Any, Final, Literal

import orjson
from aiohttp import web
from pydantic import BaseModel, JsonValue, TypeAdapter

from desk.access.permissions import Actor, Permission
from desk.api.problems import Problem
from desk.api.reading import queries_of, viewer_of
from desk.api.route import Call, Route
from desk.office import Office
from desk.view.database import DatabaseAway
from desk.view.feed import Changes
from desk.view.progress import Progress
from desk.view.visibility import Viewer

PER_CALLER: Final = 10
"""Streams of one token or user."""
AT_ALL: Final = 500
"""Streams of one process."""
_POLL_S: Final = 1.0
"""Seconds between two looks, at the longest: another process may write to the database, or shut somebody out."""
_APART_S: Final = 0.2
"""Seconds between two looks, at least."""
_TAKE_S: Final = 20.0
"""Seconds for a client to take what it is sent."""

_JSON: TypeAdapter[Any] = TypeAdapter(Any)
_HEADERS: Final = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    # Of nginx and others, which would keep it back.
    "X-Accel-Buffering": "no",
}


class StreamedEvent(BaseModel):
    """What is streamed, as lines `event:` and `data:`.

    conversation: anything of it changed: it is given as lists show it. agent: whose settings, state or load changed:
    `id`. reload: what was read before may be wrong: read it again.
    """

    event: Literal["conversation", "agent", "reload"]
    data: dict[str, JsonValue]


Still = Callable[[web.Request, datetime], Awaitable[Actor | None]]
"""Who sent a request that goes on; None: they are let in no more."""


class Streams:
    """The streams of a process. heartbeat: seconds after which something is sent in any case."""

    def __init__(self, progress: Progress, still: Still, heartbeat: float = 15.0) -> None:
        self.progress, self.still, self.heartbeat = progress, still, heartbeat
        self.closed = False
        self._of: Counter[str] = Counter()

    @property
    def open(self) -> int:
        """How many there are."""
        return self._of.total()

    def close(self) -> None:
        """End all of them, and let none begin."""
        self.closed = True
        self.progress.wake()

    @contextmanager
    def place(self, actor: Actor) -> Iterator[None]:
        """One of the caller's streams. Raises Problem: there are too many."""
        if self._of[actor.id] >= PER_CALLER or self.open >= AT_ALL:
            detail = f"close another stream first: a caller may have {PER_CALLER}"
            raise Problem(429, "too_many_streams", detail, headers={"Retry-After": "5"})
        self._of[actor.id] += 1
        try:
            yield
        finally:
            self._of[actor.id] -= 1
            if not self._of[actor.id]:
                del self._of[actor.id]


class StreamRoutes:
    """The handler and its route."""

    def __init__(self, office: Office, streams: Streams) -> None:
        self._office, self._streams = office, streams

    def routes(self) -> tuple[Route, ...]:
        """Their part of the table."""
        return (
            Route(
                "GET",
                "/v1/accounts/{account}/stream",
                Permission.READ,
                "What changes, as server-sent events.",
                self.stream_changes,
                StreamedEvent,
                media="text/event-stream",
                headers=("Last-Event-ID",),
            ),
        )

    async def stream_changes(self, call: Call[None]) -> web.StreamResponse:
        """Until the client leaves, or is no longer let in."""
        with self._streams.place(call.actor):
            queries, viewer = queries_of(self._office), self._viewer(call, call.actor)
            found = await queries.changes(viewer, call.request.headers.get("Last-Event-ID"))
            stream = _Stream(call.request, self._streams.heartbeat)
            # Whoever comes back when the database does goes on from the last id.
            with suppress(ConnectionError, DatabaseAway):
                await stream.begin()
                while await stream.send(found) and not self._streams.closed:
                    if not found.more:
                        await self._streams.progress.moved(_POLL_S)
                        await asyncio.sleep(_APART_S)
                    actor = await self._streams.still(call.request, self._office.clock())
                    if actor is None or not self._let_in(actor, call):
                        break
                    before, viewer = viewer, self._viewer(call, actor)
                    found = await queries.changes(viewer, found.id)
                    if viewer != before:
                        found = replace(found, reload=True)
                await stream.end()
            return stream.response

    def _let_in(self, actor: Actor, call: Call[None]) -> bool:
        return actor.may(Permission.READ) and self._office.visible(actor, dict(call.path))

    def _viewer(self, call: Call[None], actor: Actor) -> Viewer:
        return viewer_of(self._office, actor, call.path["account"])


class _Stream:
    """One client's, which holds no more than one event that is not taken."""

    def __init__(self, request: web.Request, heartbeat: float) -> None:
        self._request, self._heartbeat = request, heartbeat
        self.response = web.StreamResponse(headers=_HEADERS)
        self._id, self._sent_at = "", 0.0

    async def begin(self) -> None:
        """Send the head."""
        await self.response.prepare(self._request)

    async def send(self, found: Changes) -> bool:
        """Send what changed. False: the client has left, or takes nothing any more."""
        transport = self._request.transport
        if transport is None or transport.is_closing():
            return False
        events: list[tuple[str, Mapping[str, object]]] = [("reload", {})] if found.reload else []
        events += [("conversation", item) for item in found.conversations]
        events += [("agent", {"id": agent}) for agent in found.agents]
        try:
            async with asyncio.timeout(_TAKE_S):
                for name, data in events:
                    await self.response.write(b"event: %b\ndata: %b\n\n" % (name.encode(), _to_json(data)))
                # Last, so that whoever has the id has all before it. Without data it is no event to a client.
                if events or found.id != self._id or monotonic() - self._sent_at > self._heartbeat:
                    await self.response.write(f"id: {found.id}\n\n".encode())
                    self._id, self._sent_at = found.id, monotonic()
        except TimeoutError:
            transport.abort()
            return False
        return True

    async def end(self) -> None:
        """Say that there is no more."""
        if self._request.transport is not None:
            await self.response.write_eof()


def _to_json(data: Mapping[str, object]) -> bytes:
    return orjson.dumps(_JSON.dump_python(dict(data), mode="json"))

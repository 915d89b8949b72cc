"""The public listener: takes callbacks, and answers 200 only when they are durable."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import orjson
from aiohttp import web

from bus.publisher import NotDurable, Publish
from ingress.directory import ChannelDirectory, Recheck
from ingress.metrics import Metrics
from schemas.codec import callback_headers
from schemas.settings.channel import ChannelSettings
from schemas.topics import WEBHOOKS

PROVIDER = "engagelab"
WEBHOOKS_PATH = f"/webhooks/{PROVIDER}"
MAX_ECHO_BYTES = 4096
RETRY_AFTER_SECONDS = 5

_KEPT_HEADERS = (("Content-Type", "content-type"), ("User-Agent", "user-agent"), ("X-Callback-Id", "x-callback-id"))


def build_server(
    directory: ChannelDirectory,
    publisher: Publish,
    recheck: Recheck,
    *,
    ready: Callable[[], bool],
    prefix: str,
    clock: Callable[[], datetime],
    new_id: Callable[[], str],
    max_body_bytes: int,
) -> web.Server:
    """The public listener's server, for the running loop. ready: whether /readyz says so. prefix: of the topics' names.

    aiohttp's low-level server: finding a route and what else an Application does is a tenth of a callback's CPU time.
    """
    metrics = Metrics()
    webhooks = _Webhooks(directory, publisher, recheck, WEBHOOKS.full_name(prefix), clock, new_id, metrics)

    def show_ready() -> web.Response:
        return _answer("ready") if ready() else _answer("not connected to Kafka", 503)

    def show_metrics() -> web.Response:
        return web.Response(body=metrics.render(), headers={"Content-Type": "text/plain; version=0.0.4"})

    pages = {"/healthz": lambda: _answer("ok"), "/readyz": show_ready, "/metrics": show_metrics}

    async def answer(request: web.BaseRequest) -> web.Response:
        base, _, token = request.path.rpartition("/")
        if base == WEBHOOKS_PATH and token:
            return await webhooks.post(request, token) if request.method == "POST" else _not_allowed("POST")
        page = pages.get(request.path)
        if page is None:
            return _answer("not_found", 404)
        return page() if request.method in ("GET", "HEAD") else _not_allowed("GET, HEAD")

    loop = asyncio.get_running_loop()

    def request_of(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
        return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=max_body_bytes)

    # No access log: it would hold the webhook tokens.
    return web.Server(answer, request_factory=request_of, access_log=None)


class _Webhooks:
    def __init__(
        self,
        directory: ChannelDirectory,
        publisher: Publish,
        recheck: Recheck,
        topic: str,
        clock: Callable[[], datetime],
        new_id: Callable[[], str],
        metrics: Metrics,
    ) -> None:
        self._directory, self._publisher, self._recheck, self._topic = directory, publisher, recheck, topic
        self._clock, self._new_id, self._metrics = clock, new_id, metrics

    async def post(self, request: web.BaseRequest, token: str) -> web.Response:
        """One callback. Its JSON is intake's business: broken JSON is kept, for nobody would send it again."""
        channel = self._directory.find_by_token(PROVIDER, token)
        if channel is None:
            current = await self._recheck()
            channel = self._directory.find_by_token(PROVIDER, token)
            if channel is None:
                # While the channels can't be read, nobody knows that the token is wrong.
                return self._without_record(None, "unknown_token", 404 if current else 503)
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return self._without_record(channel, "too_large", 413)
        except (web.RequestPayloadError, ValueError):
            return self._without_record(channel, "unreadable", 400)
        if not body:
            # How EngageLab's sibling products try out an address (a practice, not documented for WhatsApp).
            return self._without_record(channel, "empty", 200)
        content_type = request.headers.get("Content-Type")
        if content_type is not None and not _is_json(content_type):
            return self._without_record(channel, "wrong_type", 415)
        echo = _echo(body)
        if echo is not None:
            self._metrics.callbacks.labels(channel.id, "echo").inc()
            return web.Response(text=echo, headers={"X-Content-Type-Options": "nosniff"})
        return await self._record(channel, request, body)

    async def _record(self, channel: ChannelSettings, request: web.BaseRequest, body: bytes) -> web.Response:
        loop = asyncio.get_running_loop()
        started = loop.time()
        headers = callback_headers(
            self._new_id(), self._clock(), PROVIDER, channel.id, channel.revision, _kept_headers(request)
        )
        try:
            await self._publisher.publish(self._topic, channel.id.encode(), body, headers)
        except NotDurable:
            return self._without_record(channel, "not_durable", 503)
        self._metrics.add_durable(channel.id, loop.time() - started, len(body))
        return _answer("ok")

    def _without_record(self, channel: ChannelSettings | None, outcome: str, status: int) -> web.Response:
        self._metrics.callbacks.labels("" if channel is None else channel.id, outcome).inc()
        return _answer(outcome, status)


def _is_json(content_type: str) -> bool:
    media_type = content_type.partition(";")[0].strip().lower()
    return media_type in ("application/json", "text/json") or media_type.endswith("+json")


def _echo(body: bytes) -> str | None:
    """What is to be sent back, if the provider only tries out the address (a practice of sibling products)."""
    if len(body) > MAX_ECHO_BYTES or b'"echostr"' not in body:
        return None
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(data, dict) or "rows" in data:
        return None
    echo = data.get("echostr")
    return echo if isinstance(echo, str) else None


def _kept_headers(request: web.BaseRequest) -> Iterator[tuple[str, str]]:
    headers = request.headers
    for name, kept_name in _KEPT_HEADERS:
        value = headers.get(name)
        if value is not None:
            if not value.isascii():
                # aiohttp keeps bytes that are not UTF-8 as lone surrogates, which could not be encoded again.
                value = value.encode(errors="surrogateescape").decode(errors="replace")
            yield kept_name, value


def _not_allowed(methods: str) -> web.Response:
    answer = _answer("method_not_allowed", 405)
    answer.headers["Allow"] = methods
    return answer


def _answer(message: str, status: int = 200) -> web.Response:
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if status == 503 else None
    body = b'{"status":"%b"}' % message.encode()
    return web.Response(body=body, status=status, headers=headers, content_type="application/json")

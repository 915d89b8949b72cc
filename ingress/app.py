"""The public listener: takes callbacks, and answers 200 only when they are durable."""

import asyncio
from collections.abc import Callable
from datetime import datetime

import orjson
from aiohttp import web
from prometheus_client import generate_latest

from ingress.directory import ChannelDirectory, Recheck
from ingress.metrics import Metrics
from ingress.publisher import NotDurable, Publish
from schemas.channel import ChannelSettings
from schemas.codec import to_kafka
from schemas.record import Record
from schemas.system import WebhookReceived
from schemas.topics import WEBHOOKS

PROVIDER = "engagelab"
MAX_ECHO_BYTES = 4096
RETRY_AFTER_SECONDS = 5

_KEPT_HEADERS = (("Content-Type", "content-type"), ("User-Agent", "user-agent"), ("X-Callback-Id", "x-callback-id"))


def build_app(
    directory: ChannelDirectory,
    publisher: Publish,
    recheck: Recheck,
    *,
    prefix: str,
    clock: Callable[[], datetime],
    new_id: Callable[[], str],
    max_body_bytes: int,
) -> web.Application:
    """The public listener's application. prefix: of the topics' names.

    Serve it without aiohttp's access log, which would write the tokens down.
    """
    metrics = Metrics()
    webhooks = _Webhooks(directory, publisher, recheck, WEBHOOKS.full_name(prefix), clock, new_id, metrics)

    async def ready(_: web.Request) -> web.Response:
        return _answer("ready") if publisher.connected else _answer("not connected to Kafka", 503)

    async def show_metrics(_: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(metrics.registry), headers={"Content-Type": "text/plain; version=0.0.4"}
        )

    app = web.Application(client_max_size=max_body_bytes)
    app.add_routes(
        [
            web.post(f"/webhooks/{PROVIDER}/{{token}}", webhooks.post),
            web.get("/healthz", _healthy),
            web.get("/readyz", ready),
            web.get("/metrics", show_metrics),
        ]
    )
    return app


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

    async def post(self, request: web.Request) -> web.Response:
        """One callback. Its JSON is intake's business: broken JSON is kept, for nobody would send it again."""
        token = request.match_info["token"]
        channel = self._directory.find_by_token(PROVIDER, token)
        if channel is None:
            current = await self._recheck()
            channel = self._directory.find_by_token(PROVIDER, token)
            if channel is None:
                # While the channels can't be read, nobody knows that the token is wrong.
                return self._refuse(None, "unknown_token", 404 if current else 503)
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return self._refuse(channel, "too_large", 413)
        except (web.RequestPayloadError, ValueError):
            return self._refuse(channel, "unreadable", 400)
        if not body:
            # How EngageLab's sibling products try out an address (a practice, not documented for WhatsApp).
            return self._done(channel, "empty")
        content_type = request.headers.get("Content-Type")
        if content_type is not None and not _is_json(content_type):
            return self._refuse(channel, "wrong_type", 415)
        echo = _echo(body)
        if echo is not None:
            self._count(channel, "echo")
            return web.Response(text=echo, headers={"X-Content-Type-Options": "nosniff"})
        return await self._record(channel, request, body)

    async def _record(self, channel: ChannelSettings, request: web.Request, body: bytes) -> web.Response:
        loop = asyncio.get_running_loop()
        started = loop.time()
        event = WebhookReceived(provider=PROVIDER, body=body, request_headers=_kept_headers(request))
        record = Record(
            self._new_id(), "/livedesk/ingress", self._clock(), channel.id, event, channel.id, channel.revision
        )
        value, headers = to_kafka(WEBHOOKS, record)
        try:
            await self._publisher.publish(self._topic, channel.id.encode(), value, headers)
        except NotDurable:
            return self._refuse(channel, "not_durable", 503)
        self._metrics.durable_seconds.observe(loop.time() - started)
        self._metrics.body_bytes.inc(len(body))
        return self._done(channel, "durable")

    def _done(self, channel: ChannelSettings, outcome: str) -> web.Response:
        self._count(channel, outcome)
        return _answer("ok")

    def _refuse(self, channel: ChannelSettings | None, outcome: str, status: int) -> web.Response:
        self._count(channel, outcome)
        return _answer(outcome, status)

    def _count(self, channel: ChannelSettings | None, outcome: str) -> None:
        self._metrics.callback("" if channel is None else channel.id, outcome).inc()


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


def _kept_headers(request: web.Request) -> dict[str, str]:
    kept = {}
    for name, kept_name in _KEPT_HEADERS:
        value = request.headers.get(name)
        if value is not None:
            if not value.isascii():
                # aiohttp keeps bytes that are not UTF-8 as lone surrogates, which could not be encoded again.
                value = value.encode(errors="surrogateescape").decode(errors="replace")
            kept[kept_name] = value
    return kept


async def _healthy(_: web.Request) -> web.Response:
    return _answer("ok")


def _answer(message: str, status: int = 200) -> web.Response:
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if status == 503 else None
    body = b'{"status":"%b"}' % message.encode()
    return web.Response(body=body, status=status, headers=headers, content_type="application/json")

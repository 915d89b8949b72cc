"""The public listener: takes callbacks, and answers 200 only when they are durable."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from urllib.parse import urlsplit

from aiohttp import HttpVersion10, HttpVersion11, web

from bus.publisher import NotDurable, Publish
from ingress.directory import ChannelDirectory, Recheck
from ingress.listener import BODY_SECONDS, CONNECTIONS, Listener, ReadyAnswer
from ingress.metrics import Metrics
from ingress.rate import RateLimit
from media.links import MEDIA_PATH
from media.serving import FileServer
from media.store import StoreUnavailable
from providers.address import WEBHOOKS_PATH
from providers.provider import Provider, WebhookAnswer, WebhookRequest
from providers.registry import PROVIDERS
from schemas.codec import callback_headers
from schemas.settings.channel import ChannelSettings
from schemas.settings.network import Network, client_address, within
from schemas.topics import WEBHOOKS

RETRY_AFTER_SECONDS = 5
FORWARDED_FOR = "X-Forwarded-For"
UNPACKED = frozenset({"identity", "gzip", "deflate", "br", "zstd"})
BELOW = ("/status", "/fallback")
"""Below a channel's address a provider may post statuses, to tell them from messages, and what it could not deliver."""


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
    metrics: Metrics,
    connections: int = CONNECTIONS,
    public_url: str | None = None,
    media: FileServer | None = None,
    trusted: Sequence[Network] = (),
) -> web.Server:
    """The public listener's server, for the running loop. ready: whether /readyz says so. prefix: of the topics' names.

    connections: how many may be open.
    public_url: where the providers reach it, which some of them sign; a path in it may come with a request, or not.
    media: the files behind links; None: there are none. trusted: proxies whose X-Forwarded-For counts.

    aiohttp's low-level server: finding a route and what else an Application does is a tenth of a callback's CPU time.
    """
    webhooks = _Webhooks(
        directory, publisher, recheck, WEBHOOKS.full_name(prefix), clock, new_id, metrics, max_body_bytes, trusted
    )
    address = _PublicAddress(public_url)

    def show_ready() -> web.Response:
        return _answer("ready") if ready() else _answer("not connected to Kafka", 503)

    def show_metrics() -> web.Response:
        return web.Response(body=metrics.render(), headers={"Content-Type": "text/plain; version=0.0.4"})

    pages = {"/healthz": lambda: _answer("ok"), "/readyz": show_ready, "/metrics": show_metrics}

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if request.version != HttpVersion11 and not _is_http_1_0(request):
            return _closed(_answer("malformed", 400))
        below = address.below(request)
        path, _, query = below.partition("?")
        if path.startswith(WEBHOOKS_PATH + "/"):
            name, _, token = _above(path[len(WEBHOOKS_PATH) + 1 :]).partition("/")
            provider = PROVIDERS.get(name)
            if provider is not None and token and "/" not in token:
                if request.method not in provider.methods:
                    return _not_allowed(", ".join(provider.methods))
                return await webhooks.take(request, provider, token, address.base(request) + below, _readable(query))
        if media is not None and path.startswith(MEDIA_PATH + "/"):
            return await _give(media, request, path[len(MEDIA_PATH) + 1 :], query)
        page = pages.get(path)
        if page is None:
            return _answer("not_found", 404)
        return page() if request.method in ("GET", "HEAD") else _not_allowed("GET, HEAD")

    def count(why: str) -> None:
        metrics.callbacks.labels("", why).inc()

    return Listener(answer, count=count, max_body_bytes=max_body_bytes, connections=connections)


async def _give(media: FileServer, request: web.BaseRequest, path: str, query: str) -> web.StreamResponse:
    """The file behind a link. Whether a link is forged, expired or of a file that is gone, it leads nowhere."""
    if request.method not in ("GET", "HEAD"):
        return _not_allowed("GET, HEAD")
    try:
        return await media.give(request, path, query) or _answer("not_found", 404)
    except StoreUnavailable:
        return _answer("not_readable", 503)


class _PublicAddress:
    """Where the providers reach the listener, through whatever stands before it."""

    def __init__(self, public_url: str | None) -> None:
        self._base = (public_url or "").rstrip("/")
        self._path = urlsplit(self._base).path

    def below(self, request: web.BaseRequest) -> str:
        """Path and query without the public address' own path, which whatever stands before may keep or cut off."""
        raw = request.raw_path
        return raw.removeprefix(self._path) if self._path and raw.startswith(self._path + "/") else raw

    def base(self, request: web.BaseRequest) -> str:
        """What the provider called before that: byte for byte, as it may be signed."""
        return self._base or f"http://{request.headers.get('Host', '')}"


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
        max_body_bytes: int,
        trusted: Sequence[Network],
    ) -> None:
        self._trusted = trusted
        self._directory, self._publisher, self._recheck, self._topic = directory, publisher, recheck, topic
        self._clock, self._new_id, self._metrics, self._max_body_bytes = clock, new_id, metrics, max_body_bytes
        self._limit = RateLimit(asyncio.get_running_loop().time)
        answers = {provider.name: provider.acknowledgement for provider in PROVIDERS.values()}
        self._ready = {
            name: ReadyAnswer(answer.body, answer.content_type)
            for name, answer in answers.items()
            if answer.status == 200 and answer.content_type != "text/plain"
        }

    async def take(
        self, request: web.BaseRequest, provider: Provider, token: str, url: str, query: str
    ) -> web.StreamResponse:
        """One request. A callback's content is intake's business: a broken one is kept, for nobody sends it again."""
        channel = self._directory.find_by_token(provider.name, token)
        if channel is None:
            current = await self._recheck()
            channel = self._directory.find_by_token(provider.name, token)
            if channel is None:
                # While the channels can't be read, nobody knows that the token is wrong.
                return self._without_record(None, "unknown_token", 404 if current else 503)
        if channel.allowed_addresses:
            client = client_address(request.remote, request.headers.getall(FORWARDED_FOR, ()), self._trusted)
            if not within(client, channel.allowed_addresses):
                return _closed(self._without_record(channel, "address_not_allowed", 403))
        try:
            body = await _read(request, self._max_body_bytes)
        except web.HTTPRequestEntityTooLarge:
            return self._without_record(channel, "too_large", 413)
        except (web.RequestPayloadError, ValueError):
            return _closed(self._without_record(channel, "unreadable", 400))
        except TimeoutError:
            return _closed(self._without_record(channel, "slow_body", 408))
        except ConnectionError:
            return self._without_record(channel, "client_left", 400)
        if not self._limit.allows(channel.id):
            return self._without_record(channel, "too_many", 429)
        called = WebhookRequest(request.method, url, request.headers, body)
        screened = provider.screen(called, channel)
        if screened is not None:
            self._metrics.callbacks.labels(channel.id, screened.outcome).inc()
            return _response(screened.answer)
        content_type = request.headers.get("Content-Type")
        if (content_type is not None and not provider.accepts(content_type)) or _is_compressed(request):
            return self._without_record(channel, "wrong_type", 415)
        kept = tuple(_kept_headers(request, provider.kept_headers))
        for addressed, elsewhere in self._directory.addressed(provider, channel, called):
            if not await self._record(addressed, provider, body, kept, query, elsewhere):
                return self._without_record(addressed, "not_durable", 503)
        ready = self._ready.get(provider.name)
        if ready is not None and request.keep_alive and request.version == HttpVersion11:
            return ready
        return _response(provider.acknowledgement)

    async def _record(
        self,
        channel: ChannelSettings,
        provider: Provider,
        body: bytes,
        kept: Iterable[tuple[str, str]],
        query: str,
        elsewhere: Iterable[str],
    ) -> bool:
        loop = asyncio.get_running_loop()
        started = loop.time()
        headers = callback_headers(
            self._new_id(),
            self._clock(),
            provider.name,
            channel.id,
            channel.revision,
            kept,
            query=query,
            elsewhere=elsewhere,
        )
        try:
            await self._publisher.publish(self._topic, channel.id.encode(), body, headers)
        except NotDurable:
            return False
        self._metrics.add_durable(channel.id, loop.time() - started, len(body))
        return True

    def _without_record(self, channel: ChannelSettings | None, outcome: str, status: int) -> web.Response:
        self._metrics.callbacks.labels("" if channel is None else channel.id, outcome).inc()
        return _answer(outcome, status)


def _is_http_1_0(request: web.BaseRequest) -> bool:
    """Not a request line without a version, or one from the future; nor 1.0 with chunks, which it did not have.

    Whatever stands before the listener may see two requests there where aiohttp sees one.
    """
    return request.version == HttpVersion10 and "Transfer-Encoding" not in request.headers


def _is_compressed(request: web.BaseRequest) -> bool:
    """In a way, or so often, that aiohttp does not unpack it."""
    return request.headers.get("Content-Encoding", "identity").lower() not in UNPACKED


async def _read(request: web.BaseRequest, most: int) -> bytes:
    content = request.content
    if content.is_eof():  # all of it came with the head, as most do
        body = content.read_nowait()
        if len(body) > most:
            raise web.HTTPRequestEntityTooLarge(most)
        return body
    async with asyncio.timeout(BODY_SECONDS):
        return await request.read()


def _closed(answer: web.Response) -> web.Response:
    answer.force_close()
    return answer


def _above(path: str) -> str:
    if path.endswith(BELOW):
        return next(path.removesuffix(below) for below in BELOW if path.endswith(below))
    return path


def _kept_headers(request: web.BaseRequest, names: Iterable[str]) -> Iterator[tuple[str, str]]:
    headers = request.headers
    for name in names:
        value = headers.get(name)
        if value is not None:
            yield name, _readable(value)


def _readable(text: str) -> str:
    """aiohttp keeps bytes that are not UTF-8 as lone surrogates, which could not be encoded again."""
    return text if text.isascii() else text.encode(errors="surrogateescape").decode(errors="replace")


def _not_allowed(methods: str) -> web.Response:
    answer = _answer("method_not_allowed", 405)
    answer.headers["Allow"] = methods
    return answer


def _response(answer: WebhookAnswer) -> web.Response:
    # What is echoed as text must not be taken for HTML.
    headers = {"X-Content-Type-Options": "nosniff"} if answer.content_type == "text/plain" else None
    return web.Response(body=answer.body, status=answer.status, content_type=answer.content_type, headers=headers)


def _answer(message: str, status: int = 200) -> web.Response:
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if status in (429, 503) else None
    body = b'{"status":"%b"}' % message.encode()
    return web.Response(body=body, status=status, headers=headers, content_type="application/json")

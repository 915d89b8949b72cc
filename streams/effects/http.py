"""HTTP for every performer: one call, and whether it can have had an effect."""

from io import BytesIO
from typing import Final, Protocol

from aiohttp import (
    ClientConnectorError,
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    ConnectionTimeoutError,
)
from yarl import URL

from providers.provider import Answer, Call
from streams.effects.outside import Outside

CONNECT_S: Final = 3.0
_LARGE: Final = 1 << 20
"""Bytes."""


class NotSent(Exception):
    """There was no connection on which anything could have been written."""


class NoAnswer(Exception):
    """The call may have had its effect; no whole answer came."""


class Transport(Protocol):
    """Makes a call below a base URL, within total_s seconds."""

    async def __call__(self, base_url: str, call: Call, total_s: float) -> Answer:
        """The whole answer. Raises NotSent, NoAnswer."""
        ...


class HttpTransport:
    """Makes calls with aiohttp.

    session: as opened by `ClientSession()`; its idle connections are dropped after 15 s, before servers drop theirs (a
    request on a connection that the server just closed has no answer). outside: what the session was opened for by
    outside_session. max_bytes: so much of an answer is read, and no more.
    """

    def __init__(self, session: ClientSession, outside: Outside | None = None, max_bytes: int | None = None) -> None:
        self._session, self._outside, self._max_bytes = session, outside, max_bytes

    async def __call__(self, base_url: str, call: Call, total_s: float) -> Answer:
        """The whole answer. Raises NotSent, NoAnswer; ForbiddenAddress, where there is an outside."""
        if self._outside is not None:
            self._outside.check(URL(base_url))
        try:
            async with self._session.request(
                call.method,
                base_url.rstrip("/") + call.path,
                headers=call.headers,
                params=call.params,
                # aiohttp writes a file-like body piece by piece, so that a large one does not hold up the event loop.
                data=None if call.body is None else BytesIO(call.body) if len(call.body) > _LARGE else call.body,
                timeout=ClientTimeout(total=total_s, connect=min(CONNECT_S, total_s / 2)),
                # A redirect would be a second request, and a failure to reach its target proves nothing of the first;
                # what a customer wrote goes nowhere but to the address that was configured.
                allow_redirects=False,
            ) as response:
                retry_after = response.headers.get("Retry-After", "")
                return Answer(response.status, await self._read(response), retry_after, response.content_type)
        except (ClientConnectorError, ConnectionTimeoutError) as error:  # DNS, TCP, TLS
            raise NotSent(type(error).__name__) from error
        except (ClientError, TimeoutError) as error:
            raise NoAnswer(type(error).__name__) from error

    async def _read(self, response: ClientResponse) -> bytes:
        if self._max_bytes is None:
            return await response.read()
        body = b""
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) >= self._max_bytes:
                break
        return body[: self._max_bytes]

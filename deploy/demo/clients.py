"""The demo's HTTP: the sandbox's own routes, and the control API."""

from collections.abc import Sequence
from dataclasses import dataclass

from aiohttp import ClientError, ClientSession
from pydantic import TypeAdapter

from deploy.errors import LiveDeskError
from deploy.sandbox.customers import CustomerMessage
from deploy.sandbox.provider import LogEntry
from deploy.sandbox.sender import CallbackAttempt, CallbackCounts


@dataclass(frozen=True)
class Callbacks:
    """What the sandbox posted and still has to post."""

    counts: CallbackCounts
    attempts: tuple[CallbackAttempt, ...]


_LOG = TypeAdapter(list[LogEntry])
_CALLBACKS = TypeAdapter(Callbacks)


class SandboxClient:
    """EngageLab's stand-in, steered. Raises LiveDeskError."""

    def __init__(self, session: ClientSession, url: str) -> None:
        self._session, self._url = session, f"{url}/sandbox"

    async def write(self, messages: Sequence[CustomerMessage], copies: int) -> None:
        """Customers write, all in one callback, which is delivered `copies` times."""
        body = [message.model_dump(exclude_none=True) for message in messages]
        await _call(self._session, "POST", f"{self._url}/customers/write?copies={copies}", body)

    async def sent(self, after: int = -1) -> list[LogEntry]:
        """The sends that came after number `after`, oldest first."""
        return _LOG.validate_json(await _call(self._session, "GET", f"{self._url}/log?after={after}"))

    async def callbacks(self) -> Callbacks:
        """The callbacks so far."""
        return _CALLBACKS.validate_json(await _call(self._session, "GET", f"{self._url}/callbacks"))


class DeskClient:
    """The agents' desk: the control API of ingress. Raises LiveDeskError."""

    def __init__(self, session: ClientSession, url: str, channel: str) -> None:
        self._session, self._url = session, f"{url}/v1/channels/{channel}/conversations"

    async def reply(self, contact: str, id: str, agent: str, text: str) -> None:
        """Reply to a customer. id: of the command, and so of the message."""
        await self._command(contact, {"type": "reply", "id": id, "by": agent, "text": text})

    async def resolve(self, contact: str, id: str, agent: str) -> None:
        """Resolve the customer's conversation."""
        await self._command(contact, {"type": "resolve", "id": id, "by": agent})

    async def _command(self, contact: str, body: dict[str, str]) -> None:
        await _call(self._session, "POST", f"{self._url}/{contact}/commands", body)


async def _call(session: ClientSession, method: str, url: str, body: object = None) -> bytes:
    try:
        async with session.request(method, url, json=body) as response:
            answer = await response.read()
    except (ClientError, TimeoutError) as error:
        raise LiveDeskError(f"{method} {url.partition('?')[0]} failed: {type(error).__name__}.") from error
    if response.status >= 300:
        raise LiveDeskError(f"{method} {url.partition('?')[0]} was refused with {response.status}.")
    return answer

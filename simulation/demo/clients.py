"""The demo's HTTP: the sandbox's own routes, and the control API."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aiohttp import ClientError, ClientSession
from pydantic import BaseModel, TypeAdapter

from deploy.errors import LiveDeskError
from schemas.events.people import PresenceState
from simulation.sandbox.customers import CustomerMessage
from simulation.sandbox.gpt.script import GptScript
from simulation.sandbox.gpt.service import GptLogEntry
from simulation.sandbox.providers import LogEntry
from simulation.sandbox.sender import CallbackAttempt, CallbackCounts


@dataclass(frozen=True)
class Callbacks:
    """What the sandbox posted and still has to post."""

    counts: CallbackCounts
    attempts: tuple[CallbackAttempt, ...]


_LOG = TypeAdapter(list[LogEntry])
_CALLBACKS = TypeAdapter(Callbacks)


class _Model(BaseModel):
    calls: tuple[GptLogEntry, ...]


class SandboxClient:
    """Steers the stand-ins for the provider and the AI agent. Raises LiveDeskError."""

    def __init__(self, session: ClientSession, url: str) -> None:
        self._session, self._url = session, f"{url}/sandbox"

    async def write(self, account: str, messages: Sequence[CustomerMessage], copies: int = 1) -> None:
        """Customers write to an account, all in one callback, which is delivered `copies` times."""
        body = [message.model_dump(exclude_none=True) for message in messages]
        await _call(self._session, "POST", f"{self._url}/customers/write?copies={copies}&account={account}", body)

    async def set_ai(self, channel: str, answer: str) -> None:
        """What the AI agent says on a channel from now on: a text, or `handoff`."""
        await _call(self._session, "POST", f"{self._url}/ai", {"answer": answer, "channel": channel})

    async def set_model(self, script: GptScript) -> None:
        """What a GPT agent's model does from now on, at the calls that the script is for."""
        await _call(self._session, "POST", f"{self._url}/gpt", script.model_dump(exclude_unset=True))

    async def model_calls(self) -> tuple[GptLogEntry, ...]:
        """What models were asked for, oldest first."""
        return _Model.model_validate_json(await _call(self._session, "GET", f"{self._url}/gpt")).calls

    async def sent(self, after: int = -1) -> list[LogEntry]:
        """The sends that came after number `after`, oldest first."""
        return _LOG.validate_json(await _call(self._session, "GET", f"{self._url}/log?after={after}"))

    async def callbacks(self) -> Callbacks:
        """The callbacks so far."""
        return _CALLBACKS.validate_json(await _call(self._session, "GET", f"{self._url}/callbacks"))


class ControlClient:
    """Agents and an administrator: the control API. headers: what they sign in with. Raises LiveDeskError."""

    def __init__(self, session: ClientSession, url: str, headers: Mapping[str, str]) -> None:
        self._session, self._url, self._headers = session, f"{url}/v1", headers

    async def command(self, channel: str, contact: str, body: Mapping[str, object]) -> None:
        """An agent asks something of the customer's conversation."""
        # Nobody waits for what it leads to: the events say it.
        await self._ask("POST", f"channels/{channel}/conversations/{contact}/commands?wait=0", body)

    async def change_settings(self, channel: str, change: Mapping[str, object]) -> None:
        """The administrator changes a channel's settings."""
        await self._ask("PATCH", f"channels/{channel}/settings", change)

    async def set_presence(self, account: str, agent: str, state: PresenceState) -> None:
        """An agent comes or goes."""
        await self._ask("PUT", f"accounts/{account}/agents/{agent}/presence", {"state": state})

    async def add_document(self, account: str, collection: str, id: str, markdown: str) -> None:
        """The administrator adds to what GPT agents answer by."""
        await self._ask("PUT", f"accounts/{account}/knowledge/{collection}/{id}?name={id}.md", markdown.encode())

    async def _ask(self, method: str, path: str, body: object) -> None:
        await _call(self._session, method, f"{self._url}/{path}", body, self._headers)


async def _call(
    session: ClientSession, method: str, url: str, body: object = None, headers: Mapping[str, str] | None = None
) -> bytes:
    try:
        sent = {"data": body} if isinstance(body, bytes) else {"json": body}
        async with session.request(method, url, **sent, headers=headers) as response:
            answer = await response.read()
    except (ClientError, TimeoutError) as error:
        raise LiveDeskError(f"{method} {url.partition('?')[0]} failed: {type(error).__name__}.") from error
    if response.status >= 300:
        raise LiveDeskError(f"{method} {url.partition('?')[0]} was refused with {response.status}.")
    return answer

"""Calls to the sandbox's providers, as tests make them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType

import orjson
from pydantic import JsonValue

from providers.provider import Answer, Call, WebhookRequest
from providers.registry import PROVIDERS
from schemas.effects import SendRequest, SendResult
from schemas.events.content import Outgoing
from schemas.events.template import Template as ChosenTemplate
from schemas.settings.channel import ChannelSettings, parse_channel
from schemas.settings.credentials import ProviderName
from simulation.sandbox.accounts import Account
from simulation.sandbox.calls import CallbackRequest, Reply, Request
from simulation.sandbox.providers import Providers
from simulation.sandbox.receipts import Faults
from simulation.sandbox.stand_in import STAND_INS

NOW = datetime(2026, 6, 1, 10, 0, tzinfo=UTC)
NUMBER = "+34600700001"
CONTACT = "34611222333"
URL = "https://desk.example"
API = "https://api.example"
HOOK = f"{URL}/webhooks/any/token"


def channel_at(provider: ProviderName) -> ChannelSettings:
    """A channel with made-up credentials."""
    credentials = STAND_INS[provider].make_credentials("wa1")
    return parse_channel({"id": "wa1", "provider": provider, "phone_number": NUMBER, **credentials})


@dataclass
class Played:
    """One provider with one account, and the channel that uses it."""

    channel: ChannelSettings
    providers: Providers
    now: datetime = NOW
    callbacks: list[CallbackRequest] = field(default_factory=list)

    @classmethod
    def at(
        cls, provider: ProviderName, faults: Faults | None = None, *, auto_receipts: bool = True, **account: object
    ) -> "Played":
        """Everything there is of it. account: fields of the account, beside the channel's."""
        channel = channel_at(provider)
        own = Account.of(channel, callback_url=HOOK, **account)
        return cls(channel, Providers([own], faults=faults, seed=1, auto_receipts=auto_receipts))

    def call(self, call: Call) -> Reply:
        """The answer to a call that the product plans."""
        headers = {name.lower(): value for name, value in call.headers.items()}
        request = Request(call.method, call.path, dict(call.params), headers, call.body or b"", API)
        reply = self.providers.handle(request, self.now)
        assert reply is not None, call.path
        self.callbacks += [callback.request for callback in reply.callbacks]
        return reply

    def ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: bytes = b"",
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> Reply:
        """The answer to a call with the channel's credentials. headers: more of them, in lower case."""
        headers = {**{name.lower(): value for name, value in self._sending().headers.items()}, **headers}
        reply = self.providers.handle(
            Request(method, path, query or {}, headers, body, "https://api.example"), self.now
        )
        assert reply is not None, path
        return reply

    def code(self, reply: Reply) -> JsonValue:
        """The code of a refusal."""
        answer = json_of(reply)
        error = answer.get("error")
        return error.get("code") if isinstance(error, dict) else answer.get("code")

    def send(
        self,
        id: str = "o1",
        *,
        text: str | None = "Good day",
        template: ChosenTemplate | None = None,
        content: Outgoing | None = None,
        to: str = CONTACT,
    ) -> SendResult | None:
        """What the product makes of the answer to a send; None: unknown."""
        reply = self.call(self._sending(id, text, template, content, to))
        if reply.status is None:
            return None
        answer = Answer(reply.status, reply.body, reply.headers.get("Retry-After", ""))
        return PROVIDERS[self.channel.provider].read_send(answer)

    def screened(self, callback: CallbackRequest) -> object:
        """What ingress says against the callback; None: nothing."""
        url = callback.to or HOOK
        signature = STAND_INS[self.channel.provider].sign(self.channel, url, callback, self.now)
        headers = {name.lower(): value for name, value in signature.items()} | {"content-type": callback.content_type}
        called = WebhookRequest("POST", url, headers, callback.body)
        return PROVIDERS[self.channel.provider].screen(called, self.channel)

    def _sending(
        self,
        id: str = "o1",
        text: str | None = "Good day",
        template: ChosenTemplate | None = None,
        content: Outgoing | None = None,
        to: str = CONTACT,
    ) -> Call:
        request = SendRequest(
            effect_id="e1",
            message_id=id,
            conversation=f"wa1:{to}",
            channel="wa1",
            contact=to,
            kind="reply",
            via="session" if template is None else "template",
            text=text,
            template=template,
            content=content,
        )
        call = PROVIDERS[self.channel.provider].plan_send(request, self.channel, HOOK)
        assert isinstance(call, Call), call
        return call


def json_of(reply: Reply) -> dict[str, JsonValue]:
    """The answer's object."""
    body = orjson.loads(reply.body)
    assert isinstance(body, dict)
    return body

"""All stages in memory, before a provider that answers by a script: what tests of whole sends say in a line."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from providers.provider import Answer, Call
from providers.registry import PROVIDERS
from schemas.effects import AiRequest, AiResult, EffectRequest, SendRequest, SettleRequest, SignalRequest
from schemas.event import Event
from schemas.events.callbacks import WebhookReceived
from schemas.events.inbox import Reply
from schemas.ids import conversation_key
from schemas.record import Record
from schemas.settings.channel import ChannelSettings, parse_channel
from schemas.topics import INBOX, WEBHOOKS, Topic
from simulation.scenario.driver_run import at_once
from streams.driver import Driver
from streams.effects.breaker import Breaker
from streams.effects.contract import Done, Outcome, Performers
from streams.effects.sending import Sender
from streams.runtime.settings_store import SettingsStore

NOON = datetime(2026, 9, 21, 12, 0, tzinfo=UTC)
ANA, BEN = "12025550143", "12025550144"
CLOUD = {
    "id": "cloud",
    "provider": "whatsapp_cloud",
    "phone_number": "+12025550100",
    "business_account_id": "700000000000001",
    "phone_number_id": "800000000000001",
    "access_token": "t",
    "app_secret": "s",
    "verify_token": "v",
    "human_agents": ["mia"],
}

Json = dict[str, Any]


def cloud_error(code: int, status: int = 400, message: str = "") -> Answer:
    """Meta's refusal."""
    return Answer(status, orjson.dumps({"error": {"message": message, "code": code}}))


def template(name: str = "come_back", status: str = "APPROVED", category: str = "UTILITY") -> Json:
    """An entry of Meta's list of templates."""
    return {"name": name, "language": "en", "status": status, "category": category}


class Desk:
    """One channel with agent mia, at Cloud unless the settings say otherwise. Seconds count from noon.

    answer: of the provider to a send, by the body that was posted; None: it takes the message as wamid.{number}.
    templates: its list. calls: each call as (seconds, path, body). ai_answer: what the AI agent says to everything.
    """

    def __init__(self, **settings: Any) -> None:
        self._driver: Driver
        self.store = SettingsStore(str)
        self.answer: Callable[[Json], Answer | None] = lambda _body: None
        self.templates: Callable[[Call], Answer] = lambda _call: Answer(200, orjson.dumps({"data": []}))
        self.calls: list[tuple[float, str, Json]] = []
        self.ai_answer = "Hello"
        self._taken = self._written = 0
        self.configure(**settings)
        sender = Sender(self._transport, self.store.newest, lambda: self._driver.now, dict.fromkeys(PROVIDERS, ""))
        self.breaker = Breaker(sender.perform, lambda: self._driver.now.timestamp())
        self._performers: Performers = {
            SendRequest: self.breaker.perform,
            SettleRequest: sender.settle,
            SignalRequest: self.breaker.unless_held(sender.signal),
            AiRequest: self._ask_ai,
        }
        self._driver = Driver(self.store, self._perform, NOON)

    def configure(self, **settings: Any) -> None:
        """A new revision of the channel's settings."""
        self.channel: ChannelSettings = parse_channel(settings if "provider" in settings else {**CLOUD, **settings})
        try:
            revision = self.store.newest(self.channel.id).revision + 1
        except LookupError:
            revision = 1
        self.channel = self.channel.model_copy(update={"revision": revision})
        self.store.add(self.channel)

    @property
    def now(self) -> float:
        return (self._driver.now - NOON).total_seconds()

    def at(self, second: float) -> None:
        """Let time pass until then."""
        self._driver.advance(NOON + timedelta(seconds=second))

    # --- what comes in ---------------------------------------------------------------------------------------------

    def write(self, id: str, text: str = "hi", contact: str = ANA) -> None:
        """The customer writes."""
        stamp = str(int(self._driver.now.timestamp()))
        message = {"id": id, "from": contact, "timestamp": stamp, "type": "text", "text": {"body": text}}
        self.callback({"contacts": [{"profile": {"name": "Ana"}, "wa_id": contact}], "messages": [message]})

    def status(self, provider_id: str, status: str, code: int = 0, contact: str = ANA) -> None:
        """Meta reports what became of a message."""
        errors = {"errors": [{"code": code, "title": "…", "message": "…"}]} if code else {}
        stamp = str(int(self._driver.now.timestamp()))
        row = {"id": provider_id, "status": status, "timestamp": stamp, "recipient_id": contact, **errors}
        self.callback({"statuses": [row]})

    def callback(self, value: Json) -> None:
        metadata = {"display_phone_number": "12025550100", "phone_number_id": "800000000000001"}
        whole = {"messaging_product": "whatsapp", "metadata": metadata, **value}
        entry = {"id": "700000000000001", "changes": [{"field": "messages", "value": whole}]}
        body = orjson.dumps({"object": "whatsapp_business_account", "entry": [entry]})
        self._write(WEBHOOKS, self.channel.id, WebhookReceived(provider="whatsapp_cloud", body=body))

    def reply(self, id: str, text: str = "Hello", contact: str = ANA) -> None:
        """Mia answers."""
        self.ask(Reply(command_id=id, by="mia", text=text), contact)

    def ask(self, event: Event, contact: str = ANA) -> None:
        """Any event of the inbox."""
        self._write(INBOX, conversation_key(self.channel.id, contact), event)

    def _write(self, topic: Topic, key: str, event: Event) -> None:
        self._written += 1
        record = Record(
            f"r{self._written}", "/test", self._driver.now, key, event, self.channel.id, self.channel.revision
        )
        self._driver.write(topic, record)
        self._driver.run()

    # --- what came of it -------------------------------------------------------------------------------------------

    def events(self, kind: type[Event]) -> Iterator[Any]:
        """What was written, of one type, in order."""
        return (record.event for _, record in self._driver.records if isinstance(record.event, kind))

    def posted(self, contact: str = ANA) -> list[Json]:
        """The messages that were posted for the customer, taken or not, in order."""
        return [body for _, _, body in self.calls if body.get("to") == f"+{contact}"]

    def _perform(self, request: EffectRequest, _now: datetime) -> Outcome:
        return at_once(self._performers[type(request)](request))

    async def _ask_ai(self, _request: AiRequest) -> Outcome:
        return Done(AiResult(answer="text", text=self.ai_answer).model_dump(mode="json"))

    async def _transport(self, base_url: str, call: Call, total_s: float) -> Answer:
        assert (base_url, total_s > 0) == ("", True)
        return await self.call(call)

    async def call(self, call: Call) -> Answer:
        """The provider's answer. Raises what a transport raises."""
        body = orjson.loads(call.body) if call.body else {}
        self.calls.append((self.now, call.path, body))
        if call.path.endswith("/message_templates"):
            return self.templates(call)
        answer = self.answer(body)
        if answer is not None:
            return answer
        self._taken += 1
        return Answer(200, orjson.dumps({"messages": [{"id": f"wamid.O{self._taken}"}]}))

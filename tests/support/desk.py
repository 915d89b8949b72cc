"""The whole pipeline in memory, fed by the providers' own callbacks. Everything that is sent is accepted."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import orjson

from agents.conversations.rows import Contact
from schemas.effects import AiRequest, EffectRequest, SendRequest
from schemas.event import Event
from schemas.events.callbacks import WebhookReceived
from schemas.events.conversation import ConversationCommandRefused, ConversationMessageReceived
from schemas.events.inbox import Command, Reply
from schemas.events.operations import DeadLettered
from schemas.events.people import AgentSaved, PresenceChanged
from schemas.events.template import Template
from schemas.record import Record
from schemas.settings.channel import parse_channel
from schemas.topics import ACCOUNT_INBOX, INBOX, WEBHOOKS
from streams.driver import Driver
from streams.effects.contract import Done, Outcome
from streams.runtime.settings_store import SettingsStore
from streams.state import KeyRows

NOON = datetime(2026, 9, 21, 12, 0, tzinfo=UTC)
ACCOUNT_SID = "AC" + "1" * 32
TWILIO_NUMBER = "+12025550100"

ANA, ANA_ID = "34655000001", "ES.7001"

Json = dict[str, Any]


def text(id: str, body: str = "hola", *, phone: str | None = ANA, user_id: str | None = ANA_ID) -> Json:
    """The value of a change: a text of Ana's."""
    who = {"from": phone, "from_user_id": user_id}
    message = {"id": id, "timestamp": str(int(NOON.timestamp())), "type": "text", "text": {"body": body}}
    contact = {"profile": {"name": "Ana"}, "wa_id": phone, "user_id": user_id}
    return {"contacts": [said(contact)], "messages": [said({**who, **message})]}


def said(entries: Json) -> Json:
    """What is not None of them."""
    return {name: value for name, value in entries.items() if value is not None}


class Desk:
    """Two Cloud channels, `shop` and `other`, and a Twilio channel, `line`, on a clock of its own."""

    _people = {"human_agents": ["bea"]}

    def __init__(self, **settings: Any) -> None:
        store = SettingsStore(str)
        self.sent: list[SendRequest] = []
        self.asked: list[AiRequest] = []
        self._records = 0
        secrets = {"access_token": "t", "app_secret": "s", "verify_token": "v"}
        for id, number in (("shop", "550001"), ("other", "550002")):
            ids = {"id": id, "phone_number": f"+3460000{number}", "phone_number_id": number}
            store.add(parse_channel({**ids, "provider": "whatsapp_cloud", **secrets, **self._people, **settings}))
        ids = {"id": "line", "phone_number": TWILIO_NUMBER, "account_sid": ACCOUNT_SID, "auth_token": "t"}
        store.add(parse_channel({**ids, "provider": "twilio", **self._people, **settings}))
        self.driver = Driver(store, self._perform, NOON)
        self._write(ACCOUNT_INBOX, "main", AgentSaved(agent="bea"), "shop")
        self._write(ACCOUNT_INBOX, "main", PresenceChanged(agent="bea", state="online"), "shop")
        self.driver.run()

    def _perform(self, request: EffectRequest, _now: datetime) -> Outcome:
        if isinstance(request, SendRequest):
            self.sent.append(request)
            return Done({"answer": "accepted", "provider_message_id": f"wamid.of-{request.message_id}"})
        assert isinstance(request, AiRequest)
        self.asked.append(request)
        return Done({"answer": "text", "text": "ai says"})

    def _write(self, topic: Any, key: str, event: Event, channel: str) -> None:
        self._records += 1
        self.driver.now += timedelta(seconds=1)
        self.driver.write(
            topic, Record(f"r{self._records}", "/test", self.driver.now, key, event, channel, settings_revision=1)
        )

    def callback(self, value: Json, *, field: str = "messages", channel: str = "shop") -> None:
        """Meta's, of one change, for that channel's number."""
        number = {"shop": "550001", "other": "550002"}[channel]
        value = {"metadata": {"phone_number_id": number}, **value}
        self.post({"entry": [{"id": "66", "changes": [{"field": field, "value": value}]}]}, channel=channel)

    def post(self, body: Json, *, channel: str = "shop", elsewhere: tuple[str, ...] = ()) -> None:
        """Meta's, whole."""
        received = WebhookReceived(provider="whatsapp_cloud", body=orjson.dumps(body), elsewhere=elsewhere)
        self._take(received, channel)

    def form(self, *, query: str = "", **fields: str) -> None:
        """Twilio's."""
        self._take(WebhookReceived(provider="twilio", body=urlencode(fields).encode(), query=query), "line")

    def _take(self, received: WebhookReceived, channel: str) -> None:
        self._write(WEBHOOKS, channel, received, channel)
        self.driver.run()
        assert not self.events(DeadLettered)

    def reply(self, id: str, contact: str, *, channel: str = "shop", template: Template | None = None) -> None:
        text = "Servus" if template is None else None
        self.command(Reply(command_id=id, by="bea", text=text, template=template), contact, channel=channel)

    def command(self, command: Command, contact: str, *, channel: str = "shop") -> None:
        self.write(command, contact, channel=channel)
        assert not self.events(ConversationCommandRefused)

    def write(self, command: Command, contact: str, *, channel: str = "shop") -> None:
        """A command, refused or not."""
        self._write(INBOX, f"{channel}:{contact}", command, channel)
        self.driver.run()

    def events(self, model: type[Any]) -> list[Any]:
        return [record.event for _, record in self.driver.records if isinstance(record.event, model)]

    def threads(self) -> list[tuple[str, str]]:
        """Of each customer's message, its id and its contact."""
        return [(event.message_id, event.header.contact) for event in self.events(ConversationMessageReceived)]

    def contact(self, key: str) -> Contact:
        row = KeyRows(self.driver.states["conversations"], key).get("contact", Contact)
        assert row is not None
        return row

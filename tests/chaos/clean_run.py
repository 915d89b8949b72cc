"""A small system without faults: the in-memory driver, the sandbox's provider and a scripted AI agent."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

import httpx2

from desk.journal import Change
from providers.registry import PROVIDERS
from schemas.codec import from_kafka, to_kafka
from schemas.effects import (
    AiRequest,
    AiResult,
    EffectRequest,
    GptRequest,
    KnowledgeRequest,
    KnowledgeResult,
    MediaRequest,
    Passage,
    SendRequest,
    ToolRequest,
)
from schemas.events.callbacks import WebhookReceived
from schemas.events.inbox import Command
from schemas.events.operations import TimersFired
from schemas.events.people import PresenceState
from schemas.ids import conversation_key
from schemas.record import Record, milliseconds
from schemas.settings.ai import GptAgent, HandOverRules, Tool
from schemas.settings.business_hours import BusinessHours
from schemas.settings.channel import (
    Ai,
    AiAgent,
    Assignment,
    ChannelSettings,
    ConversationSettings,
    Csat,
    Greeting,
    apply_change,
)
from schemas.settings.channels_file import Agent
from schemas.settings.credentials import ProviderName
from schemas.topics import ACCOUNT_INBOX, CHANNELS, DIRECTORY, INBOX, TIMERS, WEBHOOKS, Topic
from simulation.sandbox.accounts import Account, Behaviour
from simulation.sandbox.ai import AiStandIn
from simulation.sandbox.calls import CallbackRequest, ScheduledCallback
from simulation.sandbox.gpt.script import GptScript, GptTurn
from simulation.sandbox.gpt.stand_in import GptStandIn, ModelsInMemory, ToolsInMemory
from simulation.sandbox.happenings import Customer, Quote, Reported, SentMessage, Written
from simulation.sandbox.in_memory import InMemory, store_at_once
from simulation.sandbox.providers import Providers
from simulation.sandbox.receipts import Faults
from simulation.sandbox.stand_in import STAND_INS
from simulation.scenario.driver_run import at_once, meanwhile
from streams.driver import Driver
from streams.effects.contract import Done, Outcome
from streams.effects.gpt import GptClient
from streams.effects.sending import Sender
from streams.effects.spending import Spending
from streams.effects.tools import ToolClient
from streams.runtime.settings_store import SettingsStore
from streams.topology import TOPOLOGY
from tests.chaos.history import Acknowledged, Gpt, History, Message

START: Final = datetime(2026, 4, 7, 9, 30, tzinfo=UTC)
ACCOUNT: Final = "acme"
_BY_INGRESS: Final[Mapping[str, Topic]] = {topic.full_name(""): topic for topic in (CHANNELS, DIRECTORY, ACCOUNT_INBOX)}


def _channel(id: str, number: int, provider: ProviderName, **settings: object) -> ChannelSettings:
    common = {
        **STAND_INS[provider].make_credentials(id),
        "provider": provider,
        "id": id,
        "account": ACCOUNT,
        "revision": 1,
        "phone_number": f"+3197000000{number}",
        "human_agents": ("a1", "a2"),
        "greeting": Greeting(enabled=True, text="Welkom"),
        "csat": Csat(enabled=True, text="Van 1 tot 5?"),
        "conversation": ConversationSettings(close_after=timedelta(minutes=5)),
    }
    return ChannelSettings.model_validate(common | settings)


SHOP: Final = _channel("shop", 1, "engagelab", assignment=Assignment(strategy="workload", workload_default=2))
BOT: Final = _channel(
    "bot",
    2,
    "whatsapp_cloud",
    ai=Ai(enabled=True, agents=(AiAgent(id="robot"),)),
    assignment=Assignment(strategy="sequential"),
)
NIGHT: Final = _channel(
    "night",
    3,
    "twilio",
    business_hours=BusinessHours(enabled=True, timezone="Europe/Madrid", unavailable_message="Dicht"),
)
_SERVICE: Final = "https://sandbox.example/ai/guide"
GUIDE: Final = _channel(
    "guide",
    4,
    "engagelab",
    ai=Ai(enabled=True, agents=(AiAgent(id="guide"),)),
    ai_agents=(
        GptAgent(
            id="guide",
            model="m-1",
            base_url=f"{_SERVICE}/v1",
            knowledge=("faq",),
            tools=(Tool(name="book", description="Book.", method="POST", url=f"{_SERVICE}/tools/book"),),
            hand_over=HandOverRules(text="Een mens komt."),
            price_in=Decimal(2),
            price_out=Decimal(8),
        ),
    ),
    assignment=Assignment(strategy="sequential"),
)
GUIDE_SAYS: Final = frozenset({"Zo is het.", "Klaar."})


def _webhook_url(channel: ChannelSettings) -> str:
    return f"https://livedesk.example/{channel.id}"


def key_of(contact: str, channel: ChannelSettings = SHOP) -> str:
    return conversation_key(channel.id, contact)


class CleanRun:
    """Customers write, agents and the AI agent answer, the provider reports; time passes when asked."""

    def __init__(self) -> None:
        self._store = SettingsStore(str)
        accounts = [Account.of(one) for one in (SHOP, BOT, NIGHT, GUIDE)]
        self._provider = Providers(accounts, faults=Faults(duplicate=0.3, reorder=0.2))
        self._driver = Driver(self._store, self._perform, START)
        self._posts: list[ScheduledCallback] = []
        sandbox = InMemory(self._provider, AiStandIn(), lambda: self.now, self._posts.extend)
        self._sender = Sender(
            sandbox, self._store.newest, lambda: self.now, dict.fromkeys(PROVIDERS, ""), webhook_url=_webhook_url
        )
        self._gpt = GptStandIn()
        models = httpx2.AsyncClient(transport=ModelsInMemory(self._gpt, lambda: self.now))
        seconds = lambda: self.now.timestamp()  # noqa: E731 - as short as it is
        spending = Spending(lambda: self.now)
        self._models = GptClient(models, self._store, spending, lambda: self.now, seconds)
        self._tools = ToolClient(ToolsInMemory(self._gpt, lambda: self.now), self._store.newest, seconds)
        self._firings: list[Record] = []
        self._ids = 0
        self._messages: dict[str, str] = {}
        self._commands: dict[str, str] = {}
        self._replies: dict[str, str] = {}
        self._settings: set[tuple[str, int]] = set()
        self._answered: dict[str, list[AiResult]] = defaultdict(list)
        self._receipts: Counter[int] = Counter()
        self.ai = AiResult(answer="text", text="Hallo")
        self._channels: dict[str, ChannelSettings] = {}

    @property
    def now(self) -> datetime:
        return self._driver.now

    # --- settings and people ---------------------------------------------------------------------------------------

    def save(self, settings: ChannelSettings) -> None:
        """A channel's next revision."""
        change, before = self._change(), self._channels.get(settings.id)
        change.save_channel(settings, before)
        self._channels[settings.id] = settings
        self._store.add(settings)
        self._settings.add((settings.id, settings.revision))
        self._write(change)

    def change(self, channel: ChannelSettings, change: Mapping[str, object]) -> None:
        """An administrator changes a channel's settings."""
        self.save(apply_change(self._channels[channel.id], change))

    def agent(self, agent: str, state: PresenceState) -> None:
        """An agent is saved, and there or not."""
        change = self._change()
        change.save_agent(ACCOUNT, Agent(id=agent))
        change.set_presence(ACCOUNT, agent, state)
        self._write(change)

    def _change(self) -> Change:
        return Change("", self._id(), self._driver.now, lambda secret: secret)

    def _write(self, change: Change) -> None:
        for name, _, value, headers in change.messages:
            topic = _BY_INGRESS[name]
            self._driver.write(topic, from_kafka(topic, value, headers))
        self._driver.run()

    # --- customers and agents --------------------------------------------------------------------------------------

    def write(
        self,
        contact: str,
        id: str,
        channel: ChannelSettings = SHOP,
        text: str = "hoi",
        *,
        late: timedelta = timedelta(),
        quotes: str | None = None,
    ) -> None:
        """A customer writes. late: how far the provider's clock is behind. quotes: the id of a message of ours."""
        quote = None if quotes is None else Quote(quotes)
        written = Written(id, Customer(contact, "Bo"), self._driver.now - late, text=text, quotes=quote)
        self._happen(channel, written)
        self._messages[id] = key_of(contact, channel)
        self._driver.run()

    def write_at_once(self, contact: str, ids: tuple[str, ...], channel: ChannelSettings) -> None:
        """A customer's messages come in one callback, so that the second waits while the first is answered."""
        self._happen(channel, *(Written(id, Customer(contact, "Bo"), self._driver.now) for id in ids))
        self._messages.update(dict.fromkeys(ids, key_of(contact, channel)))
        self._driver.run()

    def show(self, contact: str, id: str, channel: ChannelSettings = SHOP) -> None:
        """A customer sends a picture."""
        link = f"https://files.example/{id}"
        self._happen(channel, Written(id, Customer(contact, "Bo"), self._driver.now, "image", link=link))
        self._messages[id] = key_of(contact, channel)
        self._driver.run()

    def ask(self, contact: str, command: Command, channel: ChannelSettings = SHOP) -> None:
        """An agent asks something of a conversation."""
        key = self._commands[command.command_id] = key_of(contact, channel)
        if command.type == "command.reply":
            self._replies[command.command_id] = key
        record = Record(
            self._id(), "/livedesk/ingress", self._driver.now, key, command, channel.id, self._stamp(channel)
        )
        self._driver.write(INBOX, record)
        self._driver.run()

    def provider(self, behaviour: Behaviour, channel: ChannelSettings = SHOP) -> None:
        """How the next sends are answered."""
        self._provider.set_behaviour(behaviour, channel.id)

    def model(self, *turns: GptTurn) -> None:
        """What the GPT agent's model does at its next calls."""
        self._gpt.service.set_script(GptScript(turns=turns))

    def fail_last(self, contact: str, channel: ChannelSettings = SHOP) -> None:
        """The provider reports that the last message did not reach the customer."""
        entry = next(entry for entry in reversed(self._provider.log) if entry.contact == contact and entry.message_id)
        stand_in = STAND_INS[channel.provider]
        echo = stand_in.echo(entry.id or "", entry.conversation or "", _webhook_url(channel))
        failed = Reported(SentMessage(entry.id or "", Customer(contact, "Bo"), echo=echo), "sent_failed", self.now)
        for request in stand_in.render(Account.of(channel), [failed]):
            self._posts.append(ScheduledCallback(self.now, channel.id, request))

    def last_sent(self, contact: str) -> str:
        """The id of the last message that the customer got."""
        return next(entry.id for entry in reversed(self._provider.log) if entry.contact == contact and entry.id)

    def wait(self, seconds: float) -> None:
        """Time passes: receipts come, timers fire and their positions are recorded."""
        until = self._driver.now + timedelta(seconds=seconds)
        while True:
            posts = sorted((post.at, index) for index, post in enumerate(self._posts))
            deadline = self._driver.next_deadline()
            if posts and posts[0][0] <= min(until, deadline or until):
                post = self._posts.pop(posts[0][1])
                self._driver.now = max(self._driver.now, post.at)
                self._receipts[len(post.body)] += 1
                self._post(post.account, post.request)
                self._driver.run()
            elif deadline is not None and deadline <= until:
                self._record_firing(deadline)
                self._driver.advance(deadline)
            else:
                self._driver.now = until
                return

    def history(self) -> History:
        """All of it."""
        messages: dict[Topic, list[Message]] = defaultdict(list)
        for topic, record in [*self._driver.records, *((TIMERS, record) for record in self._firings)]:
            value, headers = to_kafka(topic, record)
            at = milliseconds(record.time)
            message = Message(0, len(messages[topic]), at, record.subject.encode(), value, tuple(headers))
            messages[topic].append(message)
        return History(
            stages=TOPOLOGY,
            messages=messages,
            states={
                name: {0: {(key, row): value for key, row, value in state.rows()}}
                for name, state in self._driver.states.items()
            },
            settings=self._store.lookup,
            acknowledged=Acknowledged(self._messages, self._replies, self._commands, self._settings),
            sent=self._provider.log,
            answered=self._answered,
            gpt=Gpt(tuple(self._gpt.service.log), tuple(self._gpt.tools.log), GUIDE_SAYS),
            receipts=self._receipts,
        )

    def _happen(self, channel: ChannelSettings, *written: Written) -> None:
        for request in STAND_INS[channel.provider].render(Account.of(channel), written):
            self._post(channel.id, request)

    def _post(self, channel: str, request: CallbackRequest) -> None:
        query = request.to.partition("?")[2]
        event = WebhookReceived(provider=self._channels[channel].provider, body=request.body, query=query)
        stamp = (channel, self._channels[channel].revision)
        record = Record(self._id(), "/livedesk/ingress", self._driver.now, channel, event, *stamp)
        self._driver.write(WEBHOOKS, record)

    def _stamp(self, channel: ChannelSettings) -> int:
        return self._channels[channel.id].revision

    def _id(self) -> str:
        self._ids += 1
        return f"d{self._ids}"

    def _record_firing(self, deadline: datetime) -> None:
        for stage in TOPOLOGY:
            due = self._driver.states[stage.name].next_deadline()
            if due is not None and due <= deadline:
                offset = sum(topic.name == stage.input.name for topic, _ in self._driver.records)
                fired = TimersFired(stage=stage.name, partition=0, due=deadline, offset=offset)
                subject = f"{stage.name}/0"
                self._firings.append(Record(self._id(), f"/livedesk/{stage.name}", deadline, subject, fired))

    def _perform(self, request: EffectRequest, _now: datetime) -> Outcome:
        if isinstance(request, AiRequest):
            self._answered[request.question.request_id].append(self.ai)
            return Done(self.ai.model_dump(mode="json", exclude_defaults=True))
        if isinstance(request, MediaRequest):
            return at_once(store_at_once(request))
        if isinstance(request, GptRequest):
            return meanwhile(self._models.perform(request))
        if isinstance(request, ToolRequest):
            return at_once(self._tools.perform(request))
        if isinstance(request, KnowledgeRequest):
            found = Passage(id="faq/zaken/1", title="Zaken", text="Zo is het.")
            return Done(KnowledgeResult(passages=(found,)).model_dump(mode="json"))
        assert isinstance(request, SendRequest)
        return at_once(self._sender.perform(request))

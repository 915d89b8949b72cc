"""The conversations stage on a bench, with one contact: what tests of it say in a line."""

from datetime import UTC, datetime, timedelta
from typing import Literal

from agents.conversations.decide import CONVERSATIONS
from agents.conversations.rows import Conversation
from schemas.event import Event
from schemas.events.ai import AiRequested
from schemas.events.content import Outgoing
from schemas.events.conversation import Assignee, ConversationCommandRefused, Status
from schemas.events.inbox import (
    AddNote,
    AiAnswered,
    AiFailed,
    AiHandedOver,
    Assign,
    Block,
    DeliverySent,
    DeliveryUnsent,
    HandOver,
    Label,
    MessageReceived,
    Mute,
    NoticeReceived,
    ProposeAssignee,
    ProposeSurvey,
    Reopen,
    Reply,
    Resolve,
    Snooze,
    Unblock,
)
from schemas.events.template import Template
from schemas.settings.channel import Ai, AiAgent, ChannelSettings, ConversationSettings, Csat
from tests.support.stage import Emitted, StageBench, all_of, types

KEY = "kiosk:4915112345678"
START = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
HELLO = Template(name="hello", language="de")
ANA = Assignee(kind="human", id="ana")
BEN = Assignee(kind="human", id="ben")
BOT = Assignee(kind="ai", id="bot")
NIGHT_BOT = Assignee(kind="ai", id="night-bot")
SALES = Assignee(kind="team", id="sales")
RATE_US = Csat(enabled=True, text="1 to 5?")


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


def channel(
    *,
    single: bool = False,
    close_after: timedelta = timedelta(hours=24),
    auto_resolve_after: timedelta | None = None,
    goodbye: str = "",
    ai: bool = True,
    csat: Csat = RATE_US,
    members: tuple[str, ...] = ("ana", "ben"),
    provider: Literal["engagelab", "whatsapp_cloud", "twilio"] = "engagelab",
) -> ChannelSettings:
    return ChannelSettings(
        id="kiosk",
        provider=provider,
        account="acme",
        phone_number="+4930901820",
        human_agents=members,
        ai=Ai(enabled=ai, agents=(AiAgent(id="bot"), AiAgent(id="night-bot"))),
        csat=csat,
        conversation=ConversationSettings(
            single_conversation=single,
            close_after=close_after,
            auto_resolve_after=auto_resolve_after,
            goodbye_message=goodbye,
        ),
    )


def refusals(emitted: list[Emitted]) -> list[str]:
    """The codes of what was refused, which is all that happened."""
    assert types(emitted) == [ConversationCommandRefused.type] * len(emitted)
    return [event.code for event in all_of(ConversationCommandRefused, emitted)]


class ConversationBench:
    """One contact's conversations. Every call happens at `now`, which the test moves."""

    def __init__(self, settings: ChannelSettings | None = None) -> None:
        self.stage = StageBench(CONVERSATIONS, settings or channel())
        self.now = START
        self._commands = 0

    def feed(self, event: Event) -> list[Emitted]:
        return self.stage.feed(event, at=self.now, key=KEY)

    def wait(self, duration: timedelta) -> list[Emitted]:
        """Time passes; what the timers emitted."""
        self.now += duration
        return self.stage.fire(self.now)

    def message(
        self,
        id: str,
        *,
        text: str = "Moin",
        sent_at: datetime | None = None,
        name: str | None = None,
        quotes: str | None = None,
        kind: str = "text",
    ) -> list[Emitted]:
        return self.feed(
            MessageReceived(
                message_id=id, text=text, sent_at=sent_at, name=name, quotes_provider_message_id=quotes, kind=kind
            )
        )

    def notice(self, id: str, kind: str = "reaction") -> list[Emitted]:
        return self.feed(NoticeReceived(kind=kind, message_id=id, refers_to="m1"))

    def reply(
        self,
        id: str,
        *,
        by: str = "ana",
        text: str | None = "Hallo",
        template: Template | None = None,
        content: Outgoing | None = None,
    ) -> list[Emitted]:
        return self.feed(Reply(command_id=id, by=by, text=text, template=template, content=content))

    def resolve(self, id: str, *, by: str = "ana") -> list[Emitted]:
        return self.feed(Resolve(command_id=id, by=by))

    def note(self, text: str = "calls back") -> list[Emitted]:
        return self.feed(AddNote(command_id=self._command_id(), by="ana", text=text))

    def reopen(self, *, by: str = "ana") -> list[Emitted]:
        return self.feed(Reopen(command_id=self._command_id(), by=by))

    def snooze(self, until: datetime | None = None) -> list[Emitted]:
        return self.feed(Snooze(command_id=self._command_id(), by="ana", until=until))

    def assign(self, to: Assignee, *, by: str = "ana") -> list[Emitted]:
        return self.feed(Assign(command_id=self._command_id(), by=by, to=to))

    def hand_over(self) -> list[Emitted]:
        return self.feed(HandOver(command_id=self._command_id(), by="ana"))

    def label(self, add: tuple[str, ...] = (), remove: tuple[str, ...] = ()) -> list[Emitted]:
        return self.feed(Label(command_id=self._command_id(), by="ana", add=add, remove=remove))

    def block(self) -> list[Emitted]:
        return self.feed(Block(command_id=self._command_id(), by="ana"))

    def unblock(self) -> list[Emitted]:
        return self.feed(Unblock(command_id=self._command_id(), by="ana"))

    def mute(self) -> list[Emitted]:
        return self.feed(Mute(command_id=self._command_id(), by="ana"))

    def _command_id(self) -> str:
        self._commands += 1
        return f"command-{self._commands}"

    def propose(
        self, assignee: Assignee | None = None, *, revision: int | None = None, conversation: str | None = None
    ) -> list[Emitted]:
        """For the latest conversation as it is, unless said otherwise."""
        proposal = ProposeAssignee(
            proposal_id="p1",
            conversation_id=conversation or self.latest.id,
            revision=revision or self.latest.revision,
            assignee=assignee,
            explanation={"decision": "test"},
        )
        return self.feed(proposal)

    def ask_survey(
        self, id: str = "s1", *, revision: int | None = None, conversation: str | None = None
    ) -> list[Emitted]:
        """For the latest conversation as it is, unless said otherwise."""
        proposal = ProposeSurvey(
            survey_id=id,
            conversation_id=conversation or self.latest.id,
            revision=revision or self.latest.revision,
        )
        return self.feed(proposal)

    def ai_answers(self, request: AiRequested, text: str = "Gern") -> list[Emitted]:
        return self.feed(AiAnswered(request_id=request.request_id, conversation_id=request.conversation_id, text=text))

    def ai_hands_over(self, request: AiRequested) -> list[Emitted]:
        return self.feed(AiHandedOver(request_id=request.request_id, conversation_id=request.conversation_id))

    def ai_fails(self, request: AiRequested) -> list[Emitted]:
        return self.feed(AiFailed(request_id=request.request_id, conversation_id=request.conversation_id))

    def sent(
        self, id: str, kind: str = "reply", conversation: str | None = None, provider_id: str | None = None
    ) -> list[Emitted]:
        by = "ana" if kind == "reply" else None
        return self.feed(
            DeliverySent(
                message_id=id,
                provider_message_id=provider_id,
                conversation_id=conversation or self.latest.id,
                kind=kind,
                by=by,
                text="Hallo",
                via="session",
            )
        )

    def unsent(
        self, id: str, kind: str, reason: str, code: int | None = None, conversation: str | None = None
    ) -> list[Emitted]:
        event = DeliveryUnsent(
            message_id=id, conversation_id=conversation or self.latest.id, kind=kind, reason=reason, code=code
        )
        return self.feed(event)

    def closed(self) -> None:
        """A conversation that was opened, resolved and closed."""
        self.message("closed-1")
        self.resolve("closed-2")
        self.wait(timedelta(hours=24))

    @property
    def rows(self) -> list[Conversation]:
        """The conversations that have a row, in order of opening."""
        found = [self.stage.row(KEY, name, Conversation) for name in self.stage.row_names(KEY, "conversation/")]
        return [row for row in found if row is not None]

    @property
    def latest(self) -> Conversation:
        return self.rows[-1]

    @property
    def statuses(self) -> list[Status]:
        return [row.status for row in self.rows]

"""The conversations stage on a bench, with one contact: what tests of it say in a line."""

from datetime import UTC, datetime, timedelta

from agents.conversations import CONVERSATIONS
from agents.conversations_draft import Conversation
from schemas.channel import ChannelSettings, ConversationSettings
from schemas.conversation import (
    Assignee,
    DeliverySent,
    DeliveryUnsent,
    MessageReceived,
    NoticeReceived,
    ProposeAssignee,
    Reply,
    Resolve,
    Status,
    Template,
)
from schemas.event import Event
from tests.unit.stage_bench import Emitted, StageBench

KEY = "kiosk:4915112345678"
START = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
HELLO = Template(name="hello", language="de")
ANA = Assignee(kind="human", id="ana")
BEN = Assignee(kind="human", id="ben")
BOT = Assignee(kind="ai", id="bot")


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


def channel(*, single: bool = False, close_after: timedelta = timedelta(hours=24)) -> ChannelSettings:
    return ChannelSettings(
        id="kiosk",
        account="acme",
        phone_number="+4930901820",
        human_agents=("ana", "ben"),
        conversation=ConversationSettings(single_conversation=single, close_after=close_after),
    )


class Desk:
    """One contact's conversations. Every call happens at `now`, which the test moves."""

    def __init__(self, settings: ChannelSettings | None = None) -> None:
        self.bench = StageBench(CONVERSATIONS, settings or channel())
        self.now = START

    def feed(self, event: Event) -> list[Emitted]:
        return self.bench.feed(event, at=self.now, key=KEY)

    def wait(self, duration: timedelta) -> list[Emitted]:
        """Time passes; what the timers emitted."""
        self.now += duration
        return self.bench.fire(self.now)

    def message(
        self, id: str, *, text: str = "Moin", sent_at: datetime | None = None, name: str | None = None
    ) -> list[Emitted]:
        return self.feed(MessageReceived(message_id=id, text=text, sent_at=sent_at, name=name))

    def notice(self, id: str, kind: str = "reaction") -> list[Emitted]:
        return self.feed(NoticeReceived(kind=kind, message_id=id, refers_to="m1"))

    def reply(
        self, id: str, *, by: str = "ana", text: str | None = "Hallo", template: Template | None = None
    ) -> list[Emitted]:
        return self.feed(Reply(command_id=id, by=by, text=text, template=template))

    def resolve(self, id: str, *, by: str = "ana") -> list[Emitted]:
        return self.feed(Resolve(command_id=id, by=by))

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

    def sent(self, id: str, kind: str = "reply", conversation: str | None = None) -> list[Emitted]:
        by = "ana" if kind == "reply" else None
        return self.feed(
            DeliverySent(
                message_id=id,
                conversation_id=conversation or self.latest.id,
                kind=kind,
                by=by,
                text="Hallo",
                via="session",
            )
        )

    def unsent(self, id: str, kind: str, reason: str, code: int | None = None) -> list[Emitted]:
        event = DeliveryUnsent(message_id=id, conversation_id=self.latest.id, kind=kind, reason=reason, code=code)
        return self.feed(event)

    def closed(self) -> None:
        """A conversation that was opened, resolved and closed."""
        self.message("closed-1")
        self.resolve("closed-2")
        self.wait(timedelta(hours=24))

    @property
    def rows(self) -> list[Conversation]:
        """The conversations that have a row, in order of opening."""
        found = [self.bench.row(KEY, name, Conversation) for name in self.bench.row_names(KEY, "conversation/")]
        return [row for row in found if row is not None]

    @property
    def latest(self) -> Conversation:
        return self.rows[-1]

    @property
    def statuses(self) -> list[Status]:
        return [row.status for row in self.rows]

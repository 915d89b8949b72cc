"""A decision of conversations in the making: its rows, and what is written and told so far."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, Literal

from agents.retention import Kept, sweep_timer
from agents.stage import Context, Decision, Emit, Row, Rows
from schemas.channel import ChannelSettings
from schemas.conversation import (
    SESSION_WINDOW,
    Assignee,
    ConversationAssigned,
    ConversationCommandRefused,
    ConversationEvent,
    ConversationStatusChanged,
    Header,
    Status,
)
from schemas.event import Event
from schemas.ids import channel_of, contact_of
from schemas.messaging import SendMessage
from schemas.system import ConversationChanged
from schemas.topics import ACCOUNT_INBOX, CONVERSATIONS, OUTBOUND

CONTACT: Final = "contact"
SEEN_PREFIXES: Final = ("seen/", "notice/", "command/")
CLOSE: Final = "close/"
SEEN_FOR: Final = timedelta(days=7)
"""For how long a message, notice or command that comes again is known."""


class Contact(Row):
    """The customer: kept for ever, so small.

    latest: the number of the latest conversation, so also how many there were. last_customer_at: the provider's clock.
    unsent_noted: the customer did not write since a note said that an automatic message was not sent.
    """

    name: str | None = None
    latest: int = 0
    last_customer_at: datetime | None = None
    unsent_noted: bool = False

    @property
    def session_ends(self) -> datetime | None:
        """The end of the session window, itself outside it; None when the customer never wrote."""
        return None if self.last_customer_at is None else self.last_customer_at + SESSION_WINDOW


class Conversation(Row):
    """One conversation, without its thread.

    reopened: what is routed from then on is no first routing, not even where it was resolved before it had one.
    """

    number: int
    id: str
    opened_at: datetime
    opened_by: Literal["customer", "agent"]
    revision: int = 1
    status: Status = Status.OPEN
    assignee: Assignee | None = None
    routed: bool = False
    reopened: bool = False
    messages_in: int = 0
    messages_out: int = 0
    messages_automatic: int = 0
    last_human_at: datetime | None = None


def row_name(number: int) -> str:
    """The name of that conversation's row."""
    return f"conversation/{number:08d}"


def close_timer(number: int) -> str:
    """The name of the timer that closes that conversation."""
    return f"{CLOSE}{number}"


@dataclass(frozen=True, slots=True)
class Draft:
    """What is decided so far. conversation: the one it is about, as it will be; at first the contact's latest."""

    rows: Rows
    ctx: Context
    contact: Contact
    conversation: Conversation | None
    writes: Mapping[str, Row | None] = field(default_factory=dict)
    emits: tuple[Emit, ...] = ()
    timers: Mapping[str, datetime | None] = field(default_factory=dict)

    @classmethod
    def begin(cls, rows: Rows, ctx: Context) -> "Draft":
        """Nothing decided yet."""
        contact = rows.get(CONTACT, Contact) or Contact()
        return cls(rows, ctx, contact, rows.get(row_name(contact.latest), Conversation))

    def decision(self) -> Decision:
        """All of it."""
        return Decision(self.writes, self.emits, self.timers)

    # --- what is known ---------------------------------------------------------------------------------------------

    @property
    def now(self) -> datetime:
        return self.ctx.now

    @property
    def channel(self) -> str:
        """The channel's id."""
        return channel_of(self.ctx.key)

    @property
    def settings(self) -> ChannelSettings:
        """The channel's settings."""
        return self.ctx.settings(self.channel)

    @property
    def current(self) -> Conversation:
        """The conversation it is about, where there is one."""
        if self.conversation is None:
            raise LookupError("no conversation")
        return self.conversation

    @property
    def header(self) -> Header:
        """What the events say of the conversation as it will be."""
        row = self.current
        return Header(
            conversation_id=row.id,
            channel=self.channel,
            contact=contact_of(self.ctx.key),
            contact_name=self.contact.name,
            opened_at=row.opened_at,
            opened_by=row.opened_by,
            revision=row.revision,
            status=row.status,
            assignee=row.assignee,
            routed=row.routed,
            messages_in=row.messages_in,
            messages_out=row.messages_out,
            messages_automatic=row.messages_automatic,
            last_customer_at=self.contact.last_customer_at,
            last_human_at=row.last_human_at,
        )

    def conversations(self) -> Iterator[Conversation]:
        """Those that have a row: the latest, and those that are not closed yet."""
        if self.conversation is not None:
            yield self.conversation
        for _, row in self.rows.scan("conversation/", Conversation):
            yield row

    def find(self, conversation_id: str) -> Conversation | None:
        """The conversation of that id, while it has a row."""
        return next((row for row in self.conversations() if row.id == conversation_id), None)

    # --- what is decided -------------------------------------------------------------------------------------------

    def about(self, conversation: Conversation) -> "Draft":
        """It goes on about another conversation."""
        return replace(self, conversation=conversation)

    def write(self, name: str, row: Row) -> "Draft":
        return replace(self, writes={**self.writes, name: row})

    def drop(self, conversation: Conversation) -> "Draft":
        """Delete the conversation's row."""
        return replace(self, writes={**self.writes, row_name(conversation.number): None})

    def keep(self, conversation: Conversation) -> "Draft":
        """Write the conversation, which it is about from here on."""
        return self.about(conversation).write(row_name(conversation.number), conversation)

    def keep_contact(self, contact: Contact) -> "Draft":
        return replace(self, contact=contact).write(CONTACT, contact)

    def remember(self, name: str) -> "Draft":
        """Write that it was taken."""
        timer = sweep_timer(self.rows, SEEN_PREFIXES, self.now, SEEN_FOR)
        return replace(self.write(name, Kept(since=self.now)), timers={**self.timers, **timer})

    def set_timer(self, name: str, at: datetime | None) -> "Draft":
        return replace(self, timers={**self.timers, name: at})

    def tell(self, event: ConversationEvent | ConversationCommandRefused) -> "Draft":
        """Say on the conversations topic what became of it."""
        return self._emit(Emit(CONVERSATIONS, self.ctx.key, event, self.channel))

    def tell_account(self, event: Event) -> "Draft":
        """Tell assignment."""
        return self._emit(Emit(ACCOUNT_INBOX, self.settings.account, event, self.channel))

    def send(self, message: SendMessage) -> "Draft":
        return self._emit(Emit(OUTBOUND, self.ctx.key, message, self.channel))

    def _emit(self, emit: Emit) -> "Draft":
        return replace(self, emits=(*self.emits, emit))

    def change(self, after: Conversation, *, reason: str, by: str | None = None) -> "Draft":
        """Change status or assignee, the only way they ever do: a new revision, told to everybody."""
        before = self.current
        draft = self.keep(after.model_copy(update={"revision": before.revision + 1}))
        if after.assignee != before.assignee:
            draft = draft.tell(ConversationAssigned(header=draft.header, previous=before.assignee, by=by))
        if after.status is not before.status:
            changed = ConversationStatusChanged(header=draft.header, previous=before.status, by=by, reason=reason)
            draft = draft.tell(changed)
        return draft.tell_changed()

    def tell_changed(self) -> "Draft":
        """Tell assignment of the conversation's status and assignee."""
        row = self.current
        changed = ConversationChanged(
            conversation_id=row.id,
            conversation_key=self.ctx.key,
            channel=self.channel,
            revision=row.revision,
            status=row.status,
            assignee=row.assignee,
        )
        return self.tell_account(changed)

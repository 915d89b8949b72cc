"""The rows of conversations: what is kept of a contact."""

from datetime import datetime
from typing import Final, Literal

from agents.retention import Aged
from agents.stage import Row
from schemas.events.conversation import SESSION_WINDOW, Assignee, Status
from schemas.record import milliseconds

CONTACT: Final = "contact"
CONVERSATION: Final = "conversation/"
HELD: Final = "held/"
ASKED: Final = "asked/"
SURVEY: Final = "survey/"
DUE: Final = "due/"
WHOLE: Final = "whole/"
SEEN_PREFIXES: Final = ("seen/", "notice/", "command/", WHOLE)


class Contact(Row):
    """`contact`: the customer: kept for ever, so small.

    latest: the number of the latest conversation, so also how many there were. last_customer_at: the provider's clock.
    unsent_noted: the customer did not write since a note said that an automatic message was not sent. surveys: the
    number of the latest survey. ended_surveys: the ids of the last few that are over, by which they may be quoted.
    marketing_stopped: the customer asked WhatsApp for no more marketing messages; marketing_at: when they last chose.
    no_marketing_until: WhatsApp did not deliver one, and wants none again before.
    phone, user_id: as the customer was last heard, where the key does not say all. joined: the key is only another name
    of that contact. unmarked: the provider's id of the latest message that the customer was not shown as read.
    """

    name: str | None = None
    latest: int = 0
    last_customer_at: datetime | None = None
    unsent_noted: bool = False
    blocked: bool = False
    surveys: int = 0
    ended_surveys: tuple[str, ...] = ()
    marketing_stopped: bool = False
    marketing_at: datetime | None = None
    no_marketing_until: datetime | None = None
    phone: str | None = None
    user_id: str | None = None
    joined: str | None = None
    unmarked: str | None = None

    @property
    def session_ends(self) -> datetime | None:
        """The end of the session window, itself outside it; None when the customer never wrote."""
        return None if self.last_customer_at is None else self.last_customer_at + SESSION_WINDOW


class Conversation(Row):
    """`conversation/{number}`: one conversation, without its thread.

    reopened: what is routed from then on is no first routing, not even where it was resolved before it had one.
    chosen: a person chose whoever held it already, so that no proposal made meanwhile may change that. automatic: no
    person chose the assignee. turn_began: when the assignee got it, or was last passed over; passed: the agents who
    were, since the customer waits.
    resolution: how often it was resolved; surveyed: the last one that was asked about; resolved_by: None: the pipeline;
    held_by: the human assignee at that resolution.
    surveys: how many were asked and not failed. active_at: the later of the last message and becoming Open.
    ends_at: when it is closed (Resolved) or forgotten (Closed).
    """

    number: int
    id: str
    opened_at: datetime
    opened_by: Literal["customer", "agent"]
    active_at: datetime
    revision: int = 1
    status: Status = Status.OPEN
    assignee: Assignee | None = None
    routed: bool = False
    reopened: bool = False
    chosen: bool = False
    automatic: bool = False
    turn_began: datetime | None = None
    passed: tuple[str, ...] = ()
    muted: bool = False
    labels: tuple[str, ...] = ()
    resolution: int = 0
    resolved_by: str | None = None
    held_by: str | None = None
    surveys: int = 0
    surveyed: int = 0
    messages_in: int = 0
    messages_out: int = 0
    messages_automatic: int = 0
    unread: int = 0
    waiting_since: datetime | None = None
    last_human_at: datetime | None = None
    snoozed_until: datetime | None = None
    ends_at: datetime | None = None


class CarriedOut(Aged):
    """`command/{id}`: a command that was carried out. digest: of all that it said; empty: not known."""

    digest: str = ""


class HeldMessage(Row):
    """`held/{number}`: a customer's message of a conversation that is not routed yet. at: its own time."""

    message_id: str
    kind: str
    text: str | None = None
    at: datetime


class Asked(Row):
    """`asked/{request_id}`: the AI agent that holds the conversation has not answered it yet."""


class Whole(Aged):
    """`whole/{message_id}`: the text of a reply that goes in parts, until the last of them is accepted."""

    text: str


class Survey(Row):
    """`survey/{number}`: a survey that may be answered, until ends_at. sent: it is known to have reached the customer.

    conversation: the number of the one it asks about. rating: the last answer. comment_until: until then the customer's
    next message is the comment on it. commented: it has a comment. resent_as: the id of the template that was sent in
    place of its text, which did not reach the customer.
    """

    number: int
    id: str
    conversation: int
    resolution: int
    agent: str | None = None
    asked_at: datetime
    ends_at: datetime
    sent: bool = False
    provider_message_id: str | None = None
    rating: int | None = None
    comment_until: datetime | None = None
    commented: bool = False
    resent_as: str | None = None


class Deadline(Row):
    """`due/{time}/{what}/{number}`: something ends then. One timer serves them all, as a row of timers would grow."""

    at: datetime
    what: Literal["conversation", "survey"]
    number: int

    @property
    def name(self) -> str:
        """The name of its row: in the order of time."""
        return f"{DUE}{milliseconds(self.at):015d}/{self.what}/{self.number:08d}"


def row_name(number: int) -> str:
    """The name of that conversation's row."""
    return f"{CONVERSATION}{number:08d}"


def survey_name(number: int) -> str:
    """The name of that survey's row."""
    return f"{SURVEY}{number:08d}"

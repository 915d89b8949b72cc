"""A decision of conversations in the making: its rows, and what is written and published so far."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, cast

from pydantic import JsonValue

from agents.conversations.due import timers_of
from agents.conversations.rows import (
    ASKED,
    CONTACT,
    CONVERSATION,
    DUE,
    HELD,
    SEEN_PREFIXES,
    SURVEY,
    Asked,
    Contact,
    Conversation,
    Deadline,
    HeldMessage,
    Survey,
    row_name,
    survey_name,
)
from agents.retention import Aged, sweep_timer
from agents.stage import Context, Decision, Emit, Row, Rows, RowT
from schemas.contact import address
from schemas.event import Event
from schemas.events.ai import AiRequested, AiTold
from schemas.events.assignment import ConversationChanged
from schemas.events.conversation import (
    LIVE,
    Assignee,
    ConversationAssigned,
    ConversationCommandRefused,
    ConversationEvent,
    ConversationMessageReceived,
    ConversationStatusChanged,
    Header,
    Media,
    Status,
    Treatment,
)
from schemas.events.inbox import Command, CommandForwarded, MessageReceived
from schemas.events.media import MediaRequested
from schemas.events.sending import MarkRead, SendMessage
from schemas.ids import channel_of, contact_of, conversation_key
from schemas.settings.ai import GptAgent
from schemas.settings.channel import ChannelSettings
from schemas.topics import ACCOUNT_INBOX, AI_REQUESTS, CONVERSATIONS, INBOX, MEDIA_REQUESTS, OUTBOUND

SEEN_FOR: Final = timedelta(days=7)
"""For how long a message, notice or command that comes again is known."""
KEEP: Final = timedelta(days=30)
"""For how long a closed conversation may be reopened by a person: as long as its events are kept."""

DUE_TIMER: Final = "due"

_MAX_ENDED: Final = 10
"""Ids of ended surveys that are remembered: a survey has two."""


class Draft(NamedTuple):
    """What is decided so far. conversation: the one it is about, as it will be; at first the contact's latest.

    last: emitted after the emits, whose numbers in a decision, and so their ids, stay what they were before there were
    any of these.
    """

    rows: Rows
    ctx: Context
    contact: Contact
    conversation: Conversation | None
    writes: Mapping[str, Row | None] = MappingProxyType({})
    emits: tuple[Emit, ...] = ()
    last: tuple[Emit, ...] = ()
    timers: Mapping[str, datetime | None] = MappingProxyType({})

    @classmethod
    def begin(cls, rows: Rows, ctx: Context) -> "Draft":
        """Nothing decided yet."""
        contact = rows.get(CONTACT, Contact) or Contact()
        return cls(rows, ctx, contact, rows.get(row_name(contact.latest), Conversation))

    def decision(self) -> Decision:
        """All of it, with the timers that follow from the rows."""
        timers = {**self.timers, **self._timers_of_latest(), **self._timer_of_dues()}
        return Decision(self.writes, self.emits + self.last, timers)

    # --- what is known, as it will be ------------------------------------------------------------------------------

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
    def has_gpt(self) -> bool:
        """Whether a GPT agent is switched on, which is told what is said."""
        settings = self.settings
        return settings.ai.enabled and any(isinstance(agent, GptAgent) for agent in settings.ai_agents)

    @property
    def current(self) -> Conversation:
        """The conversation it is about, where there is one."""
        if self.conversation is None:
            raise LookupError("no conversation")
        return self.conversation

    @property
    def is_live(self) -> bool:
        """Whether the conversation it is about is live."""
        return self.conversation is not None and self.conversation.status in LIVE

    @property
    def header(self) -> Header:
        """What the events say of the conversation."""
        row, contact = self.current, self.contact
        return Header(
            conversation_id=row.id,
            channel=self.channel,
            contact=contact_of(self.ctx.key),
            phone=contact.phone,
            user_id=contact.user_id,
            contact_name=contact.name,
            opened_at=row.opened_at,
            opened_by=row.opened_by,
            revision=row.revision,
            status=row.status,
            assignee=row.assignee,
            routed=row.routed,
            messages_in=row.messages_in,
            messages_out=row.messages_out,
            messages_automatic=row.messages_automatic,
            last_customer_at=contact.last_customer_at,
            last_human_at=row.last_human_at,
            unread=row.unread,
            waiting_since=row.waiting_since,
            labels=row.labels,
            resolution=row.resolution,
            surveys=row.surveys,
            returning=row.number > 1,
            blocked=contact.blocked,
            muted=row.muted,
        )

    def get(self, name: str, model: type[RowT]) -> RowT | None:
        """A row."""
        if name in self.writes:
            return cast("RowT | None", self.writes[name])
        return self.rows.get(name, model)

    def scan(self, prefix: str, model: type[RowT]) -> Iterator[tuple[str, RowT]]:
        """The rows that were there before, in order."""
        for name, _ in self.rows.scan(prefix, model):
            row = self.get(name, model)
            if row is not None:
                yield name, row

    def numbered(self, number: int) -> Conversation | None:
        """The conversation of that number, while it has a row."""
        return self.get(row_name(number), Conversation)

    def find(self, conversation_id: str) -> Conversation | None:
        """The conversation of that id, while it has a row."""
        if self.conversation is not None and self.conversation.id == conversation_id:
            return self.conversation
        found = self.scan(CONVERSATION, Conversation)
        return next((row for _, row in found if row.id == conversation_id), None)

    def surveys(self) -> Iterator[Survey]:
        """Surveys that still accept an answer, newest first."""
        newest = self.get(survey_name(self.contact.surveys), Survey)
        if newest is not None:
            yield newest
        for _, survey in reversed(list(self.scan(SURVEY, Survey))):
            if survey != newest:
                yield survey

    # --- what is decided -------------------------------------------------------------------------------------------

    def about(self, conversation: Conversation) -> "Draft":
        """The same decision, from here on about another conversation."""
        return self._replace(conversation=conversation)

    def write(self, name: str, row: Row | None) -> "Draft":
        return self._replace(writes={**self.writes, name: row})

    def store(self, conversation: Conversation) -> "Draft":
        """Write the conversation, which it is about from here on."""
        return self.about(conversation).write(row_name(conversation.number), conversation)

    def store_contact(self, contact: Contact) -> "Draft":
        return self._replace(contact=contact).write(CONTACT, contact)

    def remember(self, name: str) -> "Draft":
        """Write that it was taken."""
        timer = sweep_timer(self.rows, SEEN_PREFIXES, self.now, SEEN_FOR)
        return self.write(name, Aged(since=self.now))._replace(timers={**self.timers, **timer})

    def publish(self, event: ConversationEvent | ConversationCommandRefused) -> "Draft":
        """Publish an event on the conversations topic."""
        return self._emit(Emit(CONVERSATIONS, self.ctx.key, event, self.channel))

    def notify_assignment(self, event: Event) -> "Draft":
        """Notify assignment."""
        return self._emit(Emit(ACCOUNT_INBOX, self.settings.account, event, self.channel))

    def send(self, message: SendMessage) -> "Draft":
        contact = contact_of(self.ctx.key)
        to = address(contact, self.contact.phone, self.contact.user_id)
        update = {"to": None if to == contact else to, "no_marketing": self.contact.marketing_stopped}
        return self._emit(Emit(OUTBOUND, self.ctx.key, message.model_copy(update=update), self.channel))

    def mark_read(self, *, typing: bool = False) -> "Draft":
        """Show the customer, where the channel does, that their messages were read, and that an answer is coming."""
        contact = self.contact
        if contact.unmarked is None or contact.blocked or not self.settings.conversation.read_receipts:
            return self
        marked = MarkRead(provider_message_id=contact.unmarked, typing=typing)
        draft = self.store_contact(contact.model_copy(update={"unmarked": None}))
        return draft._emit(Emit(OUTBOUND, self.ctx.key, marked, self.channel))

    def inform_ai(self, event: AiRequested | AiTold) -> "Draft":
        """Ask or tell the AI agent."""
        return self._emit(Emit(AI_REQUESTS, self.ctx.key, event, self.channel))

    def forward(self, command: Command, contact: str) -> "Draft":
        """Hand a command to the contact that this one is another name of."""
        forwarded = CommandForwarded(command=command.type, data=command.model_dump(mode="json"))
        return self._emit(Emit(INBOX, conversation_key(self.channel, contact), forwarded, self.channel))

    def _emit(self, emit: Emit) -> "Draft":
        return self._replace(emits=(*self.emits, emit))

    def receive(self, event: MessageReceived, at: datetime, treatment: Treatment = "ordinary") -> "Draft":
        """A customer's message joins the conversation, whatever it then leads to. at: its own time."""
        row = self.current
        update: dict[str, object] = {"messages_in": row.messages_in + 1}
        if treatment != "quiet":
            update["active_at"] = max(row.active_at, at)
        if treatment == "ordinary":
            update |= {"unread": row.unread + 1, "waiting_since": min(row.waiting_since or at, at)}
        draft = self.store(row.model_copy(update=update))
        if self.settings.conversation.read_receipts and event.provider_message_id is not None:
            contact = self.contact.model_copy(update={"unmarked": event.provider_message_id})
            draft = draft.store_contact(contact)
        received = ConversationMessageReceived(
            header=draft.header,
            message_id=event.message_id,
            at=at,
            kind=event.kind,
            text=event.text,
            media=event.media,
            more_media=event.more_media,
            quotes=event.quotes,
            content=event.content,
            treatment=treatment,
        )
        draft = draft.publish(received)
        return draft if event.media is None else draft.request_media(event.message_id, event.media, *event.more_media)

    def request_media(self, message_id: str, *files: Media) -> "Draft":
        """Have the files fetched, for which the message doesn't wait."""
        id = self.current.id
        requests = (
            MediaRequested(conversation_id=id, message_id=message_id, index=index, media=media)
            for index, media in enumerate(files)
        )
        return self._replace(last=tuple(Emit(MEDIA_REQUESTS, self.ctx.key, one, self.channel) for one in requests))

    def change(
        self,
        after: Conversation,
        *,
        reason: str,
        by: str | None = None,
        explanation: Mapping[str, JsonValue] | None = None,
        why: str | None = None,
        told: bool = False,
    ) -> "Draft":
        """Change status or assignee, the only way they ever do: a new revision, published and reported."""
        before = self.current
        draft = self._move(after, by) if after.status is not before.status else self.about(after)
        if before.status is Status.AI_REPLYING:
            # The AI agent no longer holds the conversation: what it still answers is dropped.
            draft = draft.drop_all(ASKED, Asked).release_ai(before)
        update: dict[str, object] = {"revision": before.revision + 1, "chosen": False}
        if after.assignee != before.assignee:
            update |= {"automatic": by is None and is_human(after.assignee), "turn_began": self.now}
        draft = draft.store(draft.current.model_copy(update=update))
        if after.assignee != before.assignee:
            draft = draft.publish(
                ConversationAssigned(
                    header=draft.header, previous=before.assignee, by=by, explanation=dict(explanation or {})
                )
            )
        if after.status is not before.status:
            changed = ConversationStatusChanged(
                header=draft.header, previous=before.status, by=by, reason=reason, why=why, told=told
            )
            draft = draft.publish(changed)
        if after.status is Status.RESOLVED and after.status is not before.status and draft.has_gpt:
            draft = draft.inform_ai(AiTold(conversation_id=after.id, what="resolved", at=self.now))
        return draft.report_change()

    def release_ai(self, before: Conversation) -> "Draft":
        """A GPT agent drops at once what it is doing."""
        if before.assignee is None or not isinstance(self.settings.ai_agent(before.assignee.id), GptAgent):
            return self
        told = AiTold(conversation_id=before.id, what="released", at=self.now)
        return self.drop_all(ASKED, Asked).inform_ai(told)

    def _move(self, after: Conversation, by: str | None) -> "Draft":
        """What a new status brings with it."""
        draft, before = self, self.current
        update: dict[str, object] = {"ends_at": self._end_of(after.status)}
        if after.status is not Status.SNOOZED:
            update["snoozed_until"] = None
        match after.status:
            case Status.OPEN:
                update["active_at"] = max(after.active_at, self.now)
            case Status.RESOLVED:
                holder = after.assignee.id if after.assignee is not None and after.assignee.kind == "human" else None
                # An AI agent's resolution is nobody's, who could be credited with a rating.
                person = None if after.assignee == Assignee(kind="ai", id=by or "") else by
                update |= {"resolution": after.resolution + 1, "resolved_by": person, "held_by": holder}
        if after.status not in LIVE:
            draft = draft.drop_all(HELD, HeldMessage)
        after = after.model_copy(update=update)
        return draft.reschedule("conversation", after.number, before.ends_at, after.ends_at).about(after)

    def _end_of(self, status: Status) -> datetime | None:
        settings = self.settings.conversation
        match status:
            case Status.RESOLVED:
                return self.now + settings.close_after
            case Status.CLOSED if not settings.single_conversation:
                return self.now + KEEP
        return None

    def report_change(self) -> "Draft":
        """Report the conversation's status and assignee to assignment."""
        row = self.current
        changed = ConversationChanged(
            conversation_id=row.id,
            conversation_key=self.ctx.key,
            channel=self.channel,
            revision=row.revision,
            status=row.status,
            assignee=row.assignee,
            routed=row.routed,
            automatic=row.automatic,
        )
        return self.notify_assignment(changed)

    def store_survey(self, survey: Survey) -> "Draft":
        """Write the survey, which ends at its ends_at."""
        before = self.get(survey_name(survey.number), Survey)
        draft = self.reschedule("survey", survey.number, None if before is None else before.ends_at, survey.ends_at)
        return draft.write(survey_name(survey.number), survey)

    def drop_survey(self, survey: Survey) -> "Draft":
        """It is over: remember only how it may be quoted."""
        ids = (survey.resent_as or survey.id, *((survey.provider_message_id,) if survey.provider_message_id else ()))
        ended = (*self.contact.ended_surveys, *ids)[-_MAX_ENDED:]
        draft = self.store_contact(self.contact.model_copy(update={"ended_surveys": ended}))
        draft = draft.reschedule("survey", survey.number, survey.ends_at, None)
        return draft.write(survey_name(survey.number), None)

    def drop(self, conversation: Conversation) -> "Draft":
        """Delete the conversation's row."""
        draft = self.reschedule("conversation", conversation.number, conversation.ends_at, None)
        return draft.write(row_name(conversation.number), None)

    def drop_if_over(self, conversation: Conversation) -> "Draft":
        """Delete a conversation to which nothing can happen."""
        over = conversation.status is Status.CLOSED and conversation.number != self.contact.latest
        return self.drop(conversation) if over and not self.has_surveys(conversation) else self

    def has_surveys(self, conversation: Conversation) -> bool:
        """Whether a survey about it may still be answered."""
        return conversation.surveys > 0 and any(one.conversation == conversation.number for one in self.surveys())

    def drop_all(self, prefix: str, model: type[Row]) -> "Draft":
        gone: dict[str, Row | None] = {name: None for name, _ in self.scan(prefix, model)}
        return self._replace(writes={**self.writes, **gone}) if gone else self

    # --- when --------------------------------------------------------------------------------------------------------

    def reschedule(
        self, what: Literal["conversation", "survey"], number: int, before: datetime | None, after: datetime | None
    ) -> "Draft":
        """Move the end of a conversation or survey; None: it has none."""
        draft = self
        if before is not None:
            draft = draft.write(Deadline(at=before, what=what, number=number).name, None)
        if after is not None:
            due = Deadline(at=after, what=what, number=number)
            draft = draft.write(due.name, due)
        return draft

    def _timers_of_latest(self) -> Mapping[str, datetime | None]:
        row = self.numbered(self.contact.latest)
        return {} if row is None else timers_of(row, self.settings)

    def _timer_of_dues(self) -> Mapping[str, datetime | None]:
        changed = {name: row for name, row in self.writes.items() if name.startswith(DUE)}
        if not changed:
            return {}
        kept = next((row.at for name, row in self.rows.scan(DUE, Deadline) if name not in changed), None)
        new = (row.at for row in changed.values() if isinstance(row, Deadline))
        return {DUE_TIMER: min((*new, *(() if kept is None else (kept,))), default=None)}


def was_seen(draft: Draft, name: str) -> bool:
    seen = draft.rows.get(name, Aged)
    return seen is not None and draft.now - seen.since < SEEN_FOR


def human(agent: str) -> Assignee:
    return Assignee(kind="human", id=agent)


def is_human(assignee: Assignee | None) -> bool:
    return assignee is not None and assignee.kind == "human"


def is_ai(assignee: Assignee | None) -> bool:
    return assignee is not None and assignee.kind == "ai"

"""A scenario's result, from what was written to the topics and what the provider was asked to send."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Annotated, Final, Literal

import orjson
from pydantic import BaseModel, ConfigDict, JsonValue, PlainSerializer

from deploy.sandbox.provider import LogEntry
from deploy.scenario.world import Evidence
from schemas.conversation import (
    Assignee,
    Command,
    ConversationCommandRefused,
    ConversationEvent,
    ConversationMessageReceived,
    ConversationMessageSent,
    ConversationNoteAdded,
    ConversationRouted,
    Header,
    Status,
)
from schemas.ids import channel_of, contact_of
from schemas.messaging import DeliveryError, MessageAnomaly, MessageStatusChanged, SendCommand
from schemas.record import Record, body_text, encode, format_time
from schemas.system import ChannelSaved, DeadLettered, WebhookReceived
from schemas.topics import Topic

AGENTS_KINDS: Final = frozenset({"reply", "ai"})
"""Kinds of messages that are an agent's, human or AI; the others are automatic."""

Time = Annotated[datetime, PlainSerializer(format_time, return_type=str)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class ConversationResult(_Part):
    """One conversation as it is at the end. assigned_because: the explanation of its last routing."""

    id: str
    channel: str
    contact: str
    status: Status
    assignee: Assignee | None
    opened_at: Time
    messages: tuple[str, ...]
    labels: tuple[str, ...]
    notes: int
    assigned_because: dict[str, JsonValue] | None


class SentResult(_Part):
    """Something that the provider was asked to send. repeat: it had taken the message once before."""

    at: Time
    id: str
    channel: str
    contact: str
    kind: str
    text: str | None
    via: Literal["session", "template"]
    repeat: bool


class AnomalyResult(_Part):
    """A report that contradicts what stands."""

    standing: str
    reported: str
    at: Time


class MessageResult(_Part):
    """What is known of a message. status, timestamps, error, anomalies: of outbound ones."""

    id: str
    contact: str
    channel: str
    direction: Literal["inbound", "outbound"]
    status: str | None = None
    timestamps: dict[str, Time] = {}
    error: DeliveryError | None = None
    anomalies: tuple[AnomalyResult, ...] = ()


class RefusedResult(_Part):
    """A save or command that was refused. step counts from 0."""

    step: int
    code: str
    reason: str


class DeadLetterResult(_Part):
    """What could not be processed."""

    reason: str
    stage: str


class RecordResult(_Part):
    """A record, as it was written."""

    topic: str
    key: str
    event: dict[str, JsonValue]


class Result(_Part):
    """All of it, in the order of docs/scenarios.md. records: None where they weren't asked for."""

    name: str
    conversations: tuple[ConversationResult, ...]
    sent: tuple[SentResult, ...]
    messages: tuple[MessageResult, ...]
    surveys: tuple[dict[str, JsonValue], ...] = ()
    refused: tuple[RefusedResult, ...]
    open: tuple[dict[str, JsonValue], ...] = ()
    report: dict[str, JsonValue] = {}
    dead_letters: tuple[DeadLetterResult, ...]
    records: tuple[RecordResult, ...] | None = None

    def as_json(self) -> dict[str, JsonValue]:
        """Plain data; records only where they are there."""
        data = self.model_dump(mode="json")
        if self.records is None:
            del data["records"]
        return data


def collect(name: str, evidence: Evidence, refused: Iterable[RefusedResult], *, with_records: bool = False) -> Result:
    """The result of what happened."""
    return Result(
        name=name,
        conversations=_conversations(evidence),
        sent=sent_messages(evidence),
        messages=_messages(evidence),
        refused=tuple(sorted(refused, key=lambda one: one.step)),
        dead_letters=tuple(
            DeadLetterResult(reason=record.event.reason, stage=record.event.stage)
            for _, record in evidence.records
            if isinstance(record.event, DeadLettered)
        ),
        records=tuple(_as_written(*one) for one in evidence.records) if with_records else None,
    )


# --- conversations -------------------------------------------------------------------------------------------------


@dataclass
class _Thread:
    header: Header
    messages: dict[str, datetime] = field(default_factory=dict)
    notes: int = 0
    because: dict[str, JsonValue] | None = None


def _conversations(evidence: Evidence) -> tuple[ConversationResult, ...]:
    threads: dict[str, _Thread] = {}
    for _, record in evidence.records:
        event = record.event
        if not isinstance(event, ConversationEvent):
            continue
        thread = threads.setdefault(event.header.conversation_id, _Thread(event.header))
        thread.header = event.header
        match event:
            case ConversationMessageReceived(message_id=id, at=at):
                thread.messages.setdefault(id, at)
            case ConversationMessageSent(message_id=id, at=at, kind=kind) if kind in AGENTS_KINDS:
                thread.messages.setdefault(id, at)
            case ConversationNoteAdded():
                thread.notes += 1
            case ConversationRouted(explanation=explanation):
                thread.because = explanation
    in_order = sorted(threads.values(), key=lambda thread: thread.header.opened_at)
    return tuple(_conversation(thread) for thread in in_order)


def _conversation(thread: _Thread) -> ConversationResult:
    header = thread.header
    return ConversationResult(
        id=header.conversation_id,
        channel=header.channel,
        contact=header.contact,
        status=header.status,
        assignee=header.assignee,
        opened_at=header.opened_at,
        messages=tuple(sorted(thread.messages, key=lambda id: thread.messages[id])),
        labels=(),
        notes=thread.notes,
        assigned_because=thread.because,
    )


# --- messages ------------------------------------------------------------------------------------------------------


def sent_messages(evidence: Evidence) -> tuple[SentResult, ...]:
    """What the provider was asked to send, by time and contact: one entry for a message, and one for its repeat."""
    commands = {(record.subject, event.message_id): event for record, event in _commands(evidence)}
    taken: defaultdict[tuple[str, str], int] = defaultdict(int)
    found: dict[tuple[str, str, int], SentResult] = {}
    for entry in evidence.log:
        key, id = _conversation_key(entry), entry.id or ""
        command = commands.get((key, id))
        found.setdefault(
            (key, id, taken[key, id]),
            SentResult(
                at=entry.at,
                id=id,
                channel=channel_of(key),
                contact=entry.contact or contact_of(key),
                kind=command.kind if command else "",
                text=entry.text,
                via="session" if entry.template is None else "template",
                repeat=taken[key, id] > 0,
            ),
        )
        # Asked again after a refusal it is the same message; after that, the customer may get it twice.
        taken[key, id] += entry.outcome != "refused"
    return tuple(sorted(found.values(), key=lambda sent: (sent.at, sent.contact)))


def _conversation_key(entry: LogEntry) -> str:
    return str((entry.custom_args or {}).get("conversation", ""))


def _commands(evidence: Evidence) -> Iterable[tuple[Record, SendCommand]]:
    return ((record, record.event) for _, record in evidence.records if isinstance(record.event, SendCommand))


def _messages(evidence: Evidence) -> tuple[MessageResult, ...]:
    found: dict[tuple[str, str], MessageResult] = {}
    for _, record in evidence.records:
        match record.event:
            case ConversationMessageReceived(message_id=id):
                found.setdefault((record.subject, id), _message(record, id, "inbound"))
            case SendCommand(message_id=id):
                found.setdefault((record.subject, id), _message(record, id, "outbound"))
            case MessageStatusChanged(message_id=id) as changed:
                known = found.get((record.subject, id)) or _message(record, id, "outbound")
                learned = {"status": changed.status, "timestamps": changed.timestamps, "error": changed.error}
                found[record.subject, id] = known.model_copy(update=learned)
            case MessageAnomaly(message_id=id) as event:
                known = found.get((record.subject, id)) or _message(record, id, "outbound")
                anomaly = AnomalyResult(standing=event.standing, reported=event.reported, at=event.at)
                found[record.subject, id] = known.model_copy(update={"anomalies": (*known.anomalies, anomaly)})
    return tuple(found.values())


def _message(record: Record, id: str, direction: Literal["inbound", "outbound"]) -> MessageResult:
    key = record.subject
    return MessageResult(id=id, contact=contact_of(key), channel=channel_of(key), direction=direction)


# --- which step a record is from -----------------------------------------------------------------------------------

Root = tuple[str, str, str]
"""Topic, key and, of a command, its id: what tells records handed in apart, but for their order."""


def root_of(topic: Topic, record: Record) -> Root | None:
    """The root of a record that was handed in; None for what the pipeline made of it."""
    match record.event:
        case WebhookReceived():
            return topic.name, record.subject, ""
        case Command(command_id=id):
            return topic.name, record.subject, id
        case ChannelSaved() if record.settings_revision > 1:
            return topic.name, record.channel or "", ""
    return None


def steps_of(evidence: Evidence, handed_in: Iterable[tuple[int, Root]]) -> Mapping[str, int]:
    """Record id -> step, of the records handed in: the nth with a root is from the nth step with it."""
    waiting: defaultdict[Root, list[int]] = defaultdict(list)
    for step, handed in handed_in:
        waiting[handed].append(step)
    found: dict[str, int] = {}
    for topic, record in evidence.records:
        root = root_of(topic, record)
        if root is not None and waiting[root]:
            found[record.id] = waiting[root].pop(0)
    return found


def refused_commands(evidence: Evidence, steps: Mapping[str, int]) -> Iterable[RefusedResult]:
    """The commands that conversations refused."""
    for _, record in evidence.records:
        event = record.event
        step = steps.get(record.causation_id or "")
        if isinstance(event, ConversationCommandRefused) and step is not None:
            yield RefusedResult(step=step, code=event.code, reason=event.reason)


def _as_written(topic: Topic, record: Record) -> RecordResult:
    event = record.event
    if isinstance(event, WebhookReceived):
        # It travels raw: as JSON a body that is not UTF-8 fails.
        text, encoding = body_text(event.body)
        written = orjson.loads(encode(replace(record, event=event.model_copy(update={"body": b""}))))
        written["data"] = {"provider": event.provider, "body": text, "encoding": encoding}
    else:
        written = orjson.loads(encode(record))
    return RecordResult(topic=topic.name, key=record.subject, event=written)

"""Collects a scenario's result from what was written to the topics and what the provider was asked to send."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, Literal

import orjson
from pydantic import JsonValue

from desk.figures import Figures, summed
from schemas.events.ai import AiCallEnded
from schemas.events.callbacks import WebhookReceived
from schemas.events.content import Content
from schemas.events.conversation import (
    ConversationAssigned,
    ConversationCommandRefused,
    ConversationEvent,
    ConversationMessageReceived,
    ConversationMessageSent,
    ConversationNoteAdded,
    ConversationNoticeReceived,
    ConversationRouted,
    ConversationStatusChanged,
    Header,
)
from schemas.events.csat import (
    CsatEvent,
    SurveyAnswered,
    SurveyCommented,
    SurveyExpired,
    SurveyFailed,
    SurveyRequested,
    SurveySent,
)
from schemas.events.operations import DeadLettered
from schemas.events.receipts import MessageAnomaly, MessageStatusChanged
from schemas.events.reports import ReportUpdated
from schemas.events.sending import SendCommand
from schemas.ids import channel_of, contact_of
from schemas.record import Record, body_text, encode
from schemas.topics import Topic
from simulation.sandbox.calls import Json
from simulation.sandbox.providers import LogEntry
from simulation.scenario.format import Scenario
from simulation.scenario.order import Origins
from simulation.scenario.result import (
    AiCallResult,
    AnomalyResult,
    ConversationResult,
    DeadLetterResult,
    MessageResult,
    OpenResult,
    RecordResult,
    RefusedResult,
    ReportResult,
    Result,
    SentResult,
    SurveyResult,
)
from simulation.scenario.world import Evidence, step_of

AGENTS_KINDS: Final = frozenset({"reply", "ai"})
"""Kinds of messages that are an agent's, human or AI; the others are automatic."""


def collect(
    scenario: Scenario,
    evidence: Evidence,
    refused: Iterable[RefusedResult],
    probes: Iterable[OpenResult],
    *,
    with_records: bool = False,
) -> Result:
    """The result of what happened. refused: at the front door; what conversations refused is among the evidence."""
    origins = Origins.of(evidence)
    return Result(
        name=scenario.name,
        conversations=_conversations(evidence, origins),
        sent=sent_messages(evidence),
        messages=_messages(evidence, origins),
        surveys=_surveys(evidence, origins),
        refused=tuple(sorted((*refused, *_refused_commands(evidence)), key=lambda one: one.step)),
        open=tuple(probes),
        report=_report(scenario, evidence),
        dead_letters=_dead_letters(evidence, origins),
        ai_calls=tuple(_ai_calls(evidence)),
        ai_shown=tuple(map(_shown, evidence.asked)),
        records=tuple(_as_written(*one) for one in evidence.records) if with_records else None,
    )


# --- conversations -------------------------------------------------------------------------------------------------


@dataclass
class _Thread:
    opened: Record
    header: Header
    messages: dict[str, datetime] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    let_go: str | None = None
    because: dict[str, JsonValue] | None = None


def _conversations(evidence: Evidence, origins: Origins) -> tuple[ConversationResult, ...]:
    threads: dict[str, _Thread] = {}
    for _, record in evidence.records:
        event = record.event
        if not isinstance(event, ConversationEvent):
            continue
        thread = threads.setdefault(event.header.conversation_id, _Thread(record, event.header))
        thread.header = event.header
        match event:
            case ConversationMessageReceived(message_id=id, at=at):
                thread.messages.setdefault(id, at)
            case ConversationMessageSent(message_id=id, at=at, kind=kind) if kind in AGENTS_KINDS:
                thread.messages.setdefault(id, at)
            case ConversationNoteAdded(text=text):
                thread.notes.append(text)
            case ConversationStatusChanged(why=str(why)):
                thread.let_go = why
            case ConversationRouted(explanation=explanation):
                thread.because = explanation or thread.because
            case ConversationAssigned(explanation=explanation, by=by):
                thread.because = explanation or ({} if by is None else {"by": by})
    in_order = sorted(threads.values(), key=lambda one: (one.header.opened_at, *origins.place(one.opened)))
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
        labels=header.labels,
        notes=len(thread.notes),
        note_texts=tuple(thread.notes),
        handed_over_because=thread.let_go,
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
                citations=tuple(one.id for one in command.citations) if command else (),
            ),
        )
        # Asked again after a refusal it is the same message; after that, the customer may get it twice.
        taken[key, id] += entry.outcome != "refused"
    return tuple(sorted(found.values(), key=lambda sent: (sent.at, sent.contact, sent.channel)))


def _conversation_key(entry: LogEntry) -> str:
    return entry.conversation or ""


def _commands(evidence: Evidence) -> Iterable[tuple[Record, SendCommand]]:
    return ((record, record.event) for _, record in evidence.records if isinstance(record.event, SendCommand))


def _messages(evidence: Evidence, origins: Origins) -> tuple[MessageResult, ...]:
    found: dict[tuple[str, str], MessageResult] = {}
    first: dict[tuple[str, str], Record] = {}
    for _, record in evidence.records:
        match record.event:
            case ConversationMessageReceived(message_id=id) as received:
                message = _message(record, id, "inbound").model_copy(update={"content": _content(received.content)})
                found.setdefault((record.subject, id), message)
            case ConversationNoticeReceived(refers_to=str(id)) as notice if (record.subject, id) in found:
                known = found[record.subject, id]
                noticed = {**(known.content or {}), **(_content(notice.content) or {})}
                if notice.kind in ("revoke", "deleted"):
                    noticed["removed"] = True
                found[record.subject, id] = known.model_copy(update={"content": noticed or None})
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
            case _:
                continue
        first.setdefault((record.subject, id), record)
    in_order = sorted(found, key=lambda one: (first[one].time, *origins.place(first[one]), found[one].direction))
    return tuple(found[one] for one in in_order)


def _content(content: Content | None) -> dict[str, JsonValue] | None:
    return None if content is None else content.model_dump(mode="json", exclude_defaults=True)


def _message(record: Record, id: str, direction: Literal["inbound", "outbound"]) -> MessageResult:
    key = record.subject
    return MessageResult(id=id, contact=contact_of(key), channel=channel_of(key), direction=direction)


# --- surveys -------------------------------------------------------------------------------------------------------


def _surveys(evidence: Evidence, origins: Origins) -> tuple[SurveyResult, ...]:
    found: dict[str, SurveyResult] = {}
    first: dict[str, Record] = {}
    for _, record in evidence.records:
        event = record.event
        if isinstance(event, CsatEvent):
            first.setdefault(event.survey_id, record)
            found[event.survey_id] = _survey(event, found.get(event.survey_id))
    in_order = sorted(found, key=lambda id: (first[id].time, *origins.place(first[id])))
    return tuple(found[id] for id in in_order)


def _survey(event: CsatEvent, before: SurveyResult | None) -> SurveyResult:
    state, rating, comment = (
        ("requested", None, None) if before is None else (before.state, before.rating, before.comment)
    )
    match event:
        case SurveyRequested():
            pass
        case SurveySent() if state == "requested":
            state = "sent"
        case SurveyAnswered():
            state, rating = "answered", event.rating
        case SurveyCommented():
            comment = event.comment
        case SurveyExpired():
            state = "expired"
        case SurveyFailed():
            state = "failed"
    return SurveyResult(
        conversation=event.conversation_id,
        contact=event.contact,
        resolution=event.resolution,
        state=state,
        rating=rating,
        agent=event.agent,
        comment=comment,
    )


def _report(scenario: Scenario, evidence: Evidence) -> dict[str, ReportResult]:
    sums = summed((r.subject, r.event) for _, r in evidence.records if isinstance(r.event, ReportUpdated))
    return {channel.id: _figures(sums.get(channel.id, Figures({}))) for channel in scenario.channels}


def _figures(sums: Figures) -> ReportResult:
    return ReportResult(
        surveys_sent=sums.surveys_sent,
        answers=sums.answers,
        satisfaction_pct=sums.satisfaction_pct or 0.0,
        response_rate_pct=sums.response_rate_pct,
    )


# --- what went wrong -----------------------------------------------------------------------------------------------


def _refused_commands(evidence: Evidence) -> Iterable[RefusedResult]:
    """The commands that conversations refused."""
    for _, record in evidence.records:
        event, step = record.event, step_of(record.causation_id)
        if isinstance(event, ConversationCommandRefused) and step is not None:
            yield RefusedResult(step=step, code=event.code, reason=event.reason)


def _dead_letters(evidence: Evidence, origins: Origins) -> tuple[DeadLetterResult, ...]:
    letters = [record for _, record in evidence.records if isinstance(record.event, DeadLettered)]
    in_order = sorted(letters, key=lambda letter: (letter.time, *origins.place(letter)))
    return tuple(
        DeadLetterResult(reason=letter.event.reason, stage=letter.event.stage)
        for letter in in_order
        if isinstance(letter.event, DeadLettered)
    )


# --- GPT agents ----------------------------------------------------------------------------------------------------


def _ai_calls(evidence: Evidence) -> Iterable[AiCallResult]:
    for _, record in evidence.records:
        if isinstance(record.event, AiCallEnded):
            yield AiCallResult.model_validate(record.event, from_attributes=True)


def _shown(asked: Json) -> str:
    """What a model was sent, in a line or more for each message."""
    messages = asked["messages"]
    lines = []
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict):
            calls = message.get("tool_calls")
            said = message.get("content") if calls is None else orjson.dumps(calls).decode()
            lines.append(f"{message['role']}: {said}")
    return "\n".join(lines)


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

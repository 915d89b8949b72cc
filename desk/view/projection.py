"""What a record changes in the view: a pure function from one record to rows.

A row's values are what it is from this record on, never a sum, so that a record applied twice changes nothing. Each row
is of one partition of one topic, so that the order between partitions makes no difference.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from desk.view.conversations import project_conversation, project_refusal
from desk.view.rows import Logged, Row, Values, held_by, origin
from desk.view.schema import (
    AGENT,
    AI_CALL,
    CHANNEL,
    DEAD_LETTER,
    DECISION,
    FOLLOWED,
    NOTIFICATION,
    PRESENCE,
    RECEIPT,
    REPORT,
    SURVEY,
)
from schemas.event import Event
from schemas.events.ai import AiCallEnded
from schemas.events.assignment import AssignmentDecided, AssignmentReleased, AssignmentWaiting
from schemas.events.callbacks import NotificationReceived
from schemas.events.channels import ChannelSaved
from schemas.events.conversation import ConversationCommandRefused, ConversationEvent
from schemas.events.csat import CsatEvent, SurveyAnswered, SurveyCommented, SurveyFailed, SurveySkipped
from schemas.events.operations import DeadLettered, DeadLetterReplayed
from schemas.events.people import AgentDeleted, AgentSaved, PresenceChanged
from schemas.events.receipts import MessageAnomaly, MessageStatusChanged
from schemas.events.reports import ReportUpdated
from schemas.ids import channel_of
from schemas.settings.channel import DEFAULT_ACCOUNT, SEALED
from schemas.settings.credentials import Credentials
from schemas.topics import ACCOUNT_INBOX, DIRECTORY

_NOT_PRESENT: Final[Values] = MappingProxyType(
    {"chosen": None, "chosen_at": None, "heartbeat": None, "heartbeat_at": None}
)
# Secrets, if encrypted: an AI agent's settings hold some, too.
_KEPT_FROM_VIEW: Final = frozenset({*SEALED, "ai_agents"})
_PRESENCE: Final = frozenset({PresenceChanged.type, AgentDeleted.type})

TYPES: Final[Mapping[str, dict[str, type[Event]]]] = {
    name: {type: event for type, event in topic.types.items() if topic is not ACCOUNT_INBOX or type in _PRESENCE}
    for name, topic in FOLLOWED.items()
}
"""Of each topic that is followed, the types that the view may be made of: of account-inbox, presence alone."""


def project(logged: Logged) -> list[Row]:
    """What the record changes. One that an operator wrote again for one stage changes nothing."""
    return [] if logged.record.replayed_for is not None else list(_project(logged))


def _project(logged: Logged) -> Iterator[Row]:
    match logged.record.event:
        case ConversationEvent() as event:
            yield from project_conversation(event, logged)
        case ConversationCommandRefused() as event:
            yield from project_refusal(event, logged)
        case MessageStatusChanged() | MessageAnomaly() as event:
            yield _receipt(event, logged)
        case AssignmentDecided() | AssignmentWaiting() | AssignmentReleased() as event:
            yield _decision(event, logged)
        case AiCallEnded() as event:
            yield _ai_call(event, logged)
        case CsatEvent() | SurveySkipped() as event:
            yield _survey(event, logged)
        case ReportUpdated() as event:
            values = {"kind": event.kind, "channel": event.channel, "day": event.day, "agent": event.agent}
            yield Row(REPORT, {"key": logged.key}, values | {"counts": event.counts} | origin(logged))
        case ChannelSaved(settings=settings):
            yield _channel(settings, logged)
        case AgentSaved() | AgentDeleted() as event if logged.topic == DIRECTORY.name:
            yield _agent(event, logged)
        case AgentDeleted(agent=agent):
            yield Row(PRESENCE, {"account": logged.key, "agent": agent}, _NOT_PRESENT, origin(logged))
        case PresenceChanged() as event:
            yield _presence(event, logged)
        case NotificationReceived() as event:
            values = {"channel": logged.key, "event": event.event, "data": event.data}
            yield Row(NOTIFICATION, origin(logged), values | {"at": event.at or logged.record.time})
        case DeadLettered() | DeadLetterReplayed() as event:
            yield _dead_letter(event, logged)


def _receipt(event: MessageStatusChanged | MessageAnomaly, logged: Logged) -> Row:
    key = {"key": logged.record.subject, "message": event.message_id}
    values: dict[str, object] = {"changed_at": logged.record.time}
    match event:
        case MessageStatusChanged(error=error):
            timestamps = event.model_dump(mode="json", include={"timestamps"})["timestamps"]
            values |= {"status": event.status, "timestamps": timestamps, "provider_message": event.provider_message_id}
            values |= {"error_code": error and error.code, "error_message": error and error.message}
        case MessageAnomaly():
            values["anomaly"] = event.reported
    return Row(RECEIPT, key, values, origin(logged))


def _decision(event: AssignmentDecided | AssignmentWaiting | AssignmentReleased, logged: Logged) -> Row:
    values: dict[str, object] = {"type": event.type, "at": logged.record.time, "partition": logged.partition}
    match event:
        case AssignmentReleased():
            values |= {"assignee": f"human/{event.agent}", "reason": event.reason, "explanation": {}}
        case AssignmentDecided():
            values |= {"assignee": held_by(event.assignee)}
    if not isinstance(event, AssignmentReleased):
        values |= {"revision": event.revision, "explanation": event.explanation}
    return Row(DECISION, {"conversation": event.conversation_id, "offset": logged.offset}, values)


def _ai_call(event: AiCallEnded, logged: Logged) -> Row:
    values = event.model_dump(exclude={"conversation_id", "request_id", "message_id"})
    values |= {"request": event.request_id, "message": event.message_id, "partition": logged.partition}
    return Row(AI_CALL, {"conversation": event.conversation_id, "offset": logged.offset}, values)


def _survey(event: CsatEvent | SurveySkipped, logged: Logged) -> Row:
    values: dict[str, object] = {
        "conversation": event.conversation_id,
        "channel": event.channel,
        "resolution": event.resolution,
        "changed_at": logged.record.time,
    }
    # A comment leaves the survey as it is.
    initial = {**origin(logged), "state": "requested"}
    if not isinstance(event, SurveyCommented):
        values["state"] = event.type.removeprefix("survey.")
    if isinstance(event, CsatEvent):
        values |= {"agent": event.agent, "asked_at": event.asked_at}
    match event:
        case SurveySkipped() | SurveyFailed():
            values["reason"] = event.reason
        case SurveyAnswered():
            values["rating"] = event.rating
        case SurveyCommented():
            values |= {"rating": event.rating, "comment": event.comment}
    id = event.survey_id or f"{event.conversation_id}/{event.resolution}"
    return Row(SURVEY, {"id": id}, values, initial)


def _channel(settings: Mapping[str, object], logged: Logged) -> Row:
    values = {
        "account": settings.get("account", DEFAULT_ACCOUNT),
        "revision": settings.get("revision", 1),
        "name": settings.get("name") or settings["id"],
        "provider": settings.get("provider", Credentials.model_fields["provider"].default),
        "phone_number": settings["phone_number"],
        "settings": {name: value for name, value in settings.items() if name not in _KEPT_FROM_VIEW},
        "saved_at": logged.record.time,
    }
    return Row(CHANNEL, {"id": settings["id"]}, values | origin(logged))


def _agent(event: AgentSaved | AgentDeleted, logged: Logged) -> Row:
    account = logged.key.split("/")[1]
    values: dict[str, object] = {"name": event.agent, "workload": None, "teams": "", "deleted": True}
    if isinstance(event, AgentSaved):
        teams = "".join(f"{team}\n" for team in event.teams)
        workload = None if event.workload is None else str(event.workload)
        values = {"name": event.name or event.agent, "workload": workload, "deleted": False}
        values["teams"] = f"\n{teams}" if teams else ""
    return Row(AGENT, {"account": account, "id": event.agent}, values | origin(logged))


def _presence(event: PresenceChanged, logged: Logged) -> Row:
    time = logged.record.time
    if event.source == "person":
        values: Values = {"chosen": event.state, "chosen_at": time}
    else:
        values = {"heartbeat": event.state, "heartbeat_at": time}
    return Row(PRESENCE, {"account": logged.key, "agent": event.agent}, values, origin(logged))


def _dead_letter(event: DeadLettered | DeadLetterReplayed, logged: Logged) -> Row:
    record = logged.record
    if isinstance(event, DeadLetterReplayed):
        return Row(DEAD_LETTER, {"id": event.letter_id}, {"replayed": True, "key": record.subject}, origin(logged))
    of_account = event.topic == ACCOUNT_INBOX.name
    values = {
        "stage": event.stage,
        "key": record.subject,
        "channel": None if of_account else channel_of(record.subject),
        "account": record.subject if of_account else None,
        "reason": event.reason,
        "detail": event.detail,
        "source_topic": event.topic,
        "source_partition": event.partition,
        "source_offset": event.offset,
        "at": record.time,
        "replayed": False,
    }
    return Row(DEAD_LETTER, {"id": record.id}, values, origin(logged))

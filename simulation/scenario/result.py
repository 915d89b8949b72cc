"""A scenario's result."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, JsonValue, PlainSerializer

from schemas.events.conversation import (
    Assignee,
    Status,
)
from schemas.events.receipts import DeliveryError
from schemas.record import format_time

Time = Annotated[datetime, PlainSerializer(format_time, return_type=str)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class ConversationResult(_Part):
    """One conversation as it is at the end. assigned_because: the explanation of its last routing or assignment.

    handed_over_because: why a GPT agent let go of it last.
    """

    id: str
    channel: str
    contact: str
    status: Status
    assignee: Assignee | None
    opened_at: Time
    messages: tuple[str, ...]
    labels: tuple[str, ...]
    notes: int
    note_texts: tuple[str, ...] = ()
    handed_over_because: str | None = None
    assigned_because: dict[str, JsonValue] | None


class SentResult(_Part):
    """Something that the provider was asked to send. repeat: it had taken the message once before.

    citations: the passages that a GPT agent's answer rests on.
    """

    at: Time
    id: str
    channel: str
    contact: str
    kind: str
    text: str | None
    via: Literal["session", "template"]
    repeat: bool
    citations: tuple[str, ...] = ()


class AnomalyResult(_Part):
    """A report that contradicts what stands."""

    standing: str
    reported: str
    at: Time


class MessageResult(_Part):
    """What is known of a message. status, timestamps, error, anomalies: of outbound ones.

    content: of an inbound one; its `edit` and `reaction` are the last that a notice about the message brought, and
    `removed` says that the message was taken back.
    """

    id: str
    contact: str
    channel: str
    direction: Literal["inbound", "outbound"]
    content: dict[str, JsonValue] | None = None
    status: str | None = None
    timestamps: dict[str, Time] = {}
    error: DeliveryError | None = None
    anomalies: tuple[AnomalyResult, ...] = ()


class SurveyResult(_Part):
    """One survey. resolution: which of the conversation's it asks about. agent: who is credited."""

    conversation: str
    contact: str
    resolution: int
    state: Literal["requested", "sent", "answered", "expired", "failed"]
    rating: int | None
    agent: str | None
    comment: str | None = None


class RefusedResult(_Part):
    """A save or command that was refused. step counts from 0."""

    step: int
    code: str
    reason: str


class OpenResult(_Part):
    """What a probe found. next_opening: the first instant after it at which the channel, closed till then, opens."""

    at: Time
    channel: str
    open: bool
    next_opening: Time | None


class ReportResult(_Part):
    """A channel's figures. Percentages: of the answers, and of the surveys sent."""

    surveys_sent: int
    answers: int
    satisfaction_pct: float
    response_rate_pct: float


class AiCallResult(_Part):
    """A call of a GPT agent's model or tool that ended. The fields are those of ai.call_ended."""

    agent: str
    call: Literal["model", "tool"]
    name: str
    outcome: str
    used: bool
    tokens_in: int
    tokens_out: int
    cost_micros: int


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
    surveys: tuple[SurveyResult, ...]
    refused: tuple[RefusedResult, ...]
    open: tuple[OpenResult, ...]
    report: dict[str, ReportResult]
    dead_letters: tuple[DeadLetterResult, ...]
    ai_calls: tuple[AiCallResult, ...] = ()
    ai_shown: tuple[str, ...] = ()
    records: tuple[RecordResult, ...] | None = None

    def as_json(self) -> dict[str, JsonValue]:
        """Plain data; records only where they are there."""
        data = self.model_dump(mode="json")
        if self.records is None:
            del data["records"]
        return data

"""What the AI agent is asked, and what a client of it answers."""

from datetime import datetime
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from schemas.event import Event


class AiRequested(Event):
    """A customer's message that the AI agent is to answer. Written by conversations. at: the message's own time."""

    type: ClassVar[str] = "ai.requested"

    request_id: str
    conversation_id: str
    agent: str
    message_id: str
    kind: str
    text: str | None = None
    at: datetime


class AiRequest(BaseModel):
    """Ask the AI agent once. effect_id: unique to the attempt; request_id is the same for each."""

    model_config = ConfigDict(frozen=True)

    effect_id: str
    request_id: str
    conversation: str
    channel: str
    agent: str
    message_id: str
    kind: str
    text: str | None = None


class AiResult(BaseModel):
    """What it said. text: only of an answer. error: it can't answer; asking again does not help."""

    model_config = ConfigDict(frozen=True)

    answer: Literal["text", "handoff", "error"]
    text: str | None = None

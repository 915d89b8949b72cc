"""What the AI agent is asked, and what it answers."""

from datetime import datetime
from typing import ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

from schemas.event import Event
from schemas.settings.types import MAX_TEXT


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


class AiMessage(BaseModel):
    """The customer's message. kind: text, image, …; text: None where there is none."""

    model_config = ConfigDict(frozen=True)

    id: str
    kind: str
    text: str | None = None


class AiQuestion(BaseModel):
    """Body of POST /v1/answers. request_id: the same whenever the same question is asked again."""

    model_config = ConfigDict(frozen=True)

    request_id: str
    conversation: str
    channel: str
    agent: str
    message: AiMessage


class AiRequest(BaseModel):
    """Ask the AI agent once. effect_id: unique to the attempt."""

    model_config = ConfigDict(frozen=True)

    effect_id: str
    question: AiQuestion


class AiResult(BaseModel):
    """What it says, the body of its answer: text, handoff (a human is to take over), or error (it can't answer).

    text: of a text only; a message that can be sent, so not blank and at most 4096 characters.
    """

    model_config = ConfigDict(frozen=True)

    answer: Literal["text", "handoff", "error"]
    text: str | None = None

    @model_validator(mode="after")
    def _can_be_sent(self) -> Self:
        text = (self.text or "") if self.answer == "text" else "unused"
        if not text.strip():
            raise ValueError("text: is missing")
        if len(text) > MAX_TEXT:
            raise ValueError(f"text: more than {MAX_TEXT} characters")
        return self

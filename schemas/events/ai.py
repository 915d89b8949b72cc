"""What the AI agent is asked, and what it answers."""

from datetime import datetime
from typing import ClassVar

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

"""What the AI agent is asked and told, and what its calls came to."""

from datetime import datetime
from typing import ClassVar, Literal

from schemas.event import Event


class AiRequested(Event):
    """A customer's message that the AI agent is to answer. Written by conversations.

    at: the message's own time. name: the contact's, for a GPT agent.
    """

    type: ClassVar[str] = "ai.requested"

    request_id: str
    conversation_id: str
    agent: str
    message_id: str
    kind: str
    text: str | None = None
    at: datetime
    name: str | None = None


class AiTold(Event):
    """What a GPT agent is to know of a conversation without being asked. Written by conversations.

    Only where the channel has a GPT agent switched on. said: a message: by the customer, while the conversation was not
    the agent's; by the agent itself; by a human; by the business (automatic). released: the conversation is no longer
    the agent's, or its customer is blocked: what is under way is dropped. resolved: what was talked about is over.
    """

    type: ClassVar[str] = "ai.told"

    conversation_id: str
    what: Literal["said", "released", "resolved"]
    by: Literal["customer", "ai", "human", "business"] | None = None
    message_id: str | None = None
    kind: str = "text"
    text: str | None = None
    at: datetime


class AiCallEnded(Event):
    """One call for a GPT agent came to its end: a model's, a tool's. Key: conversation key. Written by ai.

    outcome: model: answered, later (tried again), failed, budget (used up: not asked), unknown; tool: done, refused,
    unknown. used: False: its answer was dropped. cost_micros: millionths of the prices' currency. took_ms: as the
    performer measured. message_id: the customer's message that it was for; of several the last one.
    """

    type: ClassVar[str] = "ai.call_ended"

    request_id: str
    conversation_id: str
    agent: str
    message_id: str | None = None
    call: Literal["model", "tool"]
    name: str
    outcome: str
    used: bool = True
    tokens_in: int = 0
    tokens_out: int = 0
    cost_micros: int = 0
    took_ms: int = 0
    at: datetime

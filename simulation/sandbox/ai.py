"""The AI agent's stand-in without its HTTP: what it answers on which channel. No I/O, no clock."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.effects import AiQuestion, AiResult
from simulation.sandbox.calls import Json

CANNED = "Thank you for your message."


class AiBehaviour(BaseModel):
    """What the AI agent answers from now on: handoff, error, or any other text as it is.

    channel: None: on every channel that has no answer of its own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    answer: str = Field(min_length=1)
    channel: str | None = None


class AiStandIn:
    """Answers every question as the last behaviour says, at first with a canned text."""

    def __init__(self) -> None:
        self._default = _result(CANNED)
        self._by_channel: dict[str, AiResult] = {}

    def set_behaviour(self, behaviour: AiBehaviour) -> None:
        """Change how questions are answered. Raises ValueError for a text that can't be sent: blank, too long."""
        result = _result(behaviour.answer)
        if behaviour.channel is None:
            self._default = result
        else:
            self._by_channel[behaviour.channel] = result

    def handle(self, body: bytes) -> tuple[int, Json]:
        """Answer a POST /v1/answers: HTTP status and body."""
        try:
            question = AiQuestion.model_validate_json(body)
        except ValidationError as error:
            problems = (f"{'.'.join(map(str, item['loc'])) or 'body'}: {item['msg']}" for item in error.errors())
            return 400, {"error": "; ".join(problems)}
        result = self._by_channel.get(question.channel, self._default)
        return 200, result.model_dump(mode="json", exclude_none=True)


def _result(answer: str) -> AiResult:
    match answer:
        case "handoff" | "error":
            return AiResult(answer=answer)
        case text:
            return AiResult(answer="text", text=text)

"""The stage ai with a GPT agent and a scripted model on one key: what tests of it say in a line."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from agents.ai.decide import AI
from schemas.effects import (
    AiRequest,
    AiResult,
    EffectRequest,
    GptCall,
    GptRequest,
    GptResult,
    KnowledgeRequest,
    KnowledgeResult,
    Passage,
    ToolRequest,
    ToolResult,
)
from schemas.event import Event
from schemas.events.ai import AiCallEnded, AiRequested, AiTold
from schemas.events.inbox import AiAnswered, AiEnd, AiFailed, AiHandedOver
from schemas.events.sending import EffectEnded
from schemas.record import Record
from schemas.settings.ai import GptAgent, HttpAgent, Tool
from schemas.settings.channel import Ai, AiAgent, ChannelSettings
from streams.state import Changes, TaskState
from streams.step import Due, Step, step

KEY = "kiosk:4915112345678"
NOON = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
RETURNS = Passage(id="faq/returns/0", title="Returns", text="Return it at https://x.example/returns within 30 days.")
REFUND = Tool(name="refund", description="Refund an order.", method="POST", url="https://shop.example/refund")
LOOK_UP = Tool(name="look_up", description="Look an order up.", url="https://shop.example/orders")
JsonObject = Mapping[str, Any]


def gpt_agent(**update: Any) -> GptAgent:
    return GptAgent(id="robot", model="m-1", **{"instructions": "Help customers of the kiosk.", **update})


def gpt_channel(agent: GptAgent | None = None, **update: Any) -> ChannelSettings:
    """A channel with the agent, and another that the account runs itself."""
    return ChannelSettings(
        id="kiosk",
        account="acme",
        phone_number="+4930901820",
        human_agents=("ana", "ben"),
        ai=Ai(enabled=True, agents=(AiAgent(id="robot"), AiAgent(id="own"))),
        ai_agents=(agent or gpt_agent(), HttpAgent(id="own", url="https://own.example")),
        **update,
    )


class GptBench:
    """One customer's talk. Every call happens at `now`, which the test moves; nothing is answered by itself."""

    def __init__(self, settings: ChannelSettings | None = None) -> None:
        self.settings = settings or gpt_channel()
        self.state = TaskState()
        self.now = NOON
        self.in_flight: EffectRequest | None = None
        self.requests: list[EffectRequest] = []
        self.reported: list[Event] = []
        self._records = 0

    # --- what happens ------------------------------------------------------------------------------------------------

    def take(self, event: Event) -> list[Event]:
        """What the stage wrote about the event."""
        self._records += 1
        record = Record(f"r{self._records}", "/test", self.now, KEY, event, channel="kiosk")
        return self._commit(step(AI, self.state, record, self._lookup))

    def ask(self, number: int, text: str | None = None, **update: Any) -> list[Event]:
        """The customer writes: message m1, request q1."""
        fields: dict[str, Any] = {
            "request_id": f"q{number}",
            "conversation_id": "c1",
            "agent": "robot",
            "message_id": f"m{number}",
            "kind": "text",
            "text": f"question {number}" if text is None else text,
            "at": self.now,
        }
        return self.take(AiRequested(**{**fields, **update}))

    def hear(self, number: int, kind: str) -> list[Event]:
        """The customer sends something without words."""
        return self.take(
            AiRequested(
                request_id=f"q{number}",
                conversation_id="c1",
                agent="robot",
                message_id=f"m{number}",
                kind=kind,
                at=self.now,
            )
        )

    def told(self, by: str, text: str, id: str, conversation: str = "c1") -> list[Event]:
        said = {"what": "said", "by": by, "text": text, "message_id": id, "at": self.now}
        return self.take(AiTold.model_validate({"conversation_id": conversation, **said}))

    def release(self, conversation: str = "c1") -> list[Event]:
        return self.take(AiTold(conversation_id=conversation, what="released", at=self.now))

    def resolve(self, conversation: str = "c1") -> list[Event]:
        return self.take(AiTold(conversation_id=conversation, what="resolved", at=self.now))

    def wait(self, time: timedelta) -> list[Event]:
        """Let time pass: due timers fire."""
        self.now += time
        return self._commit(step(AI, self.state, Due(KEY, self.now), self._lookup))

    # --- how calls end -----------------------------------------------------------------------------------------------

    def say(self, text: str, **update: Any) -> list[Event]:
        """The model says so."""
        return self.end(GptResult(answer="answered", text=text, model="m-1", tokens_in=100, tokens_out=10, **update))

    def call(self, *calls: tuple[str, JsonObject | str], text: str | None = None) -> list[Event]:
        """The model wants tools to be called."""
        named = tuple(
            GptCall(id="x", name=name, arguments=given if isinstance(given, str) else orjson.dumps(given).decode())
            for name, given in calls
        )
        return self.end(GptResult(answer="answered", text=text, calls=named, model="m-1", tokens_in=100))

    def find(self, *passages: Passage) -> list[Event]:
        """These passages are found."""
        assert isinstance(self.in_flight, KnowledgeRequest)
        return self.end(KnowledgeResult(passages=passages))

    def tool(self, text: str, **update: Any) -> list[Event]:
        """The tool answers so."""
        assert isinstance(self.in_flight, ToolRequest)
        return self.end(ToolResult(**{"answer": "done", "status": 200, "text": text, **update}))

    def end(self, result: AiResult | GptResult | KnowledgeResult | ToolResult) -> list[Event]:
        """End the call in flight."""
        return self._end("done", result.model_dump(mode="json"))

    def lose(self, outcome: str = "unknown", **result: Any) -> list[Event]:
        """Nobody knows how the call in flight ended, or it was not made."""
        return self._end(outcome, result)

    def _end(self, outcome: str, result: dict[str, Any]) -> list[Event]:
        assert self.in_flight is not None
        effect, self.in_flight = self.in_flight.effect_id, None
        ended = {"effect_id": effect, "outcome": outcome, "result": result}
        return self.take(EffectEnded.model_validate(ended))

    # --- what came of it ---------------------------------------------------------------------------------------------

    @property
    def asked(self) -> GptRequest:
        """The model's call in flight."""
        assert isinstance(self.in_flight, GptRequest)
        return self.in_flight

    @property
    def calling(self) -> ToolRequest:
        """The tool's call in flight."""
        assert isinstance(self.in_flight, ToolRequest)
        return self.in_flight

    @property
    def prompt(self) -> str:
        """All that the model is sent."""
        return "\n".join(f"{message['role']}: {message['content']}" for message in self.asked.messages)

    @property
    def system(self) -> str:
        return str(self.asked.messages[0]["content"])

    @property
    def ends(self) -> list[AiEnd]:
        return [event for event in self.reported if isinstance(event, AiEnd)]

    @property
    def calls(self) -> list[AiCallEnded]:
        return [event for event in self.reported if isinstance(event, AiCallEnded)]

    def answered(self) -> AiAnswered:
        """The last end: an answer."""
        assert isinstance(self.ends[-1], AiAnswered)
        return self.ends[-1]

    def handed_over(self) -> AiHandedOver:
        """The last end: a hand-over."""
        assert isinstance(self.ends[-1], AiHandedOver)
        return self.ends[-1]

    def failed(self) -> AiFailed:
        """The last end: a failure."""
        assert isinstance(self.ends[-1], AiFailed)
        return self.ends[-1]

    def rows(self, prefix: str = "gpt/") -> list[str]:
        return [name for name in self.state.names(KEY, prefix) if name]

    def _lookup(self, channel: str, revision: int) -> ChannelSettings:
        return self.settings

    def _commit(self, made: Step) -> list[Event]:
        assert made.failure is None, made.failure
        changes = Changes(self.state)
        for name, value in made.rows.items():
            assert value is None or len(value) < 8 * 1024, name
            changes.write(KEY, name, value)
        changes.commit(self.state)
        for requested in made.effects:
            assert self.in_flight is None
            assert isinstance(requested.effect.request, AiRequest | KnowledgeRequest | GptRequest | ToolRequest)
            self.in_flight = requested.effect.request
            self.requests.append(self.in_flight)
        reported = [outgoing.record.event for outgoing in made.outgoing]
        self.reported += reported
        return reported

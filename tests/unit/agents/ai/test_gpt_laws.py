"""Whatever happens, each question has exactly one end, and nothing is done for one who has lost the conversation."""

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.effects import (
    AiRequest,
    AiResult,
    GptCall,
    GptRequest,
    GptResult,
    KnowledgeRequest,
    KnowledgeResult,
    ToolRequest,
    ToolResult,
)
from schemas.event import Event
from schemas.events.ai import AiCallEnded, AiRequested
from schemas.events.inbox import AiEnd
from schemas.settings.ai import AiLimits, HandOverRules
from tests.support.gpt import LOOK_UP, REFUND, RETURNS, GptBench, gpt_agent, gpt_channel

STEPS = st.tuples(
    st.sampled_from(
        ["ask", "ask", "ask", "own", "end", "end", "end", "end", "lose", "release", "resolve", "told", "wait"]
    ),
    st.integers(0, 40),
)
TEXTS = ("Hello", "person please", "", "We received your message", "**Bold** [1]", "https://evil.example")
RESULTS = (
    GptResult(answer="answered", text="Yes [1].", tokens_in=7),
    GptResult(answer="answered", text="", tokens_in=7),
    GptResult(answer="answered", text="word " * 1_000, tokens_in=7),
    GptResult(answer="answered", text="Anything else?", tokens_in=7),
    GptResult(answer="later", retry_after_s=3),
    GptResult(answer="failed"),
    GptResult(answer="budget"),
    GptResult(answer="answered", calls=(GptCall(id="a", name="look_up", arguments='{"a":1}'),), tokens_in=7),
    GptResult(
        answer="answered",
        calls=(
            GptCall(id="a", name="refund", arguments='{"a":1}'),
            GptCall(id="a", name="refund", arguments="{"),
            GptCall(id="a", name="resolve", arguments=""),
            GptCall(id="a", name="nothing", arguments="{}"),
        ),
        tokens_in=7,
    ),
    GptResult(answer="answered", calls=(GptCall(id="a", name="hand_over", arguments="{}"),), tokens_in=7),
)


class Story:
    """Steps against the stage, and what must hold after each."""

    def __init__(self, *, knowledge: bool, grounded: bool) -> None:
        agent = gpt_agent(
            knowledge=("faq",) if knowledge else (),
            grounded=grounded,
            tools=(LOOK_UP, REFUND),
            limits=AiLimits(answers=20),
            hand_over=HandOverRules(phrases=("person",), unreadable="Write, please."),
        )
        self.bench = GptBench(gpt_channel(agent))
        self.held: str | None = None
        self.agent = "robot"
        self.open: set[str] = set()
        self.count = 0
        self.tokens = 0

    def play(self, what: str, number: int) -> None:
        bench, conversation = self.bench, f"c{number // 20}"
        before = len(bench.requests)
        self.count += 1
        match what:
            case "ask" | "own":
                if self.held is not None and (self.held, self.agent) != (conversation, self._agent(what)):
                    self._release()
                self.held, self.agent = conversation, self._agent(what)
                self.open.add(f"q{self.count}")
                text = TEXTS[number % len(TEXTS)] or None
                request = AiRequested(
                    request_id=f"q{self.count}",
                    conversation_id=conversation,
                    agent=self.agent,
                    message_id=f"m{self.count}",
                    kind="text" if text else "audio",
                    text=text,
                    at=bench.now,
                )
                self._check(bench.take(request))
            case "end" if bench.in_flight is not None:
                self._end(number)
            case "lose" if bench.in_flight is not None:
                self._check(bench.lose("postponed" if number % 2 else "unknown"))
            case "release" if self.held is not None:
                self._release()
                assert all(isinstance(one, AiRequest) for one in bench.requests[before:])
            case "resolve" if self.held is None:
                self._check(bench.resolve(conversation))
            case "told":
                by = ("customer", "human", "business", "ai")[number % 4]
                self._check(bench.told(by, TEXTS[number % len(TEXTS)], f"t{self.count}", conversation))
            case "wait":
                self._check(bench.wait(timedelta(seconds=number)))

    def _agent(self, what: str) -> str:
        return "robot" if what == "ask" else "own"

    def _release(self) -> None:
        """Conversations tells only a GPT agent; and takes no end of the other's from then on."""
        is_gpt, held = self.agent == "robot", self.held
        self.held = None
        self.open.clear()
        if is_gpt and held is not None:
            self._check(self.bench.release(held))

    def _end(self, number: int) -> None:
        bench, request = self.bench, self.bench.in_flight
        match request:
            case AiRequest():
                answer = AiResult(answer="text", text="own")
                self._check(bench.end(answer))
            case KnowledgeRequest():
                self._check(bench.end(KnowledgeResult(passages=(RETURNS,) if number % 2 else ())))
            case GptRequest():
                result = RESULTS[number % len(RESULTS)]
                self.tokens += result.tokens_in
                self._check(bench.end(result))
            case ToolRequest():
                self._check(bench.end(ToolResult(answer="done" if number % 2 else "refused", text="Seen.")))

    def _check(self, emitted: list[Event]) -> None:
        for event in emitted:
            if not isinstance(event, AiEnd) or not self.open & {event.request_id, *event.also}:
                continue
            ended = [event.request_id, *event.also]
            assert len(ended) == len(set(ended))
            assert self.open >= set(ended)
            self.open -= set(ended)
            if event.type != "ai.answered":
                # Conversations takes it from the agent: what else is open of it ends with that.
                self.open.clear()
                if self.agent == "robot":
                    self.held = None
                    self._check(self.bench.release(event.conversation_id))


@settings(max_examples=250, deadline=None)
@given(st.lists(STEPS, max_size=60), st.booleans(), st.booleans())
def test_every_question_has_one_end(steps: list[tuple[str, int]], knowledge: bool, grounded: bool) -> None:
    story = Story(knowledge=knowledge, grounded=grounded)
    for what, number in steps:
        story.play(what, number)
    for _ in range(400):
        if story.bench.in_flight is not None:
            story._end(0)
        elif story.bench.state.next_deadline() is None or not story.open:
            break
        else:
            story._check(story.bench.wait(timedelta(seconds=60)))
    assert story.open == set()
    assert story.bench.in_flight is None or story.held is None
    calls = [event for event in story.bench.reported if isinstance(event, AiCallEnded)]
    assert sum(call.tokens_in for call in calls) == story.tokens
    made = [one for one in story.bench.requests if isinstance(one, GptRequest | ToolRequest)]
    assert len(calls) == len(made) - (isinstance(story.bench.in_flight, GptRequest | ToolRequest))

"""GPT agents: what a customer's message leads to, and its one end."""

from datetime import timedelta

import pytest

from agents.ai.gpt import ATTEMPTS, MAX_CALLS, MAX_RESTARTS
from schemas.effects import AiRequest, AiResult, GptRequest, GptResult, KnowledgeRequest
from schemas.events.ai import AiRequested
from schemas.events.content import Citation
from schemas.events.inbox import AiAnswered, AiFailed, AiHandedOver
from schemas.settings.ai import AiLimits, HandOverRules
from tests.support.gpt import NOON, RETURNS, GptBench, gpt_agent, gpt_channel


def s(count: float) -> timedelta:
    return timedelta(seconds=count)


def bench_with(**agent: object) -> GptBench:
    return GptBench(gpt_channel(gpt_agent(**agent)))


def test_a_message_is_asked_about_and_answered() -> None:
    bench = GptBench()
    assert bench.ask(1, "When do you open?") == []
    assert "<customer>When do you open?</customer>" in bench.prompt
    assert bench.asked.timeout_s == 60
    bench.say("At nine.")
    assert bench.ends == [AiAnswered(request_id="q1", conversation_id="c1", text="At nine.")]
    [call] = bench.calls
    assert (call.request_id, call.message_id, call.agent, call.call, call.name, call.outcome) == (
        "q1",
        "m1",
        "robot",
        "model",
        "m-1",
        "answered",
    )
    assert (call.used, call.tokens_in, call.tokens_out) == (True, 100, 10)
    assert bench.rows("gpt/run") == bench.rows("gpt/step") == []


def test_a_request_counts_once() -> None:
    bench = GptBench()
    bench.ask(1)
    bench.say("Yes.")
    assert bench.ask(1) == []
    assert bench.in_flight is None


def test_an_answer_is_known_to_the_next_question_before_it_is_sent() -> None:
    bench = GptBench()
    bench.ask(1, "Do you deliver?")
    bench.say("Yes, to Vigo.")
    bench.ask(2, "How much?")
    assert [message["role"] for message in bench.asked.messages] == ["system", "user", "assistant", "user"]
    assert bench.asked.messages[2]["content"] == "Yes, to Vigo."


def test_an_answer_that_is_told_to_be_sent_stands_once_also_in_parts() -> None:
    bench = GptBench()
    bench.ask(1)
    bench.say("First part. Second part.")
    bench.told("ai", "First part.", "o1")
    bench.told("ai", "Second part.", "o2")
    bench.ask(2)
    assert [message["content"] for message in bench.asked.messages if message["role"] == "assistant"] == [
        "First part. Second part."
    ]


def test_an_answer_that_was_not_sent_is_forgotten() -> None:
    bench = GptBench()
    bench.ask(1)
    bench.say("It is shipped.")
    bench.release()
    bench.told("human", "It is not shipped yet.", "h1")
    bench.ask(2)
    assert "It is shipped." not in bench.prompt
    assert "<colleague>It is not shipped yet.</colleague>" in bench.prompt


def test_messages_during_a_call_are_answered_together_with_it() -> None:
    bench = GptBench()
    bench.ask(1, "Hi")
    bench.ask(2, "I ordered")
    bench.ask(3, "a lamp")
    first = bench.asked
    bench.say("Hello!")
    assert bench.ends == []
    assert bench.asked.call_id != first.call_id
    assert "I ordered" in bench.prompt
    assert "a lamp" in bench.prompt
    bench.say("Your lamp is on its way.")
    assert bench.answered().also == ("q2", "q3")
    assert [(call.outcome, call.used) for call in bench.calls] == [("answered", False), ("answered", True)]
    assert len(bench.ends) == 1


def test_a_customer_who_never_stops_writing_is_answered_all_the_same() -> None:
    bench = GptBench()
    bench.ask(0)
    for number in range(1, MAX_RESTARTS + 2):
        bench.ask(number)
        bench.say(f"answer {number}")
    assert bench.answered().request_id == "q0"
    assert bench.answered().also == ("q1", "q2", "q3")
    bench.say("the last")
    assert bench.answered().request_id == "q4"


def test_one_who_has_the_conversation_again_drops_all_that_is_under_way() -> None:
    # A07: a person replied while the model thought; snoozed, resolved, given to another agent are a release, too.
    bench = GptBench()
    bench.ask(1)
    bench.release()
    bench.told("human", "I am here.", "h1")
    bench.call(("hand_over", {"reason": "anger", "summary": "angry"}), ("refund", {}))
    assert bench.ends == []
    assert [(call.used, call.tokens_in) for call in bench.calls] == [(False, 100)]
    assert bench.in_flight is None
    assert bench.rows("gpt/run") == []


def test_a_call_that_is_lost_after_a_release_is_not_made_again() -> None:
    bench = GptBench()
    bench.ask(1)
    bench.release()
    bench.lose()
    bench.wait(timedelta(hours=1))
    assert bench.in_flight is None
    assert [(call.outcome, call.used) for call in bench.calls] == [("unknown", False)]


def test_a_release_while_a_call_waits_to_be_made_again_ends_it() -> None:
    bench = GptBench()
    bench.ask(1)
    bench.lose()
    bench.release()
    bench.wait(timedelta(hours=1))
    assert bench.in_flight is None
    assert bench.rows("gpt/run") == []


def test_given_back_it_answers_and_knows_that_the_human_is_done() -> None:
    # A03: an old "I stay silent now" stood in the history, and empty turns counted as answered.
    bench = GptBench()
    bench.ask(1, "I want a person")
    bench.call(
        ("hand_over", {"reason": "asked_for_person", "summary": "wants a person", "customer_text": "I stay silent now"})
    )
    bench.told("ai", "I stay silent now", "o1")
    bench.release()
    bench.told("human", "Hello!", "h1")
    bench.ask(2, "still there?")
    last = str(bench.asked.messages[-1]["content"])
    assert last.index("a person had the conversation") < last.index("<colleague>Hello!")
    assert last.index("<colleague>Hello!") < last.index("yours again") < last.index("still there?")
    bench.say("  ")
    assert len(bench.ends) == 1
    assert "You said nothing." in bench.prompt
    bench.say("Yes")
    assert (bench.answered().request_id, bench.answered().text) == ("q2", "Yes")


def test_an_empty_answer_twice_goes_to_a_human() -> None:
    bench = GptBench()
    bench.ask(1)
    bench.say("")
    bench.say("")
    assert bench.ends == [AiFailed(request_id="q1", conversation_id="c1", reason="empty")]
    assert bench.in_flight is None


def test_an_earlier_talk_is_marked_as_over() -> None:
    # A05: in a lasting conversation the old "get me a person" handed every new talk over.
    bench = GptBench()
    bench.ask(1, "get me a person")
    bench.call(("hand_over", {"reason": "asked_for_person", "summary": "person"}))
    bench.release()
    bench.resolve()
    bench.now += timedelta(days=1)
    bench.ask(2, "opening hours?")
    last = str(bench.asked.messages[-1]["content"])
    assert last.index("get me a person") < last.index("over and settled") < last.index("opening hours?")
    assert "yours again" not in bench.prompt
    bench.say("From nine.")
    assert bench.answered().request_id == "q2"


def test_another_conversation_begins_a_talk_of_its_own() -> None:
    bench = GptBench(gpt_channel(gpt_agent(limits=AiLimits(answers=1))))
    bench.ask(1)
    bench.say("Yes.")
    bench.ask(2, conversation_id="c2")
    assert "over and settled" in bench.prompt
    bench.say("Yes, too.")
    assert bench.answered().conversation_id == "c2"
    bench.ask(3, conversation_id="c2")
    assert bench.handed_over().reason == "limit"


def test_what_was_told_before_is_not_heard_twice() -> None:
    bench = GptBench()
    bench.told("customer", "Moin", "m1")
    bench.told("customer", "Moin", "m1")
    bench.ask(1, "Moin")
    assert bench.prompt.count("Moin") == 1


def test_a_customer_who_wrote_before_the_agent_had_it_is_answered_with_that_in_mind() -> None:
    bench = GptBench()
    bench.told("customer", "My order is 77.", "m1")
    bench.told("business", "We are closed now.", "u1")
    bench.ask(2, "Where is it?")
    last = str(bench.asked.messages[-1]["content"])
    assert last.index("order is 77") < last.index("<automatic>We are closed now.") < last.index("Where is it?")
    assert "yours again" not in last


# --- the model's service -----------------------------------------------------------------------------------------


def test_a_call_is_made_again_under_its_id_and_then_a_human_takes_over() -> None:
    bench = GptBench()
    bench.ask(1)
    ids = set()
    for attempt in range(ATTEMPTS):
        ids.add(bench.asked.call_id)
        bench.lose()
        bench.wait(s(2 * 2**attempt))
    assert len(ids) == 1
    assert bench.failed() == AiFailed(request_id="q1", conversation_id="c1", reason="no_answer")
    assert [call.outcome for call in bench.calls] == ["unknown"] * ATTEMPTS
    assert bench.in_flight is None


def test_a_service_that_is_busy_is_asked_again_when_it_says() -> None:
    bench = GptBench()
    bench.ask(1)
    bench.end(GptResult(answer="later", retry_after_s=30))
    bench.wait(s(29))
    assert bench.in_flight is None
    bench.wait(s(1))
    bench.say("Here I am.")
    assert bench.answered().text == "Here I am."
    assert [(call.outcome, call.used) for call in bench.calls] == [("later", False), ("answered", True)]


def test_one_that_is_busy_for_long_is_not_waited_for() -> None:
    bench = GptBench()
    bench.ask(1)
    bench.end(GptResult(answer="later", retry_after_s=600))
    assert bench.failed().reason == "no_answer"


def test_a_call_that_is_held_back_is_made_again() -> None:
    bench = GptBench()
    bench.ask(1)
    bench.lose("postponed", retry_after_s=10.0)
    bench.wait(s(10))
    assert isinstance(bench.in_flight, GptRequest)
    assert [call.outcome for call in bench.calls] == ["later"]


def test_a_message_while_a_call_waits_is_asked_about_with_it() -> None:
    bench = GptBench()
    bench.ask(1, "one")
    bench.lose()
    bench.ask(2, "two")
    bench.wait(s(2))
    assert "two" in bench.prompt
    bench.say("Both.")
    assert bench.answered().also == ("q2",)
    assert bench.in_flight is None


def test_a_service_that_refuses_is_not_asked_again() -> None:
    bench = bench_with(hand_over=HandOverRules(text="A colleague goes on."))
    bench.ask(1)
    bench.end(GptResult(answer="failed"))
    assert bench.failed() == AiFailed(
        request_id="q1", conversation_id="c1", reason="failed", text="A colleague goes on."
    )


def test_a_used_up_budget_hands_over() -> None:
    bench = GptBench()
    bench.ask(1)
    bench.end(GptResult(answer="budget"))
    assert bench.handed_over().reason == "budget"
    assert [(call.outcome, call.used) for call in bench.calls] == [("budget", False)]


def test_an_agent_that_is_gone_meanwhile_hands_over() -> None:
    bench = GptBench()
    bench.ask(1)
    bench.settings = gpt_channel().model_copy(update={"ai_agents": ()})
    bench.say("Hello")
    assert bench.failed().reason == "switched_off"
    assert bench.in_flight is None


# --- what it answers by ------------------------------------------------------------------------------------------


def test_passages_are_looked_for_and_cited() -> None:
    bench = bench_with(knowledge=("faq",))
    bench.ask(1, "Can I return it?")
    assert isinstance(bench.in_flight, KnowledgeRequest)
    assert bench.in_flight.query == "Can I return it?"
    bench.find(RETURNS)
    assert '<source number="1" title="Returns">' in bench.prompt
    bench.say("Yes, at https://x.example/returns. [1]")
    answer = bench.answered()
    assert (answer.text, answer.citations) == (
        "Yes, at https://x.example/returns.",
        (Citation(id="faq/returns/0", title="Returns"),),
    )
    assert bench.rows("gpt/source") == []


def test_messages_while_passages_are_looked_for_are_looked_for_too() -> None:
    bench = bench_with(knowledge=("faq",))
    bench.ask(1, "Hi")
    bench.ask(2, "returns?")
    bench.find()
    assert isinstance(bench.in_flight, KnowledgeRequest)
    assert bench.in_flight.query == "Hi\nreturns?"


def test_without_its_knowledge_an_agent_goes_on() -> None:
    bench = bench_with(knowledge=("faq",))
    bench.ask(1)
    for attempt in range(ATTEMPTS):
        bench.lose()
        bench.wait(s(2 * 2**attempt))
    assert isinstance(bench.in_flight, GptRequest)


@pytest.mark.parametrize(
    ("passages", "text"),
    [
        ((RETURNS,), "See https://x.example/refund-form or +1 202 555 0000"),
        ((RETURNS,), "See https://x.example/refund-form [1] or +1 202 555 0000"),
        ((), "Click Settings > Downgrade"),
        ((RETURNS,), "Click Settings > Downgrade"),
        ((RETURNS,), "Click Settings > Downgrade [7]"),
    ],
)
def test_a_grounded_agent_says_nothing_that_no_source_says(passages: tuple[object, ...], text: str) -> None:
    # A15
    bench = bench_with(knowledge=("faq",), grounded=True)
    bench.ask(1, "How do I get out?")
    bench.find(*passages)  # type: ignore[arg-type]
    bench.say(text)
    assert bench.handed_over().reason == "ungrounded"
    assert len(bench.ends) == 1


def test_another_agent_s_unknown_links_and_numbers_are_cut() -> None:
    bench = GptBench()
    bench.ask(1, "My page is https://me.example/a")
    bench.say("I saw https://me.example/a/. Call +1 202 555 0000 now! See https://x.example/refund-form.")
    assert bench.answered().text == "I saw https://me.example/a/."
    bench.ask(2)
    bench.say("https://x.example/refund-form")
    assert bench.handed_over().reason == "ungrounded"


def test_an_answer_has_no_markdown() -> None:
    bench = GptBench()
    bench.ask(1)
    bench.say("# Fees\n**None** at all")
    assert bench.answered().text == "*Fees*\n*None* at all"


def test_an_answer_that_is_too_long_is_asked_for_again_and_then_goes_in_parts() -> None:
    bench = GptBench()
    bench.ask(1)
    bench.say("word " * 1_000)
    assert bench.ends == []
    assert "Too long" in bench.prompt
    assert bench.asked.messages[-2]["role"] == "assistant"
    bench.say("word " * 900)
    assert len(bench.answered().text) == 4_499


def test_an_answer_that_the_service_cut_is_asked_for_again() -> None:
    bench = GptBench()
    bench.ask(1)
    bench.say("It is in the", finish="length")
    assert bench.ends == []
    bench.say("In Vigo.")
    assert bench.answered().text == "In Vigo."


# --- beside an agent that the account runs itself -----------------------------------------------------------------


def own(number: int) -> AiRequested:
    return AiRequested(
        request_id=f"own{number}",
        conversation_id="c1",
        agent="own",
        message_id=f"n{number}",
        kind="text",
        text="hi",
        at=NOON,
    )


def test_two_kinds_of_agents_share_the_key_s_one_call() -> None:
    bench = GptBench()
    bench.take(own(1))
    bench.ask(1)
    bench.take(own(2))
    answered = AiResult(answer="text", text="own")
    assert isinstance(bench.in_flight, AiRequest)
    bench.end(answered)
    assert isinstance(bench.in_flight, AiRequest)
    bench.take(own(3))
    bench.end(answered)
    bench.end(answered)
    assert isinstance(bench.in_flight, GptRequest)
    bench.take(own(4))
    bench.say("gpt")
    assert isinstance(bench.in_flight, AiRequest)
    bench.end(answered)
    assert [end.request_id for end in bench.ends] == ["own1", "own2", "own3", "q1", "own4"]


def test_a_question_that_waited_for_another_agent_ends_with_a_release() -> None:
    bench = GptBench()
    bench.take(own(1))
    bench.ask(1)
    bench.release()
    bench.end(AiResult(answer="handoff"))
    assert bench.in_flight is None
    assert [type(end) for end in bench.ends] == [AiHandedOver]


def test_the_model_may_be_asked_so_often_for_one_question() -> None:
    bench = GptBench()
    bench.ask(1)
    for _ in range(MAX_CALLS):
        bench.call(("no_such_tool", {}))
    assert bench.handed_over().reason == "tools"
    assert bench.in_flight is None
    assert len(bench.calls) == MAX_CALLS

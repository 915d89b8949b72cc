"""The tools that a GPT agent's model calls."""

from datetime import timedelta

import pytest

from agents.ai.steps import MAX_STEPS
from schemas.effects import GptRequest, ToolRequest
from schemas.events.inbox import AiFailed
from schemas.settings.ai import HandOverRules
from schemas.settings.business_hours import BusinessHours
from schemas.settings.channel import ChannelSettings
from tests.support.gpt import LOOK_UP, REFUND, GptBench, gpt_agent, gpt_channel


def shop(**agent: object) -> GptBench:
    """An agent that can look up and refund orders."""
    return GptBench(gpt_channel(gpt_agent(tools=(LOOK_UP, REFUND), **agent)))


def names(bench: GptBench) -> list[str]:
    return [definition["function"]["name"] for definition in bench.asked.tools]  # type: ignore[call-overload, index, misc]


def output(bench: GptBench) -> str:
    """What the model is told of the last call."""
    last = bench.asked.messages[-1]
    assert last["role"] == "tool"
    return str(last["content"])


def test_the_model_sees_the_tools_of_every_agent_and_the_account_s() -> None:
    bench = shop()
    bench.ask(1)
    assert names(bench) == ["hand_over", "label", "note", "resolve", "propose_time", "look_up", "refund"]


def test_a_tool_is_called_and_the_model_is_told_what_it_came_to() -> None:
    bench = shop()
    bench.ask(1, "Where is order 7?")
    bench.call(("look_up", {"order": 7}))
    request = bench.calling
    assert (request.channel, request.agent, request.tool, request.arguments) == (
        "kiosk",
        "robot",
        "look_up",
        {"order": 7},
    )
    bench.tool("In Vigo, https://track.example/7")
    assert '<result number="1">' in output(bench)
    asked = bench.asked.messages[-2]
    assert asked["role"] == "assistant"
    assert asked["tool_calls"] == [
        {"id": "call_000", "type": "function", "function": {"name": "look_up", "arguments": '{"order":7}'}}
    ]
    bench.say("In Vigo: https://track.example/7")
    assert bench.answered().text == "In Vigo: https://track.example/7"
    assert [(call.call, call.name, call.outcome) for call in bench.calls] == [
        ("model", "m-1", "answered"),
        ("tool", "look_up", "done"),
        ("model", "m-1", "answered"),
    ]
    assert bench.rows("gpt/step") == []


def test_a_tool_s_result_is_a_source_of_a_grounded_agent() -> None:
    bench = shop(grounded=True)
    bench.ask(1, "Where is order 7?")
    bench.call(("look_up", {"order": 7}))
    bench.tool("In Vigo")
    bench.say("In Vigo [1].")
    assert bench.answered().text == "In Vigo."
    assert bench.answered().citations == ()


def test_several_calls_are_made_one_after_the_other() -> None:
    bench = shop()
    bench.ask(1)
    bench.call(("look_up", {"order": 1}), ("label", {"label": "orders"}), ("look_up", {"order": 2}))
    assert bench.calling.arguments == {"order": 1}
    bench.tool("one")
    assert bench.calling.arguments == {"order": 2}
    bench.tool("two")
    bench.say("Both.")
    assert bench.answered().labels == ("orders",)


def test_the_same_call_has_the_same_id_within_a_question_and_another_otherwise() -> None:
    # A17: a tool that timed out was called again, and refunded twice.
    bench = shop()
    bench.ask(1, "Refund order 7")
    bench.call(("refund", {"order": 7, "why": "late"}))
    first = bench.calling.call_id
    bench.lose()
    assert "Unknown" in output(bench)
    bench.call(("refund", {"why": "late", "order": 7}))
    assert bench.calling.call_id == first
    bench.lose()
    bench.call(("refund", {"order": 8, "why": "late"}))
    assert bench.calling.call_id != first
    bench.tool("done")
    bench.say("It is not known yet whether order 7 was refunded.")
    [note] = bench.answered().notes
    assert "refund" in note
    assert '"order":7' in note
    assert "not known" in note
    bench.ask(2, "Refund order 7")
    bench.call(("refund", {"order": 7, "why": "late"}))
    assert bench.calling.call_id != first


def test_one_that_turns_out_to_be_done_leaves_no_note() -> None:
    bench = shop()
    bench.ask(1)
    bench.call(("refund", {"order": 7}))
    bench.lose()
    bench.call(("refund", {"order": 7}))
    bench.tool("refunded")
    bench.say("It is refunded.")
    assert bench.answered().notes == ()


def test_what_was_done_is_not_called_again() -> None:
    bench = shop()
    bench.ask(1)
    bench.call(("refund", {"order": 7}))
    bench.tool("refunded")
    bench.call(("refund", {"order": 7}))
    assert isinstance(bench.in_flight, GptRequest)
    assert "refunded" in output(bench)
    assert sum(isinstance(request, ToolRequest) for request in bench.requests) == 1


def test_messages_that_come_in_between_change_nothing_of_what_was_called() -> None:
    bench = shop()
    bench.ask(1)
    bench.call(("refund", {"order": 7}))
    bench.ask(2, "Quick, please")
    bench.tool("refunded")
    assert "Quick, please" in bench.prompt
    assert "refunded" in bench.prompt
    bench.say("Done.")
    assert bench.answered().also == ("q2",)


def test_a_look_up_that_is_lost_is_made_again_and_what_changes_something_is_not() -> None:
    bench = shop()
    bench.ask(1)
    bench.call(("look_up", {"order": 7}))
    first = bench.calling
    bench.lose()
    bench.wait(timedelta(seconds=2))
    assert bench.calling.call_id == first.call_id
    bench.tool("In Vigo")
    bench.call(("refund", {"order": 7}))
    bench.lose()
    assert isinstance(bench.in_flight, GptRequest)


def test_a_call_that_was_held_back_is_made_again() -> None:
    bench = shop()
    bench.ask(1)
    bench.call(("refund", {"order": 7}))
    bench.lose("postponed")
    bench.wait(timedelta(seconds=2))
    bench.lose("postponed")
    bench.wait(timedelta(seconds=4))
    bench.lose("postponed")
    assert "could not be called" in output(bench)
    bench.say("That does not work now.")
    assert bench.answered().notes == ()


def test_no_tool_is_called_after_a_release() -> None:
    bench = shop()
    bench.ask(1)
    bench.call(("look_up", {"order": 1}), ("refund", {"order": 1}))
    bench.release()
    bench.tool("in Vigo")
    assert bench.in_flight is None
    assert bench.ends == []
    assert [(call.call, call.used) for call in bench.calls] == [("model", True), ("tool", False)]


def test_the_human_who_took_over_hears_of_a_call_whose_end_is_not_known() -> None:
    bench = shop()
    bench.ask(1)
    bench.call(("refund", {"order": 1}))
    bench.release()
    bench.lose()
    assert isinstance(bench.ends[0], AiFailed)
    assert "refund" in bench.ends[0].notes[0]
    assert bench.in_flight is None


@pytest.mark.parametrize("arguments", ["{", "[]", "7", '{"a": "' + "x" * 2_000 + '"}', '{"a": NaN}'])
def test_arguments_that_can_t_be_read_are_told_to_the_model(arguments: str) -> None:
    bench = shop()
    bench.ask(1)
    bench.call(("refund", arguments))
    assert "no JSON object" in output(bench)


def test_an_unknown_tool_is_told_to_the_model() -> None:
    bench = shop()
    bench.ask(1)
    bench.call(("format_disk", {"now": True}))
    assert output(bench) == "There is no such tool."
    bench.say("Sorry.")
    assert bench.answered().text == "Sorry."


def test_a_model_that_calls_many_tools_at_once_calls_so_many() -> None:
    bench = shop()
    bench.ask(1)
    bench.call(*((("look_up", {"order": number})) for number in range(100)))
    made = 0
    while isinstance(bench.in_flight, ToolRequest):
        bench.tool("no")
        made += 1
    assert made == MAX_STEPS


def test_a_tool_s_answer_is_cut() -> None:
    bench = shop()
    bench.ask(1)
    bench.call(("look_up", {"order": "\n" * 700}))
    bench.tool('"\n' * 50_000)
    assert len(bench.prompt) < 20_000


# --- hand over ---------------------------------------------------------------------------------------------------


def test_a_hand_over_has_one_text_to_the_customer_and_ends_the_question() -> None:
    # A01: the model's final answer said the same again.
    bench = shop()
    bench.ask(1)
    bench.call(
        ("hand_over", {"reason": "anger", "summary": "The lamp broke.", "customer_text": "A colleague goes on."}),
        ("refund", {}),
        text="A colleague goes on!",
    )
    end = bench.handed_over()
    assert (end.reason, end.summary, end.text) == ("anger", "The lamp broke.", "A colleague goes on.")
    assert len(bench.ends) == 1
    assert bench.in_flight is None


@pytest.mark.parametrize(
    ("rules", "reason", "told"),
    [
        (HandOverRules(), "asked_for_person", "asked_for_person"),
        (HandOverRules(), "low_confidence", "low_confidence"),
        (HandOverRules(topics=("prices",)), "topic", "topic"),
        (HandOverRules(), "topic", "cannot_help"),
        (HandOverRules(anger=False), "anger", "cannot_help"),
        (HandOverRules(), "whatever", "cannot_help"),
        (HandOverRules(), 7, "cannot_help"),
    ],
)
def test_the_model_hands_over_for_a_reason(rules: HandOverRules, reason: object, told: str) -> None:
    bench = shop(hand_over=rules)
    bench.ask(1)
    bench.call(("hand_over", {"reason": reason}))
    assert bench.handed_over().reason == told


def test_the_account_s_text_at_a_hand_over_goes_before_the_model_s() -> None:
    bench = shop(hand_over=HandOverRules(text="We take over."))
    bench.ask(1)
    bench.call(("hand_over", {"reason": "anger", "customer_text": "See https://evil.example"}))
    assert bench.handed_over().text == "We take over."


def test_what_the_model_tells_at_a_hand_over_has_no_unknown_links() -> None:
    bench = shop()
    bench.ask(1)
    bench.call(("hand_over", {"reason": "anger", "customer_text": "**Wait.** See https://evil.example"}))
    assert bench.handed_over().text == "*Wait.*"


CLOSED = BusinessHours(enabled=True)


@pytest.mark.parametrize(
    ("rules", "hours", "told"),
    [
        (HandOverRules(text="We take over.", closed_text="Tomorrow."), CLOSED, "Tomorrow."),
        (HandOverRules(text="We take over.", closed_text="Tomorrow."), BusinessHours(), "We take over."),
        (HandOverRules(text="We take over."), CLOSED, "We take over."),
        (HandOverRules(text="We take over."), BusinessHours(enabled=True, unavailable_message="Closed."), None),
    ],
    ids=["closed", "open", "closed without a text", "closed with an unavailable message"],
)
def test_what_the_customer_is_told_outside_business_hours(
    rules: HandOverRules, hours: BusinessHours, told: str | None
) -> None:
    settings: ChannelSettings = gpt_channel(gpt_agent(hand_over=rules), business_hours=hours)
    bench = GptBench(settings)
    bench.ask(1)
    bench.call(("hand_over", {"reason": "anger"}))
    assert bench.handed_over().text == told


# --- resolve, note, label, time -----------------------------------------------------------------------------------


def test_a_conversation_is_resolved_only_after_the_customer_was_asked() -> None:
    bench = shop()
    bench.ask(1, "Thanks")
    bench.call(("resolve", {}), text="Bye!")
    assert "ask first" in output(bench)
    bench.say("Is there anything else? 🙂")
    assert bench.answered().resolve is False
    bench.ask(2, "No, that is all")
    bench.call(("resolve", {}))
    bench.say("Goodbye.")
    assert (bench.answered().resolve, bench.answered().text) == (True, "Goodbye.")


def test_a_customer_who_goes_on_writing_is_not_resolved() -> None:
    bench = shop()
    bench.ask(1)
    bench.say("Anything else?")
    bench.ask(2, "No")
    bench.call(("resolve", {}))
    bench.ask(3, "Oh, wait: one more thing")
    bench.say("Goodbye.")
    bench.say("What is it?")
    assert bench.answered().resolve is False


def test_a_grounded_agent_may_say_goodbye() -> None:
    bench = shop(grounded=True)
    bench.ask(1)
    bench.call(("look_up", {}))
    bench.tool("nothing")
    bench.say("Nothing was found [1]. Anything else?")
    bench.ask(2, "No")
    bench.call(("resolve", {}))
    bench.say("Goodbye.")
    assert bench.answered().resolve is True


def test_notes_and_labels_go_with_the_end() -> None:
    bench = shop()
    bench.ask(1)
    bench.call(("note", {"text": "Wants two."}), ("label", {"label": " lamps "}), ("label", {"label": "lamps"}))
    bench.call(("note", {"text": " "}), ("label", {"label": "x" * 65}))
    bench.call(("hand_over", {"reason": "anger"}))
    assert (bench.handed_over().notes, bench.handed_over().labels) == (("Wants two.",), ("lamps",))


def test_the_model_gets_times_inside_business_hours() -> None:
    bench = shop()
    bench.ask(1)
    bench.call(("propose_time", {"wanted": "2026-06-02T10:00"}))
    assert "Tuesday 2026-06-02 10:00" in output(bench)

"""The rules by which a conversation goes to a human without the model's word."""

from datetime import timedelta

import pytest

from agents.ai.rules import says
from schemas.effects import GptRequest
from schemas.settings.ai import AiLimits, HandOverRules
from tests.support.gpt import GptBench, gpt_agent, gpt_channel


def bench_with(**agent: object) -> GptBench:
    return GptBench(gpt_channel(gpt_agent(**agent)))


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("I want a REAL PERSON, now", "real person"),
        ("real\n person", "Real Person"),
        ("Quiero un gestión", "gestion"),
        ("quiero un gestion", "gestión"),
        ("Ich will einen Menschen, Straße 1", "strasse"),
        ("İstanbul", "istanbul"),
        ("我要转人工服务", "人工"),
        ("أريد موظفًا", "موظفا"),
        ("help!", "help"),
    ],
)
def test_a_phrase_is_found_whatever_its_case_and_accents(text: str, phrase: str) -> None:
    assert says(text, phrase)


@pytest.mark.parametrize(
    ("text", "phrase"), [("the reagent", "agent"), ("agents", "agent"), ("real, person", "real person"), ("", "a")]
)
def test_a_phrase_is_of_whole_words(text: str, phrase: str) -> None:
    assert not says(text, phrase)


def test_a_phrase_hands_over_without_a_call() -> None:
    bench = bench_with(hand_over=HandOverRules(phrases=("hablar con alguien",)))
    bench.ask(1, "¡Quiero HABLAR con álguien!")
    assert bench.handed_over().reason == "phrase"
    assert bench.requests == []


def test_a_phrase_during_a_call_ends_all_that_is_open() -> None:
    bench = bench_with(hand_over=HandOverRules(phrases=("person",)))
    bench.ask(1)
    bench.ask(2, "person!")
    assert (bench.handed_over().request_id, bench.handed_over().also) == ("q1", ("q2",))
    bench.say("Hello")
    assert len(bench.ends) == 1
    assert [call.used for call in bench.calls] == [False]


def test_so_many_answers_in_a_row_hand_over_until_it_is_resolved_or_given_back() -> None:
    bench = bench_with(hand_over=HandOverRules(after_answers=2))
    for number in (1, 2):
        bench.ask(number)
        bench.say("Try again.")
    bench.ask(3)
    assert bench.handed_over().reason == "answers"
    bench.release()
    bench.ask(4)
    bench.say("Now?")
    assert bench.answered().request_id == "q4"


def test_so_many_answers_in_a_conversation_hand_over() -> None:
    bench = bench_with(limits=AiLimits(answers=1))
    bench.ask(1)
    bench.say("Yes.")
    bench.ask(2)
    assert bench.handed_over().reason == "limit"
    bench.release()
    bench.ask(3)
    assert bench.handed_over().request_id == "q3"


def exchange(bench: GptBench, number: int, text: str, after: timedelta) -> bool:
    """The customer writes so long after an answer; whether it is answered."""
    bench.now += after
    bench.ask(number, text, at=bench.now)
    if bench.in_flight is None:
        return False
    bench.say(f"answer {number}")
    bench.now += timedelta(seconds=1)
    bench.told("ai", f"answer {number}", f"o{number}")
    return True


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("We received your message {number}", timedelta(seconds=2)),
        ("We received your message", timedelta(minutes=1)),
        ("OK", timedelta(seconds=1)),
    ],
    ids=["fast", "repeated", "fast and short"],
)
def test_two_machines_that_answer_each_other_are_stopped(text: str, after: timedelta) -> None:
    # A11
    bench = bench_with(limits=AiLimits(machine_answers=3), hand_over=HandOverRules(text="A colleague goes on."))
    answered = [exchange(bench, number, text.format(number=number), after) for number in range(10)]
    assert sum(answered) <= 5
    end = bench.ends[sum(answered)]
    assert bench.handed_over().reason == "loop"
    assert end.request_id == f"q{sum(answered)}"
    assert bench.handed_over().text is None


@pytest.mark.parametrize(
    ("texts", "after"),
    [
        (("yes", "yes", "yes", "no", "yes", "yes", "yes", "yes"), timedelta(seconds=6)),
        (tuple(f"a long question number {number}" for number in range(8)), timedelta(seconds=20)),
    ],
)
def test_a_person_is_no_machine(texts: tuple[str, ...], after: timedelta) -> None:
    bench = GptBench()
    assert all(exchange(bench, number, text, after) for number, text in enumerate(texts))


# --- media -------------------------------------------------------------------------------------------------------


def test_a_voice_note_is_told_that_it_can_t_be_heard_once() -> None:
    # A13
    bench = bench_with(hand_over=HandOverRules(unreadable="Please write to me."))
    bench.hear(1, "audio")
    assert bench.answered().text == "Please write to me."
    bench.hear(2, "audio")
    assert bench.handed_over().reason == "media"
    assert bench.requests == []


def test_without_a_text_for_it_a_voice_note_goes_to_a_human() -> None:
    bench = GptBench()
    bench.hear(1, "audio")
    assert bench.handed_over().reason == "media"


def test_a_picture_s_caption_is_answered_as_text() -> None:
    bench = GptBench()
    bench.ask(1, "is this ok?", kind="image")
    assert '<customer kind="image">is this ok?</customer>' in bench.prompt


def test_a_voice_note_beside_a_question_is_answered_with_it() -> None:
    bench = bench_with(hand_over=HandOverRules(unreadable="Please write to me."))
    bench.ask(1, "What does it cost?")
    bench.hear(2, "audio")
    bench.say("Ten.")
    assert isinstance(bench.in_flight, GptRequest)
    assert "can't see or hear" in bench.prompt
    bench.say("Ten. I can't hear voice notes.")
    assert bench.answered().also == ("q2",)

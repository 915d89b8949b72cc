"""What is an answer to a survey, and what only resembles one."""

import pytest

from agents.conversations.ratings import Answer, read_answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("\u200e5\u200b", Answer(5)),
        ("4\ufe0f", Answer(4)),
        ("5️⃣", Answer(5)),
        ("٥", Answer(5)),
        ("(3)", Answer(3)),
        ("4 out of 5", Answer(4)),
        ("4 de 5", Answer(4)),
        ("4 estrellas", Answer(4)),
        ("5 👍", Answer(5)),
        ("★★★★☆", Answer(4)),
        ("Fünf!", Answer(5)),
        ("五", Answer(5)),
        ("five stars", Answer(5)),
        ("5, very kind", Answer(5, "very kind")),
        ("1 - never again", Answer(1, "never again")),
        ("2: slow", Answer(2, "slow")),
        ("2\nIt took too long", Answer(2, "It took too long")),
        ("5 orders never came", None),
        ("5?", None),
        ("5 €", None),
        ("4 or 5", None),
        ("4-5", None),
        ("5:30 works", None),
        ("very kind, 5", None),
        ("one more thing", None),
    ],
)
def test_an_answer_is_unmistakable(text: str, answer: Answer | None) -> None:
    assert read_answer(text) == answer


def test_a_message_that_quotes_the_survey_needs_no_separator() -> None:
    assert read_answer("5 so kind", quotes_survey=True) == Answer(5, "so kind")

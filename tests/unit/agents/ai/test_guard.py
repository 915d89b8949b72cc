"""Links and numbers that stand in no source, and marks of sources."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.ai.guard import Known, citations, without_unknown

KNOWN = Known(
    [
        "Return it at https://x.example/returns within 30 days, or at https://x.example/a(b)?q=1.",
        "Call +1 202 555 0100 or 0800-123 456, or write to help@x.example.",
    ]
)


@pytest.mark.parametrize(
    "text",
    [
        "https://x.example/returns.",
        "https://x.example/returns/",
        "See (https://x.example/returns).",
        "HTTPS://X.EXAMPLE/returns",
        "http://www.x.example/returns",
        "x.example/returns",
        "https://x.example/a(b)?q=1",
        "+1 (202) 555-0100",
        "+12025550100",
        "202 555 0100",
        "0800 123456",
        "help@x.example.",
        "on 2026-11-28 or 28.11.2026 at 10:30",
        "closed.It is e.g. 3.5 or 1,299.00",
        "Node.js is fine",
        "_https://x.example/returns_",
    ],
)
def test_what_stands_in_a_source_may_be_said(text: str) -> None:
    assert KNOWN.unknown(text) == []
    assert without_unknown(text, KNOWN) == text


@pytest.mark.parametrize(
    "text",
    [
        "https://x.example/refund-form",
        "https://x.example/returns/now",
        "https://x.example/returns?next=evil",
        "https://x.example.evil.example/returns",
        "ftp://x.example/returns",
        "www.evil.example",
        "evil.com",
        "shop.de/a",
        "EVIL.COM",
        "go.evilbrand/pay",
        "wa.me/12025550199",
        "me@evil.example",
        "+1 202 555 0000",
        "12025550199",
        "0800 123457",
        "+49 202 555 0100",
        "ｈttps://evil.example",
        "ht\u200btps://evil.example",
        "+١ ٢٠٢ ٥٥٥ ٠٠٠٠",
        "https://x.example/returns,https://evil.example",
    ],
)
def test_what_stands_in_no_source_is_found_and_its_sentence_cut(text: str) -> None:
    assert KNOWN.unknown(text)
    assert without_unknown(f"Fine. *Good.* Look: {text} now! Bye.\nDone.", KNOWN) == "Fine. *Good.* Bye.\nDone."
    assert without_unknown(text, KNOWN) == ""


def test_a_sentence_of_a_script_without_blanks_is_cut_alone() -> None:
    assert without_unknown("好的。请看 https://evil.example 。再见。", KNOWN) == "好的。再见。"


@pytest.mark.parametrize(
    ("text", "clean", "named"),
    [
        ("Free [1].", "Free.", [1]),
        ("Free [1][2]. Not [3].", "Free. Not.", [1, 2]),
        ("Free 【2†returns】.", "Free.", [2]),
        ("[1, 2] Free", "Free", [1, 2]),
        ("Free [9].", "Free.", []),
        ("Free.", "Free.", []),
    ],
)
def test_marks_of_sources_are_taken_out(text: str, clean: str, named: list[int]) -> None:
    assert citations(text, 2) == (clean, named)


def test_without_sources_brackets_are_text() -> None:
    assert citations("Row [1]", 0) == ("Row [1]", [])


WORDS = st.sampled_from(
    ["Hello", "see", "call", "now.", "Bye!", "\n", "*", "(", ")", "https://x.example/returns", "evil", "x.example"]
)
LINKS = st.builds(
    lambda scheme, host, path, after: f"{scheme}{host}{path}{after}",
    st.sampled_from(["https://", "http://", "www.", "HTTPS://", ""]),
    st.sampled_from(["evil.example", "x.example", "evil.com", "sub.x.example"]),
    st.sampled_from(["", "/", "/returns", "/pay?a=b", "/p/q."]),
    st.sampled_from(["", ".", ")", "!", ",", "**", "'"]),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(WORDS, LINKS), max_size=12).map(" ".join))
def test_no_unknown_link_passes(text: str) -> None:
    kept = without_unknown(text, KNOWN)
    assert "evil." not in kept.casefold()
    assert KNOWN.unknown(kept) == []


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=200))
def test_any_text_can_be_judged(text: str) -> None:
    assert KNOWN.unknown(without_unknown(text, KNOWN)) == []
    citations(text, 3)

"""A long text in parts."""

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.parts import split_text

UNITS = ["a", "b. ", " ", "\n\n", "e\u0301", "한", "क्ष", "1\ufe0f\u20e3", "👍🏽", "👩\u200d👧", "🇪🇸", "。"]
UNITS += ["🏴\U000e0067\U000e007f", "https://a.example/?b=1 "]
"""What no cut may go through: letters, characters of several code points, a link."""


@pytest.mark.parametrize(
    ("text", "limit", "parts"),
    [
        ("short", 10, ["short"]),
        ("ten chars!", 10, ["ten chars!"]),
        ("one two\n\nthree four. five", 20, ["one two", "three four. five"]),
        ("one two\nthree four. five", 20, ["one two", "three four. five"]),
        ("First sentence. Second one. Third", 20, ["First sentence.", "Second one. Third"]),
        ("alpha beta gamma", 11, ["alpha beta", "gamma"]),
        ("一二三。四五六", 5, ["一二三。", "四五六"]),
        ("xxxxxxxxxxxx", 5, ["xxxxx", "xxxxx", "xx"]),
        ("一二三https://a.example/b", 20, ["一二三", "https://a.example/b"]),
        ("Hi https://a.example/b ok", 20, ["Hi", "https://a.example/b", "ok"]),
        ("\U0001f1ea\U0001f1f8" * 4, 5, ["\U0001f1ea\U0001f1f8" * 2] * 2),
        ("👩\u200d👧" * 3, 4, ["👩\u200d👧"] * 3),
        ("👍🏽" * 3, 3, ["👍🏽"] * 3),
        ("e\u0301" * 3, 3, ["e\u0301"] * 3),
        ("한국한국", 3, ["한국한", "국"]),
        ("a" + "\u0301" * 9, 4, ["a" + "\u0301" * 3, "\u0301" * 4, "\u0301" * 2]),
    ],
)
def test_a_text_is_cut_where_it_hurts_least(text: str, limit: int, parts: list[str]) -> None:
    assert split_text(text, limit) == parts
    assert all(len(part) <= limit for part in parts)


@given(st.lists(st.sampled_from(UNITS), max_size=60), st.integers(24, 40))
def test_no_cut_goes_through_a_character_or_a_link_and_nothing_is_lost(units: list[str], limit: int) -> None:
    parts = split_text("".join(units), limit)
    assert all(len(part) <= limit for part in parts)
    written = [len("".join(unit.split())) for unit in units]
    assert {len("".join(part.split())) for part in accumulate(parts)} <= set(accumulate(written))
    assert "".join("".join(parts).split()) == "".join("".join(units).split())

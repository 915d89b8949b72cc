"""Phone numbers as administrators type them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.settings.phone import MAX_DIGITS, InvalidPhoneNumber, digits


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("34611222333", "34611222333"),
        ("+34611222333", "34611222333"),
        ("0034611222333", "34611222333"),
        (" +34 611-222-333 ", "34611222333"),
        ("whatsapp:+34611222333", "34611222333"),
        ("WhatsApp: +34 611 222 333", "34611222333"),
        ("+44 (0)20 7946 0958", "442079460958"),
        ("+1 (212) 555.0100", "12125550100"),
        ("\u202a+34\u00a0611\u2011222\u2011333\u202c", "34611222333"),
        ("1" * MAX_DIGITS, "1" * MAX_DIGITS),
    ],
)
def test_every_spelling_gives_the_same_digits(written: str, expected: str) -> None:
    assert digits(written) == expected


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("+", "empty"),
        ("whatsapp:", "empty"),
        ("+34611abc", "not digits"),
        ("++34611", "not digits"),
        ("34+611", "not digits"),
        ("٣٤٦١١", "not digits"),
        ("0611222333", "country code"),
        ("000", "country code"),
        ("1" * (MAX_DIGITS + 1), "15 digits"),
        ("+" + "1" * (MAX_DIGITS + 1), "15 digits"),
    ],
)
def test_a_text_that_is_no_number_is_refused_with_the_reason(written: str, why: str) -> None:
    with pytest.raises(InvalidPhoneNumber, match=why):
        digits(written)


def test_the_error_never_repeats_the_number() -> None:
    with pytest.raises(InvalidPhoneNumber) as caught:
        digits("+34611222333x")
    assert "611" not in str(caught.value)


@given(st.text())
def test_any_text_gives_plain_digits_or_the_documented_error(text: str) -> None:
    try:
        number = digits(text)
    except InvalidPhoneNumber:
        return
    assert number.isascii()
    assert number.isdigit()
    assert digits(number) == number
    assert digits("+" + number) == number

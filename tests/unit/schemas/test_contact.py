"""One person is one contact, however the number is spelled."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.contact import InvalidContact, canonical_number, contact_id, is_number


@pytest.mark.parametrize(
    ("contact", "spellings"),
    [
        ("5511987650001", ["551187650001", "+55 11 98765-0001", "005511987650001", "55011987650001"]),
        ("553187650001", ["5531987650001", "+55 31 98765-0001"]),
        ("551133334444", ["+55 11 3333-4444"]),
        ("5215512345678", ["525512345678", "+52 55 1234 5678"]),
        ("5491155556666", ["541155556666", "+54 9 11 5555-6666"]),
        ("447911123456", ["+44 (0)7911 123456", "4407911123456"]),
        ("390612345678", ["+39 06 1234 5678"]),
        ("34600000101", ["+34 600 000 101", "0034600000101", "whatsapp:+34600000101"]),
    ],
)
def test_every_spelling_of_a_number_is_one_contact(contact: str, spellings: list[str]) -> None:
    assert {contact_id(one) for one in (contact, *spellings)} == {contact}


def test_a_user_id_is_a_contact_without_a_number() -> None:
    assert contact_id("US.ENT.1178") == "US.ENT.1178"
    assert not is_number(contact_id("ES.9000000000000000001"))


@pytest.mark.parametrize("text", ["", "somebody", "a:b.c", "ES.", "0123"])
def test_a_contact_that_is_neither_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(InvalidContact) as caught:
        contact_id(text)
    assert not text or text not in str(caught.value)


@given(st.from_regex(r"[1-9][0-9]{5,14}", fullmatch=True))
def test_a_canonical_number_stays_as_it_is(number: str) -> None:
    once = canonical_number(number)
    assert canonical_number(once) == once

"""Words are found whatever their case, accents and script, by their beginnings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desk.view.words import MAX_WORD, fold, id_word, number_words, queried, words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Où est mon COLIS ?", "ou est mon colis"),
        ("straße", "strasse"),
        ("Łódź ı", "łodz ı"),
        ("mañana, 5€!", "manana 5"),
        ("ﬁancé", "fiance"),
        ("你好吗", "你 好 吗"),
        ("Привет, мир", "привет мир"),
        ("l'été", "l ete"),
        ("a_b-c.d@e", "a b c d e"),
        ("👍🏽", ""),
    ],
)
def test_a_text_is_folded(text: str, words: str) -> None:
    assert " ".join(fold(text)) == words


@given(st.text())
def test_words_hold_no_separator_and_folding_again_changes_nothing(text: str) -> None:
    words = list(fold(text))
    assert all(word and len(word) <= MAX_WORD and not set(word) & set(" '\"\0()*:&|!") for word in words)
    assert [again for word in words for again in fold(word)] == words


def test_a_word_counts_once() -> None:
    assert words_of("to be or not to be", None, "Be!") == "to be or not"


def test_an_id_is_one_word() -> None:
    assert id_word("3F2504E0-4F89-41D3") == "3f2504e04f8941d3"


def test_a_number_is_found_by_any_part_of_it() -> None:
    ends = list(number_words("34600100200"))
    assert all(any(end.startswith(part) for end in ends) for part in ("34600", "600100", "0200", "34600100200"))
    assert min(map(len, ends)) == 4


def test_a_query_is_items_of_words() -> None:
    assert queried("  Ana\tGARCÍA  3f25-04e0 ¿?") == [["ana"], ["garcia"], ["3f25", "04e0"]]

"""Cutting keeps every word, once and in order, and makes no passage too long."""

from hypothesis import given
from hypothesis import strategies as st

from knowledge.cutting import LENGTH, MAX_HEADING, Block, cut

BLOCKS = st.lists(
    st.builds(
        Block,
        st.sampled_from([0, 0, 0, 1, 2, 3]),
        st.text("ab .。？\n退货", min_size=1, max_size=200).map(lambda text: text * 8).filter(str.strip),
    ).map(lambda block: block if block.level == 0 else Block(block.level, block.text.strip()[:50]))
)


@given(BLOCKS)
def test_every_character_is_in_one_passage_in_order(blocks: list[Block]) -> None:
    paragraphs = [block for block in blocks if not block.level]
    bodies = "".join("".join(cut(paragraphs)).split())
    assert bodies == "".join("".join(block.text for block in paragraphs).split())
    for passage in cut(blocks):
        assert len(passage) <= LENGTH + MAX_HEADING + 1


def test_passages_end_with_sentences_and_stand_under_their_headings() -> None:
    sentence = "One sentence of some length follows another. "
    passages = cut(
        [Block(1, "Terms"), Block(2, "Returns"), Block(0, sentence * 60), Block(2, "Costs"), Block(0, "None.")]
    )
    assert all(passage.startswith("Terms › Returns\n") and passage.endswith("another.") for passage in passages[:-1])
    assert passages[-1] == "Terms › Costs\nNone."


def test_chinese_is_cut_at_its_sentences() -> None:
    passages = cut([Block(0, "收货后三十天内可以退货。" * 200)])
    assert len(passages) == 3
    assert all(passage.endswith("。") and len(passage) <= LENGTH for passage in passages)


def test_headings_with_nothing_below_are_passages() -> None:
    assert cut([Block(1, "A"), Block(2, "B"), Block(1, "C")]) == ["A › B", "C"]

"""The view is a function of the log alone: of the order in each partition, and of nothing else."""

from collections import defaultdict
from collections.abc import Iterable
from itertools import islice

from hypothesis import given, settings
from hypothesis import strategies as st

from desk.view.applier import Applied, Place, merge
from tests.support.view import Model, applied, recorded

PARTITIONS: dict[Place, list[Applied]] = defaultdict(list)
for one in applied(recorded()):
    PARTITIONS[one.place].append(one)

INTERLEAVINGS = st.lists(st.sampled_from(sorted(PARTITIONS)), max_size=200)
"""From which partition some records come next."""


def interleaved(turns: Iterable[Place], size: int) -> list[Applied]:
    """Every record, each partition's in order."""
    waiting = {place: iter(some) for place, some in PARTITIONS.items()}
    found: list[Applied] = []
    for place in turns:
        found += islice(waiting[place], size)
    return found + [one for some in waiting.values() for one in some]


WHOLE = Model().apply(interleaved((), 1)).tables


@settings(max_examples=15, deadline=None)
@given(INTERLEAVINGS, st.integers(1, 40))
def test_the_order_between_partitions_makes_no_difference(turns: list[Place], size: int) -> None:
    assert Model().apply(interleaved(turns, size)).tables == WHOLE


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 2_000))
def test_how_records_are_put_into_batches_makes_no_difference(size: int) -> None:
    model, records = Model(), interleaved((), 1)
    for start in range(0, len(records), size):
        for row in merge(row for one in records[start : start + size] for row in one.rows):
            model.set(row)
    assert model.tables == WHOLE


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_reading_on_from_an_earlier_place_gives_the_same(data: st.DataObject) -> None:
    """What a rebuild does to rows that older records made."""
    starts = {place: data.draw(st.integers(0, len(some))) for place, some in PARTITIONS.items()}
    model = Model().apply(interleaved((), 1))
    for place, start in starts.items():
        model.apply(PARTITIONS[place][start:])
    assert model.tables == WHOLE


def test_each_row_is_of_one_partition() -> None:
    owners: dict[tuple[str, tuple[object, ...]], set[Place]] = defaultdict(set)
    for place, some in PARTITIONS.items():
        for one in some:
            for row in one.rows:
                owners[row.table.name, row.place].add(place)
    assert {len(places) for places in owners.values()} == {1}

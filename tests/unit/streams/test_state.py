"""The rows of a task: what was changed lies over what was committed, in the order of the names."""

from hypothesis import given
from hypothesis import strategies as st

from agents.stage import Row
from streams.state import Changes, KeyRows, TaskState


class Number(Row):
    n: int


KEY = "wa0:34600000001"
NAMES = st.sampled_from(["", "a", "a/1", "a/2", "a/3", "ab", "b/1", "b/2"])
ROWS = st.dictionaries(NAMES, st.sampled_from([None, b'{"n":1}', b'{"n":2}']), max_size=6)
PREFIXES = st.sampled_from(["", "a", "a/", "b/", "c"])


@given(committed=ROWS, batches=st.lists(st.tuples(ROWS, PREFIXES), max_size=6), step=ROWS, prefix=PREFIXES)
def test_a_scan_sees_every_change_in_order(
    committed: dict[str, bytes | None],
    batches: list[tuple[dict[str, bytes | None], str]],
    step: dict[str, bytes | None],
    prefix: str,
) -> None:
    state = TaskState()
    for name, value in committed.items():
        state.write(KEY, name, value)
    expected = dict(committed)
    changes = Changes(state)
    for rows, scanned in batches:
        changes.update(KEY, rows)
        expected |= rows
        # The first scan of a key puts its names in order; they must stay so through the changes that follow.
        assert list(changes.names(KEY, scanned)) == _names(expected, scanned)
    assert [name for name, _ in KeyRows(changes, KEY, step).scan(prefix, Number)] == _names(expected | step, prefix)
    changes.commit(state)
    assert list(state.names(KEY, prefix)) == _names(expected, prefix)


def _names(rows: dict[str, bytes | None], prefix: str) -> list[str]:
    return sorted(name for name, value in rows.items() if value is not None and name.startswith(prefix))

"""Whether every stage's rows and outputs are what a replay of its input gives. Pure."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from agents.stage import Stage
from schemas.codec import from_kafka, to_kafka
from schemas.events.sending import EffectEnded
from schemas.record import Record
from schemas.topics import Topic
from streams.step import Outgoing
from tests.chaos.history import History, State
from tests.chaos.violation import Violation


def check_state(history: History) -> Iterator[Violation]:
    """Rows, and outputs byte for byte and in order within a key."""
    for stage in history.stages:
        written: dict[int, list[Outgoing]] = defaultdict(list)
        states = history.states.get(stage.name, {})
        for partition, state, steps in history.replayed(stage):
            for replayed in steps:
                written[partition] += replayed.step.outgoing
            rows = {(key, name): row for key, name, row in state.rows()}
            yield from _row_differences(stage, rows, states.get(partition, {}))
        yield from _output_differences(history, stage, written)


def _row_differences(stage: Stage, replayed: State, kept: State) -> Iterator[Violation]:
    for key, name in sorted(replayed.keys() | kept.keys()):
        expected, found = replayed.get((key, name)), kept.get((key, name))
        if expected != found:
            what = "missing" if found is None else "too much" if expected is None else "different"
            yield Violation("state differs from a replay", key, f"{stage.name}: row {name or 'meta'} is {what}")


def _output_differences(
    history: History, stage: Stage, written: Mapping[int, Sequence[Outgoing]]
) -> Iterator[Violation]:
    # Several tasks may write to one key (an account's): the order is each task's own.
    wanted = defaultdict[tuple[int, Topic, str], list[tuple[str, bytes]]](list)
    origins: dict[str, int] = {}
    for partition, outgoing in written.items():
        for out in outgoing:
            origins[out.record.id] = partition
            wanted[partition, out.topic, out.key].append((out.record.id, to_kafka(out.topic, out.record)[0]))
    found = defaultdict[tuple[int, Topic, str], list[tuple[str, bytes]]](list)
    for topic in stage.outputs:
        for message in history.messages.get(topic, ()):
            record = from_kafka(topic, message.value, message.headers)
            if record.source == f"/livedesk/{stage.name}" and not _by_runtime(record):
                origin = origins.get(record.id, -1)
                found[origin, topic, message.key.decode()].append((record.id, message.value or b""))
    for origin, topic, key in wanted.keys() | found.keys():
        left, right = wanted[origin, topic, key], found[origin, topic, key]
        if left != right and not (topic.compacted and _compacted(left, right)):
            ids = {id for id, _ in left} ^ {id for id, _ in right}
            what = f"{len(left)} records expected, {len(right)} found, {len(ids)} of them not in both"
            yield Violation("output differs from a replay", key, f"{stage.name} -> {topic.name}: {what}")


def _compacted(wanted: Sequence[tuple[str, bytes]], found: Sequence[tuple[str, bytes]]) -> bool:
    """Whether it is what compaction leaves of a key: its newest record in what was cleaned, and all that came later."""
    return 0 < len(found) <= len(wanted) and wanted[-len(found) :] == found


def _by_runtime(record: Record) -> bool:
    return isinstance(record.event, EffectEnded)

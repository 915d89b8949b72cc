"""Whether every stage's rows and outputs are what a replay of its input gives. Pure."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from agents.stage import Stage
from schemas.codec import from_kafka, to_kafka
from schemas.messaging import EffectEnded
from schemas.record import Record
from schemas.system import TimersFired
from schemas.topics import TIMERS, Topic
from streams.replay import Input, replay
from streams.state import TaskState
from streams.step import Outgoing
from tests.chaos.history import History, State
from tests.chaos.violation import Violation


def check_state(history: History) -> Iterator[Violation]:
    """Rows, and outputs byte for byte and in order within a key."""
    firings = defaultdict[tuple[str, int], list[TimersFired]](list)
    for record in history.records(TIMERS):
        if isinstance(record.event, TimersFired):
            firings[record.event.stage, record.event.partition].append(record.event)
    for stage in history.stages:
        inputs = defaultdict[int, list[Input]](list)
        for message in history.messages.get(stage.input, ()):
            taken = Input(message.offset, message.key, message.value or b"", message.headers, message.timestamp)
            inputs[message.partition].append(taken)
        written: dict[int, list[Outgoing]] = defaultdict(list)
        states = history.states.get(stage.name, {})
        for partition in inputs.keys() | states.keys():
            state = TaskState()
            timers = firings[stage.name, partition]
            for replayed in replay(stage, inputs[partition], timers, history.settings, state, partition=partition):
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
        if left != right:
            ids = {id for id, _ in left} ^ {id for id, _ in right}
            what = f"{len(left)} records expected, {len(right)} found, {len(ids)} of them not in both"
            yield Violation("output differs from a replay", key, f"{stage.name} -> {topic.name}: {what}")


def _by_runtime(record: Record) -> bool:
    return isinstance(record.event, EffectEnded)

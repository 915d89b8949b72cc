"""What Kafka holds of a stage, read so that a running one gives no false differences."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from itertools import chain

from aiokafka import TopicPartition
from aiokafka.structs import ConsumerRecord

from agents.stage import Stage
from deploy.errors import LiveDeskError
from deploy.kafka.committed import CommittedReader
from schemas.codec import from_kafka
from schemas.events.operations import TimersFired
from schemas.events.sending import EffectEnded
from schemas.record import UndecodableRecord, decode
from schemas.topics import CHANNELS, DEAD_LETTERS, TIMERS, Topic, state_topic
from streams.replay.check import StageLog, Written
from streams.replay.rebuild import Input, Partition, Row
from streams.runtime.settings_store import SettingsStore
from streams.state import is_row_key, split_row_key

Progress = Callable[[str, int, int], None]
"""Called with what is read, offsets read so far, and how many there are."""


async def read_settings(reader: CommittedReader, prefix: str) -> SettingsStore:
    """Every revision of every channel, without credentials: they decide nothing, so no key is needed."""
    store = SettingsStore(lambda _: "x")
    for message in await reader.read(await reader.partitions(CHANNELS.full_name(prefix))):
        store.apply(message.key, message.value)
    return store


async def read_stage(
    reader: CommittedReader, prefix: str, stage: Stage, only: int | None = None, progress: Progress = lambda *_: None
) -> StageLog:
    """The stage's input, what it wrote, and its rows. only: one partition of its input. Raises LiveDeskError.

    The order makes it sound beside a running stage. Committed offsets first: what the inputs before them led to is
    written by then. Inputs and timers last: whatever led to an output that was read is among them.
    """
    source = stage.input.full_name(prefix)
    committed = await reader.committed(f"{prefix}{stage.name}", source)
    inputs = await reader.partitions(source)
    if only is not None and only >= len(inputs):
        raise LiveDeskError(f"{source} has partitions 0 to {len(inputs) - 1}.")
    chosen = [tp for tp in inputs if only in (None, tp.partition)]
    changelog = state_topic(stage.name).full_name(prefix)

    async def read(name: str, tps: Iterable[TopicPartition]) -> list[ConsumerRecord]:
        return await reader.read(tps, lambda done, total: progress(f"{stage.name}: {name}", done, total))

    topics = {topic.full_name(prefix): topic for topic in (*stage.outputs, DEAD_LETTERS)}
    output_tps = list(chain.from_iterable([await reader.partitions(name) for name in topics]))
    written = list(_written(stage, topics, await read("outputs", output_tps)))
    rows = _rows(await read("state", [TopicPartition(changelog, tp.partition) for tp in chosen]))
    messages = defaultdict(list)
    for message in await read("input", chosen):
        held = Input(message.offset, message.key or b"", message.value or b"", message.headers, message.timestamp)
        messages[message.partition].append(held)
    timers = _timers(stage, await read("timers", await reader.partitions(TIMERS.full_name(prefix))))
    # Last of all: what retention has taken meanwhile counts as taken.
    begins = await reader.begins([*chosen, *output_tps])
    partitions = [
        Partition(
            number := tp.partition,
            begins[tp],
            committed.get(number, 0),
            messages[number],
            timers.get(number, ()),
            rows.get(number, {}),
        )
        for tp in chosen
    ]
    whole = only is None and not any(begins[tp] for tp in chosen)
    shortened = {topics[tp.topic].name for tp in output_tps if begins[tp] or topics[tp.topic].compacted}
    return StageLog(partitions, written, whole, shortened)


def _written(stage: Stage, topics: dict[str, Topic], messages: Iterable[ConsumerRecord]) -> Iterable[Written]:
    source = f"/livedesk/{stage.name}"
    for message in messages:
        try:
            record = from_kafka(topics[message.topic], message.value, message.headers)
        except UndecodableRecord:
            continue  # what a stage wrote and can't be read is missed by the comparison
        # The ends of its own effects are inputs; what an operator wrote again for the next stage is not its doing.
        if record.source == source and not isinstance(record.event, EffectEnded) and record.replayed_for is None:
            cause, topic = record.causation_id or "", topics[message.topic].name
            yield Written(topic, message.key.decode(), cause, message.partition, message.offset, message.value)


def _rows(messages: Iterable[ConsumerRecord]) -> dict[int, dict[Row, bytes]]:
    rows: dict[int, dict[Row, bytes]] = defaultdict(dict)
    for message in messages:
        if not is_row_key(message.key):
            continue
        row = split_row_key(message.key)
        if message.value is None:
            rows[message.partition].pop(row, None)
        else:
            rows[message.partition][row] = message.value
    return rows


def _timers(stage: Stage, messages: Iterable[ConsumerRecord]) -> dict[int, list[TimersFired]]:
    timers: dict[int, list[TimersFired]] = defaultdict(list)
    for message in messages:
        event = decode(message.value, TIMERS.types).event
        if isinstance(event, TimersFired) and event.stage == stage.name:
            timers[event.partition].append(event)
    return timers

"""Dead letters: which there are, which were replayed, and writing them back to where they were read."""

import asyncio
import base64
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple
from uuid import uuid4

import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.errors import IllegalOperation, KafkaError, ProducerFenced
from aiokafka.structs import ConsumerRecord

from agents.stage import Stage
from bus.connection import KafkaConnection
from bus.transactional import Message, build_batches, partition_of, transactional_producer
from deploy.errors import LiveDeskError
from deploy.kafka.committed import CommittedReader
from schemas.codec import STRUCTURED_MODE, callback_headers, from_kafka
from schemas.event import Event
from schemas.events.operations import DeadLettered, DeadLetterReplayed, KeyUnparked
from schemas.record import Record, UndecodableRecord, decode, encode
from schemas.topics import CHANNELS, DEAD_LETTERS
from streams.clock import wall_clock
from streams.topology import TOPOLOGY

logger = logging.getLogger(__name__)

REPLAYED_HEADER = "livedesk-replayed"
"""Kafka header of a record that was written again: the id of its dead letter."""

_WHOLE_BODY = {"invalid_json", "not_an_object", "rows_missing", "unknown_provider"}
"""intake's reasons that are about a callback, not about one of its rows."""


@dataclass(frozen=True)
class Letter:
    """One dead letter. record: its envelope. replayed: it was written back, and has not come here again since."""

    record: Record
    event: DeadLettered
    replayed: bool = False

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def key(self) -> str:
        return self.record.subject

    @property
    def body(self) -> bytes:
        """What was read, byte for byte; of intake's bad rows, the row."""
        event = self.event
        return base64.b64decode(event.body) if event.encoding == "base64" else event.body.encode()


class Selection(NamedTuple):
    """Which letters are meant. ids: or how they begin; none: all of that stage, reason and key."""

    ids: tuple[str, ...] = ()
    stage: str | None = None
    reason: str | None = None
    key: str | None = None


@dataclass
class Letters:
    """All dead letters, each where it first came. newest: of each stage and key, the id of the letter that came last.

    One that fails again, or is parked again, has the same id again: it keeps its place, so that whatever is replayed
    in the order of this list is in the order in which it first came in.
    """

    by_id: dict[str, Letter] = field(default_factory=dict)
    newest: dict[tuple[str, str], str] = field(default_factory=dict)

    def add(self, record: Record) -> None:
        """Take in a record of the dead-letters topic."""
        match record.event:
            case DeadLettered() as event:
                known = self.by_id.get(record.id)
                self.by_id[record.id] = Letter(record, event) if known is None else replace(known, replayed=False)
                self.newest[event.stage, record.subject] = record.id
            case DeadLetterReplayed(letter_id=id) if id in self.by_id:
                self.by_id[id] = replace(self.by_id[id], replayed=True)

    def get(self, id: str) -> Letter:
        """The letter whose id is, or alone begins with, `id`. Raises LiveDeskError."""
        found = [letter for known, letter in self.by_id.items() if known.startswith(id)]
        if id in self.by_id:
            found = [self.by_id[id]]
        if len(found) != 1:
            raise LiveDeskError(f"{len(found) or 'No'} dead letters have an id that begins with {id}.")
        return found[0]

    @property
    def unreplayed(self) -> int:
        """How many were not replayed."""
        return sum(not letter.replayed for letter in self.by_id.values())

    def matching(self, selection: Selection) -> list[Letter]:
        """The selected letters, replayed or not. Raises LiveDeskError if an id is unknown."""
        named = {self.get(id).id for id in selection.ids}
        return [
            letter
            for letter in self.by_id.values()
            if (letter.id in named or not named)
            and selection.stage in (None, letter.event.stage)
            and selection.reason in (None, letter.event.reason)
            and selection.key in (None, letter.key)
        ]

    def chosen(self, selection: Selection) -> list[Letter]:
        """The letters to replay. Raises LiveDeskError if an id is unknown, or its letter was replayed already."""
        found = self.matching(selection)
        if selection.ids and (done := [letter.id for letter in found if letter.replayed]):
            raise LiveDeskError(f"Replayed already: {', '.join(done)}.")
        return [letter for letter in found if not letter.replayed]


async def read_letters(reader: CommittedReader, prefix: str) -> Letters:
    """Every dead letter that Kafka has. Raises LiveDeskError."""
    letters = Letters()
    for message in await reader.read(await reader.partitions(DEAD_LETTERS.full_name(prefix))):
        try:
            letters.add(decode(message.value, DEAD_LETTERS.types))
        except UndecodableRecord as error:
            logger.warning("dead letter at %d:%d: %s", message.partition, message.offset, error)
    return letters


class Return(NamedTuple):
    """What goes back to one stage about one key. unpark: the order that precedes it, None where keys don't park.

    records: of each letter, value and headers as they are to be written; None where there is nothing to write back.
    unreadable: letters that this version can't decode either: they are left. left: the key's other letters.
    """

    stage: Stage
    key: str
    partition: int | None
    unpark: Record | None
    records: Sequence[tuple[Letter, Message | None]]
    unreadable: Sequence[Letter]
    left: int


def plan(
    letters: Letters,
    chosen: Iterable[Letter],
    *,
    revisions: Mapping[str, int],
    force: bool = False,
    stages: Collection[Stage] = TOPOLOGY,
) -> list[Return]:
    """What replaying the letters means, by stage and key, each in the order in which its letters first came.

    revisions: the newest settings of each channel. force: unpark although newer letters may come in meanwhile.
    Raises LiveDeskError: a letter of a stage that isn't one of `stages`.
    """
    places = {id: place for place, id in enumerate(letters.by_id)}
    by_key: dict[tuple[str, str], list[Letter]] = {}
    for letter in sorted(chosen, key=lambda letter: places[letter.id]):
        by_key.setdefault((letter.event.stage, letter.key), []).append(letter)
    by_name = {stage.name: stage for stage in stages}
    unreplayed = Counter((one.event.stage, one.key) for one in letters.by_id.values() if not one.replayed)
    returns = []
    for (name, key), some in by_key.items():
        if name not in by_name:
            raise LiveDeskError(f"There is no stage {name}, which wrote dead letter {some[0].id}.")
        newest = None if force else letters.newest[name, key]
        left = unreplayed[name, key] - sum(not one.replayed for one in some)
        returns.append(_return(by_name[name], key, some, newest, revisions, left))
    return returns


def _return(
    stage: Stage, key: str, letters: Sequence[Letter], newest: str | None, revisions: Mapping[str, int], left: int
) -> Return:
    records: list[tuple[Letter, Message | None]] = []
    unreadable = []
    for letter in letters:
        message = None if letter.event.reason == "timer_failed" else _original(stage, letter, revisions)
        try:
            if message is not None:
                from_kafka(stage.input, message[1], message[2])
            records.append((letter, message))
        except UndecodableRecord:
            unreadable.append(letter)
    partition = next((letter.event.partition for letter in letters if letter.event.partition is not None), None)
    unpark = _order(key, KeyUnparked(letter_id=newest), replayed_for=stage.name) if stage.parks else None
    return Return(stage, key, partition, unpark, records, unreadable, left)


def _order(key: str, event: Event, replayed_for: str | None = None) -> Record:
    return Record(str(uuid4()), "/livedesk/operator", wall_clock(), key, event, replayed_for=replayed_for)


def _original(stage: Stage, letter: Letter, revisions: Mapping[str, int]) -> Message:
    """The record as it was read, marked."""
    event, value = letter.event, letter.body
    headers = [(name, content.encode()) for name, content in event.headers.items()]
    if stage.input.raw and "delivery-id" not in event.headers:
        value, headers = _callback(letter, revisions)
    elif not stage.input.raw:
        value = _addressed(value, stage)
    headers = [header for header in headers if header[0] != REPLAYED_HEADER]
    return letter.key.encode(), value, [*headers, (REPLAYED_HEADER, letter.id.encode())]


def _addressed(value: bytes, stage: Stage) -> bytes:
    # Other stages read the topic too: they have processed it.
    try:
        body = orjson.loads(value)
    except orjson.JSONDecodeError:
        return value
    return orjson.dumps({**body, "replayedfor": stage.name}) if isinstance(body, dict) else value


def _callback(letter: Letter, revisions: Mapping[str, int]) -> tuple[bytes, list[tuple[str, bytes]]]:
    """A callback made of what intake could not use, under the newest settings: those may be what was wrong."""
    value, channel = letter.body, letter.key
    if letter.event.reason not in _WHOLE_BODY and not _is_callback(value):
        value = b'{"total":1,"rows":[' + value + b"]}"
    provider, revision = letter.event.headers["provider"], revisions.get(channel, letter.record.settings_revision)
    # Not the delivery's id: ids derived from it are those of its other rows.
    return value, callback_headers(letter.id, letter.record.time, provider, channel, revision, ())


def _is_callback(value: bytes) -> bool:
    try:
        body = orjson.loads(value)
    except orjson.JSONDecodeError:
        return True  # not even one row could be read
    return isinstance(body, dict) and "rows" in body


WriteBack = Callable[[Iterable[Return]], Awaitable[None]]
"""Writes letters back, all or none. Raises LiveDeskError."""


async def newest_revisions(reader: CommittedReader, prefix: str) -> dict[str, int]:
    """The newest revision of every channel's settings."""
    newest: dict[str, int] = {}
    messages: list[ConsumerRecord] = await reader.read(await reader.partitions(CHANNELS.full_name(prefix)))
    for message in messages:
        channel, _, revision = message.key.decode().rpartition("/")
        newest[channel] = max(newest.get(channel, 0), int(revision))
    return newest


@asynccontextmanager
async def returning(connection: KafkaConnection, prefix: str) -> AsyncIterator[WriteBack]:
    """Gives what writes letters back. Letters must be read inside the block.

    All replays share a transactional id: who begins one fences those that have begun before and not yet written. So
    what one writes, the next one sees, and nothing goes back twice.
    """
    producer = transactional_producer(connection, f"{prefix}dead-letters")
    try:
        await producer.start()
    except KafkaError as error:
        raise LiveDeskError(f"Kafka can't be reached at {connection.bootstrap_servers}.") from error
    try:
        yield partial(_write_back, producer, prefix)
    finally:
        await producer.stop()


async def _write_back(producer: AIOKafkaProducer, prefix: str, returns: Iterable[Return]) -> None:
    """Write everything in one transaction: unpark orders, records, and which letters were replayed.

    What goes to one key follows its unpark order without a gap as long as it fits into one batch (3.5 MB): so nothing
    new of the key comes between. Raises LiveDeskError: then nothing was written.
    """
    try:
        async with producer.transaction():
            sent: list[asyncio.Future[object]] = []
            for one in returns:
                topic, key = one.stage.input.full_name(prefix), one.key.encode()
                sent += await _send(producer, topic, key, one.partition, list(_messages(one)))
                marks = [_order(one.key, DeadLetterReplayed(letter_id=letter.id)) for letter, _ in one.records]
                messages: list[Message] = [(key, encode(mark), STRUCTURED_MODE) for mark in marks]
                sent += await _send(producer, DEAD_LETTERS.full_name(prefix), key, None, messages)
            await asyncio.gather(*sent)
    except (ProducerFenced, IllegalOperation):  # the latter where it learned that before it sent
        raise LiveDeskError("Somebody else replays dead letters now. Nothing was written.", "Repeat it.") from None
    except KafkaError as error:
        raise LiveDeskError(f"Kafka did not take it: {type(error).__name__}. Nothing was written.") from error


def _messages(one: Return) -> Iterator[Message]:
    if one.unpark is not None:
        yield one.key.encode(), encode(one.unpark), STRUCTURED_MODE
    yield from (message for _, message in one.records if message is not None)


async def _send(
    producer: AIOKafkaProducer, topic: str, key: bytes, partition: int | None, messages: list[Message]
) -> list[asyncio.Future[object]]:
    if not messages:
        return []
    partitions = tuple(sorted(await producer.partitions_for(topic)))
    place = partition_of(key, partitions) if partition is None else partition
    return [
        await producer.send_batch(batch, topic, partition=place)
        for batch in build_batches(producer.create_batch, messages)
    ]

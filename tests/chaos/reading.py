"""Reads a run's history from Kafka and the sandbox, and tells when nothing is under way any more."""

import asyncio
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from aiohttp import ClientSession
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from pydantic import TypeAdapter

from bus.aiokafka_fixes import believe_loaded_offsets_only
from bus.connection import client_options
from schemas.record import milliseconds
from schemas.topics import CHANNELS, TOPICS, Topic, state_topic
from simulation.demo.clients import Callbacks
from simulation.sandbox.providers import LogEntry
from streams.clock import wall_clock
from streams.runtime.metrics import Metrics
from streams.runtime.progress import Offsets, Progress
from streams.runtime.settings_store import SettingsStore
from streams.state import META, Meta, is_row_key, split_row_key
from streams.topology import TOPOLOGY
from tests.chaos.history import Acknowledged, History, Message, State
from tests.chaos.posting import Asked
from tests.chaos.system import System
from tests.support.reading import committed_messages

LOOK_S = 0.5
QUIET_LOOKS = 4
ANSWER_S = 30.0
FAR = timedelta(minutes=3)
"""Timers beyond it (sweeps and surveys after days, most midnights) are not waited for."""
ERROR = re.compile(rb"^.* ERROR (.*)$", re.MULTILINE)
MOST_OF_A_LINE = 160
NUMBER = re.compile(r"[\w.:-]*\d[\w.:-]*")

_LOG = TypeAdapter(list[LogEntry])
_CALLBACKS = TypeAdapter(Callbacks)


@dataclass(frozen=True)
class Rest:
    """What was still under way when the time was up, and the stages of whose groups Kafka reported nothing then."""

    unfinished: list[str]
    silent: list[str]


async def settle(system: System, seconds: float) -> Rest:
    """Wait until every stage is at the end of its input, and no effect, timer or callback is to come."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        left = await _still_to_do(system, deadline)
        if not left or asyncio.get_running_loop().time() > deadline:
            return Rest(left, await _silent(system) if left else [])
        await asyncio.sleep(LOOK_S)


async def _still_to_do(system: System, deadline: float) -> list[str]:
    """Looks until there is nothing, the time is up, or Kafka gives no answer."""
    progress = Progress(system.settings.kafka, system.settings.topic_prefix, TOPOLOGY, Metrics())
    try:
        async with asyncio.timeout(ANSWER_S):
            await progress.start()
        while True:
            async with asyncio.timeout(ANSWER_S):
                left, ends = await _lagging(progress)
            left = left or await _to_come(system)
            # What came while the rows were read (a receipt under way a moment ago) is still to be worked on.
            async with asyncio.timeout(ANSWER_S):
                left = left or ["records that came a moment ago"] * (await progress.ends() != ends)
            if not left or asyncio.get_running_loop().time() > deadline:
                return left
            await asyncio.sleep(LOOK_S)
    except (KafkaError, TimeoutError, OSError) as error:
        return [f"Kafka gives no answer: {type(error).__name__}"]
    finally:
        await progress.stop()


async def _silent(system: System) -> list[str]:
    """The groups whose coordinator does not tell their offsets."""
    admin = AIOKafkaAdminClient(**client_options(system.settings.kafka))
    believe_loaded_offsets_only(admin)
    silent = []
    try:
        async with asyncio.timeout(ANSWER_S):
            await admin.start()
        for stage in TOPOLOGY:
            try:
                async with asyncio.timeout(ANSWER_S):
                    await admin.list_consumer_group_offsets(f"{system.settings.topic_prefix}{stage.name}")
            except (KafkaError, TimeoutError, OSError) as error:
                silent.append(f"{stage.name}: {type(error).__name__}")
    except (KafkaError, TimeoutError, OSError) as error:
        return [f"all: {type(error).__name__}"]
    finally:
        await admin.close()
    return silent


async def _lagging(progress: Progress) -> tuple[list[str], Mapping[str, Offsets]]:
    """The stages that are not, and stay not, at the end of their inputs, and these ends."""
    ends: Mapping[str, Offsets] = {}
    for _ in range(QUIET_LOOKS):
        # Commits first: what was committed before the ends were read covers at least what it says.
        committed, ends = await progress.committed(), await progress.ends()
        behind = [
            f"{stage}: {lag} records behind"
            for stage, partitions in ends.items()
            if (lag := sum(max(0, end - committed[stage].get(p, 0)) for p, end in partitions.items()))
        ]
        if behind:
            return behind, ends
        await asyncio.sleep(LOOK_S)
    return [], ends


async def _to_come(system: System) -> list[str]:
    soon = milliseconds(wall_clock() + FAR)
    left = []
    for stage, partitions in (await read_states(system)).items():
        metas = [Meta.decode(row) for rows in partitions.values() for (_, name), row in rows.items() if name == META]
        effects = sum(meta.effect is not None for meta in metas)
        timers = sum(any(at < soon for at in meta.timers.values()) for meta in metas)
        if effects or timers:
            left.append(f"{stage}: {effects} effects, {timers} timers")
    async with ClientSession() as http, http.get(f"{system.stack.sandbox_url}/sandbox/callbacks") as response:
        pending = _CALLBACKS.validate_json(await response.read()).counts.pending
    return [*left, f"sandbox: {pending} callbacks"] if pending else left


async def read_states(system: System) -> Mapping[str, Mapping[int, State]]:
    """The rows that a restart would restore, by stage and partition."""
    found: dict[str, dict[int, dict[tuple[str, str], bytes]]] = {}
    for stage in TOPOLOGY:
        states = found.setdefault(stage.name, {})
        for message in await _read(system, state_topic(stage.name)):
            if not is_row_key(message.key):
                continue
            rows, row = states.setdefault(message.partition, {}), split_row_key(message.key)
            if message.value is None:
                rows.pop(row, None)
            else:
                rows[row] = message.value
    return found


async def read_history(system: System, asked: Asked, rest: Rest) -> History:
    """All of it. The workers have stopped, so that nothing changes meanwhile."""
    store = SettingsStore(system.secrets.decrypt)
    messages = {topic: await _read(system, topic) for topic in TOPICS}
    for message in messages[CHANNELS]:
        store.apply(message.key, message.value)
    url = f"{system.stack.sandbox_url}/sandbox"
    async with ClientSession() as http:
        async with http.get(f"{url}/log") as response:
            sent = _LOG.validate_json(await response.read())
        async with http.get(f"{url}/callbacks") as response:
            attempts = _CALLBACKS.validate_json(await response.read()).attempts
    return History(
        stages=TOPOLOGY,
        messages=messages,
        states=await read_states(system),
        settings=store.lookup,
        acknowledged=Acknowledged(asked.messages, asked.replies, asked.commands, asked.settings, asked.unexpected),
        sent=sent,
        answered=system.ai.said,
        gpt=await system.models.history(),
        receipts=Counter(attempt.size for attempt in attempts if attempt.delivered),
        unfinished=rest.unfinished,
        silent=rest.silent,
    )


def broker_errors(logs: Iterable[Path]) -> Counter[str]:
    """The ERROR lines of the broker's logs, each without its numbers, with how often it came."""
    return Counter(
        NUMBER.sub("#", line.decode(errors="replace"))[:MOST_OF_A_LINE]
        for log in logs
        for line in ERROR.findall(log.read_bytes())
    )


async def _read(system: System, topic: Topic) -> list[Message]:
    name = topic.full_name(system.settings.topic_prefix)
    found = await committed_messages(system.settings.kafka, name)
    return [Message(m.partition, m.offset, m.timestamp, m.key, m.value, tuple(m.headers)) for m in found]

"""What the tasks of a worker share."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from aiokafka import AIOKafkaProducer

from agents.stage import Stage
from bus.connection import KafkaConnection
from bus.follower import Apply
from bus.transactional import transactional_producer
from streams.clock import Clock
from streams.effects.contract import Performers
from streams.effects.spending import Spending
from streams.runtime.metrics import Metrics
from streams.runtime.settings_store import SettingsStore


def _opened() -> asyncio.Event:
    gate = asyncio.Event()
    gate.set()
    return gate


@dataclass(frozen=True)
class Environment:
    """What the tasks of a worker share.

    performers: of every type of request that a stage of the worker makes. notices: takes the records of notifications,
    from the start of the worker on; spending: those of ai-calls, from the start of the day on; knowledge: those of
    knowledge, from the beginning. gate: while it is cleared no task begins anything. collect: seconds for which an
    unhurried stage's task collects records before it begins. new_producer: (connection, transactional id) -> one not
    started.
    """

    connection: KafkaConnection
    prefix: str
    settings: SettingsStore
    clock: Clock
    metrics: Metrics
    performers: Performers = field(default_factory=dict)
    notices: Apply | None = None
    spending: Spending | None = None
    knowledge: Apply | None = None
    gate: asyncio.Event = field(default_factory=_opened)
    collect: float = 0.2
    new_producer: Callable[[KafkaConnection, str], AIOKafkaProducer] = transactional_producer

    def group(self, stage: Stage) -> str:
        """The consumer group of a stage, and the base of its transactional ids."""
        return f"{self.prefix}{stage.name}"

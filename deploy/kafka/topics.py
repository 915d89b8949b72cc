"""The registry's topics in Kafka: what is missing, what differs, and what is done about it."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    InvalidReplicationFactorError,
    KafkaConnectionError,
    KafkaError,
    TopicAlreadyExistsError,
    for_code,
)

from bus.connection import KafkaConnection, client_options
from deploy.errors import LiveDeskError
from schemas.topics import Topic

PARTITIONS = "partitions"
REPLICATION = "replication.factor"

MAX_MESSAGE_BYTES = 5 * 2**20
"""The largest record is the dead letter of a callback of 3 MiB, which base64 makes 4 MiB."""
MAX_MESSAGE_CONFIG = "max.message.bytes"

REQUEST_SECONDS = 20.0
LEADER_SECONDS = 30.0
_POLL_SECONDS = 0.05

_DYNAMIC_TOPIC_CONFIG = 1
"""DescribeConfigs: set on the topic itself, not inherited from the broker."""


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic as it should be. name: with prefix and version. config: Kafka's names and values."""

    name: str
    partitions: int
    replication_factor: int
    config: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class FoundTopic:
    """A topic as it is. config: what is in force; own_config: what is set on the topic itself."""

    partitions: int
    replication_factor: int
    config: Mapping[str, str]
    own_config: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Difference:
    """An existing topic is not as it should be. setting: PARTITIONS, REPLICATION or the name of a topic config."""

    topic: str
    setting: str
    actual: str
    wanted: str

    @property
    def fixable(self) -> bool:
        """A config. More partitions would move keys away from their state; copies are moved by Kafka's own tools."""
        return self.setting not in (PARTITIONS, REPLICATION)

    @property
    def urgent(self) -> bool:
        """A limit under which Kafka refuses records that ingress has promised to take: it is raised unasked."""
        return self.setting == MAX_MESSAGE_CONFIG and int(self.actual or 0) < int(self.wanted)


@dataclass(frozen=True, slots=True)
class Plan:
    """What `apply` would find to do."""

    missing: tuple[TopicSpec, ...]
    differences: tuple[Difference, ...]

    def to_fix(self, *, fix_config: bool) -> tuple[Difference, ...]:
        """The differences that `apply` removes."""
        return tuple(one for one in self.differences if one.urgent or (fix_config and one.fixable))


@dataclass(frozen=True, slots=True)
class Applied:
    """What `apply` did. left: differences that it was not asked to remove, or can't."""

    created: tuple[TopicSpec, ...]
    fixed: tuple[Difference, ...]
    left: tuple[Difference, ...]


def topic_spec(topic: Topic, prefix: str, partitions: int, replication_factor: int) -> TopicSpec:
    """How the topic should be in a deployment of so many partitions and copies."""
    config = {
        MAX_MESSAGE_CONFIG: str(MAX_MESSAGE_BYTES),
        "min.insync.replicas": min_insync_replicas(replication_factor),
    }
    if topic.compacted:
        config |= {
            "cleanup.policy": "compact",
            # The log is read whole at every start, and the segment that is being written is never compacted:
            # by default up to half of the log is stale, and a segment lasts for a week or a gigabyte.
            "min.cleanable.dirty.ratio": "0.1",
            "segment.ms": _milliseconds(timedelta(hours=1)),
            "segment.bytes": str(64 * 2**20),
            # A reader that takes longer than this from start to end could miss a tombstone.
            "delete.retention.ms": _milliseconds(timedelta(hours=24)),
        }
    else:
        config |= {
            "cleanup.policy": "delete",
            "retention.ms": "-1" if topic.retention is None else _milliseconds(topic.retention),
        }
    return TopicSpec(topic.full_name(prefix), topic.partitions or partitions, replication_factor, config)


def min_insync_replicas(replication_factor: int) -> str:
    """Copies that must have a record before it is acknowledged: one broker may be down, unless there is no other."""
    return "2" if replication_factor >= 3 else "1"


def compare(specs: Iterable[TopicSpec], found: Mapping[str, FoundTopic]) -> Plan:
    """What is missing and what differs."""
    missing, differences = [], []
    for spec in specs:
        topic = found.get(spec.name)
        if topic is None:
            missing.append(spec)
            continue
        pairs = {
            PARTITIONS: (str(topic.partitions), str(spec.partitions)),
            REPLICATION: (str(topic.replication_factor), str(spec.replication_factor)),
        }
        # By the copies that there are: asking for two where there is one would refuse every write.
        config = {**spec.config, "min.insync.replicas": min_insync_replicas(topic.replication_factor)}
        pairs |= {name: (topic.config.get(name, ""), value) for name, value in config.items()}
        differences += [
            Difference(spec.name, setting, actual, wanted)
            for setting, (actual, wanted) in pairs.items()
            if actual != wanted
        ]
    return Plan(tuple(missing), tuple(differences))


async def plan(
    connection: KafkaConnection, prefix: str, topics: Iterable[Topic], partitions: int, replication_factor: int
) -> Plan:
    """What is missing and what differs in Kafka. Changes nothing. Raises LiveDeskError."""
    specs = [topic_spec(topic, prefix, partitions, replication_factor) for topic in topics]
    async with admin_client(connection) as admin:
        return compare(specs, await _find(admin, specs))


async def apply(
    connection: KafkaConnection,
    prefix: str,
    topics: Iterable[Topic],
    partitions: int,
    replication_factor: int,
    *,
    fix_config: bool = False,
) -> Applied:
    """Create what is missing and wait until every partition of it has a leader. Can be repeated. Raises LiveDeskError.

    fix_config: also set configs that differ; the largest record is raised in any case. Partitions and replication never
    change, and nothing is ever deleted.
    """
    specs = [topic_spec(topic, prefix, partitions, replication_factor) for topic in topics]
    async with admin_client(connection) as admin:
        found = await _find(admin, specs)
        todo = compare(specs, found)
        if todo.missing:
            await _create(admin, todo.missing)
            await _wait_for_leaders(admin, {spec.name for spec in todo.missing})
        fixed = todo.to_fix(fix_config=fix_config)
        if fixed:
            await _alter(admin, fixed, found)
        return Applied(todo.missing, fixed, tuple(d for d in todo.differences if d not in fixed))


@asynccontextmanager
async def admin_client(connection: KafkaConnection) -> AsyncIterator[AIOKafkaAdminClient]:
    """A client that is connected. What goes wrong is a LiveDeskError."""
    try:
        options = client_options(connection)
    except ValueError as error:
        raise LiveDeskError(f"{error}.", "Set the KAFKA_SSL_ variables to readable PEM files.") from error
    admin = AIOKafkaAdminClient(**options, request_timeout_ms=int(REQUEST_SECONDS * 1000))
    try:
        await admin.start()
        yield admin
    except (KafkaConnectionError, TimeoutError) as error:
        raise LiveDeskError(
            f"Kafka cannot be reached at {connection.bootstrap_servers}.",
            "Start one on this machine with: livedesk broker start. For another one set KAFKA_BOOTSTRAP_SERVERS "
            "(and, where it asks for a login, the KAFKA_SECURITY_PROTOCOL, KAFKA_SASL_ and KAFKA_SSL_ variables).",
        ) from error
    except KafkaError as error:
        raise LiveDeskError(f"Kafka at {connection.bootstrap_servers} refused: {error}") from error
    finally:
        await admin.close()


async def _find(admin: AIOKafkaAdminClient, specs: Iterable[TopicSpec]) -> dict[str, FoundTopic]:
    wanted = {spec.name for spec in specs}
    # All topics: asked by name, a broker with auto.create.topics.enable would create the missing ones its own way.
    described = {topic["topic"]: topic["partitions"] for topic in await admin.describe_topics()}
    names = sorted(wanted & described.keys())
    if not names:
        return {}
    answers = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in names])
    found = {}
    for code, message, _, name, entries in (row for answer in answers for row in answer.resources):
        _check(code, message, f"The configuration of {name} cannot be read")
        found[name] = FoundTopic(
            partitions=len(described[name]),
            replication_factor=min(len(partition["replicas"]) for partition in described[name]),
            config={entry[0]: entry[1] for entry in entries},
            own_config={entry[0]: entry[1] for entry in entries if entry[3] == _DYNAMIC_TOPIC_CONFIG},
        )
    return found


async def _create(admin: AIOKafkaAdminClient, specs: Iterable[TopicSpec]) -> None:
    new = [
        NewTopic(
            name=spec.name,
            num_partitions=spec.partitions,
            replication_factor=spec.replication_factor,
            topic_configs=dict(spec.config),
        )
        for spec in specs
    ]
    answer = await admin.create_topics(new)
    for name, code, message in answer.topic_errors:
        # Somebody else applied at the same time.
        if code != TopicAlreadyExistsError.errno:
            _check(code, message, f"Topic {name} cannot be created")


async def _wait_for_leaders(admin: AIOKafkaAdminClient, names: set[str]) -> None:
    try:
        async with asyncio.timeout(LEADER_SECONDS):
            while names:
                names -= {
                    topic["topic"]
                    for topic in await admin.describe_topics()
                    if topic["partitions"] and all(p["error_code"] == 0 for p in topic["partitions"])
                }
                if names:
                    await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError:
        raise LiveDeskError(
            f"Created, but without a leader after {LEADER_SECONDS:.0f} s: {', '.join(sorted(names))}.",
            "Look at the brokers' logs, then repeat: livedesk topics apply.",
        ) from None


async def _alter(
    admin: AIOKafkaAdminClient, differences: Iterable[Difference], found: Mapping[str, FoundTopic]
) -> None:
    configs: dict[str, dict[str, str]] = {}
    for difference in differences:
        # AlterConfigs resets what it is not given: the topic's own settings have to be repeated.
        config = configs.setdefault(difference.topic, dict(found[difference.topic].own_config))
        config[difference.setting] = difference.wanted
    answers = await admin.alter_configs(
        [ConfigResource(ConfigResourceType.TOPIC, name, config) for name, config in configs.items()]
    )
    for code, message, _, name in (row for answer in answers for row in answer.resources):
        _check(code, message, f"The configuration of {name} cannot be changed")


def _check(code: int, message: str | None, problem: str) -> None:
    if code:
        kind = for_code(code)
        hint = ""
        if code == InvalidReplicationFactorError.errno:
            hint = "LIVEDESK_REPLICATION_FACTOR can't be more than there are brokers."
        raise LiveDeskError(f"{problem}: {message or kind.description or kind.__name__}", hint)


def _milliseconds(duration: timedelta) -> str:
    return str(duration // timedelta(milliseconds=1))

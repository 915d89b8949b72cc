"""What each kind of process may do in Kafka, from the topic registry: as little as it can work with."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Final, Literal, get_args

from aiokafka.errors import for_code
from aiokafka.protocol.admin import CreateAclsRequest

from bus.aiokafka_fixes import ask_any_broker
from bus.connection import KafkaConnection
from deploy.errors import LiveDeskError
from deploy.kafka.topics import admin_client
from schemas.topics import (
    AI_CALLS,
    ASSIGNMENTS,
    CHANNELS,
    CONVERSATIONS,
    CSAT,
    DEAD_LETTERS,
    KNOWLEDGE,
    NOTIFICATIONS,
    REPORTS,
    STATUSES,
    TIMERS,
    TOPICS,
    WEBHOOKS,
    Topic,
    state_topic,
)
from streams.topology import TOPOLOGY

Role = Literal["ingress", "worker", "desk", "operator", "reader"]
Resource = Literal["topic", "group", "transactional-id"]
Operation = Literal["Read", "Write", "Create", "Describe", "DescribeConfigs", "AlterConfigs"]

ROLES: Final[tuple[Role, ...]] = get_args(Role)
PUBLIC: Final = (CONVERSATIONS, ASSIGNMENTS, CSAT, STATUSES, REPORTS)
"""What services outside may read."""

# The numbers of Kafka's protocol (org.apache.kafka.common.acl and .resource).
_RESOURCES: Final[dict[Resource, int]] = {"topic": 2, "group": 3, "transactional-id": 5}
_OPERATIONS: Final[dict[Operation, int]] = {
    "Read": 3,
    "Write": 4,
    "Create": 5,
    "Describe": 8,
    "DescribeConfigs": 10,
    "AlterConfigs": 11,
}
_LITERAL, _PREFIXED, _ALLOW = 3, 4, 3


@dataclass(frozen=True, slots=True)
class Acl:
    """One permission of a role. prefixed: the names of the resources begin with name."""

    role: Role
    resource: Resource
    name: str
    operation: Operation
    prefixed: bool = False


def acls(prefix: str) -> Iterator[Acl]:
    """Every permission that the roles need, and no other; Read and Write let describe, too.

    operator: who applies topics, replays, and looks after dead letters: everything below the prefix. reader: a service
    that consumes the public topics, in groups named `{prefix}reader.…`.
    """
    outputs = {topic for stage in TOPOLOGY for topic in stage.outputs}
    inputs, stages = {stage.input for stage in TOPOLOGY}, [stage.name for stage in TOPOLOGY]
    rows = {state_topic(stage.name) for stage in TOPOLOGY}
    written_by_desk = {topic for topic in TOPICS if "desk" in topic.writers.values()}
    return chain(
        _topics(prefix, "ingress", {WEBHOOKS}, "Write"),
        _topics(prefix, "ingress", {CHANNELS}, "Read"),
        _topics(prefix, "worker", inputs | rows | {TIMERS, CHANNELS, KNOWLEDGE, NOTIFICATIONS, AI_CALLS}, "Read"),
        # The end of an effect is a record on the stage's own input.
        _topics(prefix, "worker", outputs | inputs - {WEBHOOKS} | rows | {TIMERS, DEAD_LETTERS}, "Write"),
        (Acl("worker", "group", f"{prefix}{name}", "Read") for name in stages),
        # Of its lanes, and of the partitions that it takes over (streams/runtime/transactions.py, task.py).
        (Acl("worker", "transactional-id", f"{prefix}{name}-", "Write", True) for name in ("worker", *stages)),
        _topics(prefix, "desk", set(TOPICS), "Read"),
        _topics(prefix, "desk", written_by_desk, "Write"),
        (Acl("desk", "transactional-id", f"{prefix}ingress", "Write"),),
        (Acl("operator", "topic", prefix, operation, True) for operation in _OPERATIONS),
        (Acl("operator", "group", prefix, "Read", True), Acl("operator", "transactional-id", prefix, "Write", True)),
        _topics(prefix, "reader", set(PUBLIC), "Read"),
        (Acl("reader", "group", f"{prefix}reader.", "Read", True),),
    )


def _topics(prefix: str, role: Role, topics: Iterable[Topic], operation: Operation) -> Iterator[Acl]:
    for topic in sorted(topics, key=lambda one: one.name):
        yield Acl(role, "topic", topic.full_name(prefix), operation)


def command(acl: Acl, principal: str) -> str:
    """The line of Kafka's own tool that allows it."""
    pattern = " --resource-pattern-type prefixed" if acl.prefixed else ""
    return f"--add --allow-principal {principal} --operation {acl.operation} --{acl.resource} '{acl.name}'{pattern}"


async def allow(connection: KafkaConnection, wanted: Iterable[tuple[Acl, str]]) -> int:
    """Have Kafka allow each to its principal, such as User:desk. What is allowed already stays. Returns how many.

    Raises LiveDeskError.
    """
    count = 0
    async with admin_client(connection) as admin:
        for acl, principal in wanted:
            pattern = _PREFIXED if acl.prefixed else _LITERAL
            resource, operation = _RESOURCES[acl.resource], _OPERATIONS[acl.operation]
            request = CreateAclsRequest(resource, acl.name, pattern, principal, "*", operation, _ALLOW)
            response = await ask_any_broker(admin, request)
            for code, message in response.creation_responses:
                if code:
                    raise LiveDeskError(
                        f"Kafka refuses to change permissions: {message or for_code(code).__name__}",
                        "It takes a user with Alter on the cluster, and a cluster with an authorizer.",
                    )
            count += 1
    return count

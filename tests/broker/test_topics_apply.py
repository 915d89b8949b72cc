"""Topics on a real Kafka: created, compared, put right."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from typer.testing import CliRunner

from bus.connection import KafkaConnection, client_options
from cli.main import app as cli
from deploy.errors import LiveDeskError
from deploy.kafka.topics import PARTITIONS, Difference, apply, plan
from schemas.topics import CHANNELS, INBOX, TOPICS, Topic, state_topic

SOME = (INBOX, CHANNELS, state_topic("hours"))


@pytest.fixture
async def admin(kafka: KafkaConnection) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(**client_options(kafka))
    await client.start()
    yield client
    await client.close()


@pytest.fixture
async def existing_inbox(admin: AIOKafkaAdminClient, topic_prefix: str) -> str:
    """Made by somebody else: too few partitions, kept for an hour, and compressed, which is their own affair."""
    name = INBOX.full_name(topic_prefix)
    configs = {"retention.ms": "3600000", "compression.type": "gzip", "max.message.bytes": "4194304"}
    await admin.create_topics([NewTopic(name, num_partitions=2, replication_factor=1, topic_configs=configs)])
    return name


async def config_of(admin: AIOKafkaAdminClient, name: str) -> dict[str, str]:
    answers = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
    return {entry[0]: entry[1] for entry in answers[0].resources[0][4]}


async def partitions_of(admin: AIOKafkaAdminClient, name: str) -> int:
    return next(len(topic["partitions"]) for topic in await admin.describe_topics() if topic["topic"] == name)


async def test_missing_topics_are_created_as_the_registry_wants_them(
    kafka: KafkaConnection, topic_prefix: str, admin: AIOKafkaAdminClient
) -> None:
    done = await apply(kafka, topic_prefix, SOME, partitions=3, replication_factor=1)
    assert [spec.name for spec in done.created] == [topic.full_name(topic_prefix) for topic in SOME]
    assert (done.fixed, done.left) == ((), ())

    inbox = await config_of(admin, INBOX.full_name(topic_prefix))
    assert inbox["cleanup.policy"] == "delete"
    assert inbox["retention.ms"] == str(7 * 24 * 3600 * 1000)
    assert inbox["max.message.bytes"] == "5242880"
    state = await config_of(admin, state_topic("hours").full_name(topic_prefix))
    assert state["cleanup.policy"] == "compact"
    assert state["delete.retention.ms"] == "86400000"
    assert await partitions_of(admin, INBOX.full_name(topic_prefix)) == 3
    assert await partitions_of(admin, CHANNELS.full_name(topic_prefix)) == 1


async def test_created_topics_have_leaders(
    kafka: KafkaConnection, topic_prefix: str, admin: AIOKafkaAdminClient
) -> None:
    await apply(kafka, topic_prefix, TOPICS, partitions=4, replication_factor=1)
    ours = [topic for topic in await admin.describe_topics() if topic["topic"].startswith(topic_prefix)]
    assert len(ours) == len(TOPICS)
    assert all(partition["leader"] >= 0 for topic in ours for partition in topic["partitions"])


async def test_applying_again_changes_nothing(kafka: KafkaConnection, topic_prefix: str) -> None:
    await apply(kafka, topic_prefix, SOME, partitions=3, replication_factor=1)
    again = await apply(kafka, topic_prefix, SOME, partitions=3, replication_factor=1, fix_config=True)
    assert (again.created, again.fixed, again.left) == ((), (), ())


async def test_two_can_apply_at_the_same_time(kafka: KafkaConnection, topic_prefix: str) -> None:
    both = (apply(kafka, topic_prefix, SOME, partitions=3, replication_factor=1) for _ in range(2))
    await asyncio.gather(*both)
    after = await plan(kafka, topic_prefix, SOME, partitions=3, replication_factor=1)
    assert (after.missing, after.differences) == ((), ())


async def test_differences_are_reported_and_left_alone_but_for_the_largest_record(
    kafka: KafkaConnection, topic_prefix: str, existing_inbox: str, admin: AIOKafkaAdminClient
) -> None:
    done = await apply(kafka, topic_prefix, (INBOX,), partitions=4, replication_factor=1)
    assert done.fixed == (Difference(existing_inbox, "max.message.bytes", "4194304", "5242880"),)
    assert done.created == ()
    assert Difference(existing_inbox, PARTITIONS, "2", "4") in done.left
    assert Difference(existing_inbox, "retention.ms", "3600000", "604800000") in done.left
    assert (await config_of(admin, existing_inbox))["retention.ms"] == "3600000"


async def test_fix_config_sets_configs_and_nothing_else(
    kafka: KafkaConnection, topic_prefix: str, existing_inbox: str, admin: AIOKafkaAdminClient
) -> None:
    done = await apply(kafka, topic_prefix, (INBOX,), partitions=4, replication_factor=1, fix_config=True)
    assert Difference(existing_inbox, "retention.ms", "3600000", "604800000") in done.fixed
    assert done.left == (Difference(existing_inbox, PARTITIONS, "2", "4"),)

    config: dict[str, str] = {}
    async with asyncio.timeout(10):  # a broker learns of it a moment after the answer
        while config.get("retention.ms") != "604800000":
            config = await config_of(admin, existing_inbox)
    assert config["compression.type"] == "gzip"
    assert await partitions_of(admin, existing_inbox) == 2


async def test_more_copies_than_brokers_is_an_error_that_names_the_setting(
    kafka: KafkaConnection, topic_prefix: str
) -> None:
    with pytest.raises(LiveDeskError, match="LIVEDESK_REPLICATION_FACTOR"):
        await apply(kafka, topic_prefix, (INBOX,), partitions=1, replication_factor=100)


async def test_a_name_that_kafka_refuses_is_an_error_with_its_reason(kafka: KafkaConnection, topic_prefix: str) -> None:
    odd = Topic("in box", key="none", writers={}, holds="nothing", retention=timedelta(days=1))
    with pytest.raises(LiveDeskError, match=r"in box\.v1 cannot be created"):
        await apply(kafka, topic_prefix, (odd,), partitions=1, replication_factor=1)


async def test_an_unreachable_kafka_is_an_error_with_a_way_out(topic_prefix: str) -> None:
    nobody = KafkaConnection(bootstrap_servers="127.0.0.1:1")
    with pytest.raises(LiveDeskError, match="livedesk broker start"):
        await plan(nobody, topic_prefix, SOME, partitions=1, replication_factor=1)


def test_the_command_applies_and_then_has_nothing_to_do(kafka: KafkaConnection, topic_prefix: str) -> None:
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "LIVEDESK_TOPIC_PREFIX": topic_prefix,
        "LIVEDESK_PARTITIONS": "2",
    }

    def run(*arguments: str, **changed: str) -> str:
        result = CliRunner().invoke(cli, ["topics", *arguments], env={**environment, **changed})
        assert result.exit_code == 0, result.output
        return result.output

    assert f"would create {topic_prefix}inbox.v1: 2 partitions" in run("apply", "--dry-run")
    assert f"created {topic_prefix}inbox.v1: 2 partitions" in run("apply")
    assert "Nothing to do" in run("apply")
    assert "partitions is 2, not 3" in run("apply", LIVEDESK_PARTITIONS="3")
    assert f"called {topic_prefix}inbox.v1" in run("list")

"""The topic registry and the topology agree, and what Kafka is asked for follows from them. No Kafka."""

import re
from datetime import timedelta

import pytest

from agents.stage import Stage
from deploy.kafka.topics import PARTITIONS, REPLICATION, Difference, FoundTopic, TopicSpec, compare, topic_spec
from schemas.events.operations import DeadLettered, KeyUnparked
from schemas.events.sending import EffectEnded
from schemas.topics import CHANNELS, DEAD_LETTERS, DIRECTORY, INBOX, REPORTS, TOPICS, WEBHOOKS, Topic, state_topic
from streams.topology import TOPOLOGY, all_topics

PREFIX = "shop-7."
STAGES = {stage.name: stage for stage in TOPOLOGY}
OUTSIDE = {"ingress", "desk", "runtime", "operator"}


def by_name(topic: Topic) -> str:
    return topic.name


def by_stage(stage: Stage) -> str:
    return stage.name


def test_topic_names_are_unique_and_legal_for_kafka() -> None:
    names = [topic.full_name(PREFIX) for topic in all_topics()]
    assert len(set(names)) == len(names)
    for name in names:
        assert re.fullmatch(r"[a-z0-9.-]{1,249}", name), name
        assert name.startswith(PREFIX)
        assert name.endswith(".v1")
    # Kafka's metric names have _ for both: two topics would share theirs.
    assert len({name.replace(".", "_") for name in names}) == len(names)


def test_a_type_belongs_to_one_topic() -> None:
    places: dict[str, list[str]] = {}
    for topic in TOPICS:
        own = {event.type for event in topic.writers}
        assert len(own) == len(topic.writers), f"two events of {topic.name} have the same type"
        # What an operator writes may be on the input of any stage.
        assert set(topic.types) == own | {KeyUnparked.type}
        if topic is DIRECTORY:  # what is said to account-inbox, kept for who lists it
            continue
        for event in topic.writers:
            places.setdefault(event.type, []).append(topic.name)
    # An effect's end goes to the input of whichever stage asked for it.
    shared = {kind for kind, topics in places.items() if len(topics) > 1} - {EffectEnded.type}
    assert not shared


@pytest.mark.parametrize("topic", TOPICS, ids=by_name)
def test_a_type_has_one_writer_that_declares_the_topic(topic: Topic) -> None:
    for event, writer in topic.writers.items():
        if event is DeadLettered:  # the one type that any stage's runtime writes beside its writer
            assert (topic, writer) == (DEAD_LETTERS, "intake, runtime")
        elif topic is WEBHOOKS:  # what a callback did not bring comes in as one
            assert writer == "ingress, reconciliation"
            assert topic in STAGES["reconciliation"].outputs
        elif topic is REPORTS:  # the three stages of one file, each with partials of its own
            writers = writer.split(", ")
            assert writers == [name for name in STAGES if name.startswith("reports-")]
            assert all(topic in STAGES[name].outputs for name in writers)
        elif writer not in OUTSIDE:
            stage = STAGES[writer]
            declared = (*stage.outputs, stage.input) if event is EffectEnded else stage.outputs
            assert topic in declared, f"{writer} writes {event.type} to {topic.name} without declaring it"


@pytest.mark.parametrize("stage", TOPOLOGY, ids=by_stage)
def test_a_stage_reads_and_writes_topics_of_the_registry(stage: Stage) -> None:
    assert stage.input in TOPICS
    assert len(set(stage.outputs)) == len(stage.outputs)
    for topic in stage.outputs:
        assert topic in TOPICS
        assert any(stage.name in writer for writer in topic.writers.values()), f"{stage.name} writes no {topic.name}"


@pytest.mark.parametrize("stage", TOPOLOGY, ids=by_stage)
def test_a_stage_has_as_many_partitions_of_state_as_of_input(stage: Stage) -> None:
    # A task's rows are in the partition of its input: with fewer there would be nowhere to write them.
    assert stage.input.partitions == state_topic(stage.name).partitions
    assert state_topic(stage.name) in all_topics()


def test_topics_that_are_kept_for_ever_are_compacted() -> None:
    for topic in all_topics():
        assert topic.compacted == (topic.retention is None), topic.name


def test_an_event_topic_is_deleted_by_age() -> None:
    spec = topic_spec(INBOX, PREFIX, partitions=6, replication_factor=1)
    assert (spec.name, spec.partitions, spec.replication_factor) == ("shop-7.inbox.v1", 6, 1)
    assert spec.config == {
        "cleanup.policy": "delete",
        "retention.ms": "604800000",
        "max.message.bytes": "5242880",
        "min.insync.replicas": "1",
    }


def test_a_state_topic_is_compacted_soon_and_keeps_tombstones_for_a_day() -> None:
    config = topic_spec(state_topic("hours"), PREFIX, partitions=6, replication_factor=1).config
    assert config["cleanup.policy"] == "compact"
    assert config["delete.retention.ms"] == "86400000"
    assert float(config["min.cleanable.dirty.ratio"]) < 0.5
    assert int(config["segment.ms"]) <= timedelta(hours=1) / timedelta(milliseconds=1)
    assert "retention.ms" not in config


def test_a_topic_s_own_number_of_partitions_stands() -> None:
    assert topic_spec(CHANNELS, PREFIX, partitions=6, replication_factor=1).partitions == 1


@pytest.mark.parametrize(("copies", "in_sync"), [(1, "1"), (2, "1"), (3, "2"), (5, "2")])
def test_of_three_brokers_one_may_be_down(copies: int, in_sync: str) -> None:
    assert topic_spec(INBOX, PREFIX, 6, copies).config["min.insync.replicas"] == in_sync


def as_it_should_be(spec: TopicSpec) -> FoundTopic:
    return FoundTopic(spec.partitions, spec.replication_factor, {**spec.config, "compression.type": "producer"}, {})


def test_topics_as_they_should_be_show_no_difference() -> None:
    specs = [topic_spec(topic, PREFIX, 6, 3) for topic in all_topics()]
    plan = compare(specs, {spec.name: as_it_should_be(spec) for spec in specs})
    assert (plan.missing, plan.differences) == ((), ())


def test_every_difference_is_reported() -> None:
    spec = topic_spec(INBOX, PREFIX, 6, 1)
    absent = topic_spec(CHANNELS, PREFIX, 6, 1)
    other = {**spec.config, "cleanup.policy": "compact", "retention.ms": "1000", "max.message.bytes": "2000"}
    found = FoundTopic(partitions=3, replication_factor=2, config=other, own_config={})
    plan = compare([spec, absent], {spec.name: found})
    assert plan.missing == (absent,)
    assert set(plan.differences) == {
        Difference(spec.name, PARTITIONS, "3", "6"),
        Difference(spec.name, REPLICATION, "2", "1"),
        Difference(spec.name, "cleanup.policy", "compact", "delete"),
        Difference(spec.name, "retention.ms", "1000", "604800000"),
        Difference(spec.name, "max.message.bytes", "2000", "5242880"),
    }
    assert {d.setting for d in plan.differences if not d.fixable} == {PARTITIONS, REPLICATION}
    assert [d.setting for d in plan.to_fix(fix_config=False)] == ["max.message.bytes"]
    assert len(plan.to_fix(fix_config=True)) == 3


def test_copies_in_sync_are_judged_by_the_copies_that_there_are() -> None:
    spec = topic_spec(INBOX, PREFIX, 6, 3)
    single = as_it_should_be(topic_spec(INBOX, PREFIX, 6, 1))
    assert [d.setting for d in compare([spec], {spec.name: single}).differences] == [REPLICATION]

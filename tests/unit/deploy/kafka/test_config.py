"""The embedded broker's configuration, without a broker."""

import base64
from pathlib import Path

from deploy.kafka.config import CLUSTER_ID, java_options, render_properties, server_properties
from deploy.kafka.topics import MAX_MESSAGE_BYTES


def test_the_broker_listens_on_this_machine_alone() -> None:
    properties = server_properties(port=7001, controller_port=7002, log_dir=Path("/data/log"))
    assert properties["listeners"] == "PLAINTEXT://127.0.0.1:7001,CONTROLLER://127.0.0.1:7002"
    assert properties["advertised.listeners"] == "PLAINTEXT://127.0.0.1:7001"
    assert properties["controller.quorum.voters"] == "1@127.0.0.1:7002"
    assert properties["log.dirs"] == "/data/log"


def test_a_single_node_keeps_one_copy_of_everything() -> None:
    properties = server_properties(port=7001, controller_port=7002, log_dir=Path("/data/log"))
    copies = {name: value for name, value in properties.items() if "replication.factor" in name or "min.isr" in name}
    assert len(copies) == 6
    assert set(copies.values()) == {"1"}


def test_a_record_that_is_accepted_can_be_replicated() -> None:
    properties = server_properties(port=7001, controller_port=7002, log_dir=Path("/data/log"))
    assert int(properties["replica.fetch.max.bytes"]) >= int(properties["message.max.bytes"]) == MAX_MESSAGE_BYTES


def test_properties_are_escaped_as_java_reads_them() -> None:
    assert (
        render_properties({"a.b": "x=y z", "log.dirs": "C:\\kafka\nlog"}) == "a.b=x=y z\nlog.dirs=C:\\\\kafka\\nlog\n"
    )


def test_the_cluster_id_is_one_that_kafka_accepts() -> None:
    assert len(base64.urlsafe_b64decode(CLUSTER_ID + "==")) == 16


def test_java_gets_the_heap_and_the_flags() -> None:
    assert java_options("1g", ("-XX:+UseSerialGC",))[:2] == ["-Xmx1g", "-XX:+UseSerialGC"]

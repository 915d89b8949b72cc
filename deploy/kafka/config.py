"""The embedded broker's configuration: its properties file and its Java options."""

from collections.abc import Mapping
from pathlib import Path

CLUSTER_ID = "bGl2ZWRlc2sta2Fma2EtMQ"
"""The same for every embedded broker, so that a folder of somebody else's Kafka is recognised and left alone."""

NODE_ID = 1

HOST = "127.0.0.1"

FAST_START = ("-XX:TieredStopAtLevel=1",)
"""Java options by default: starts in half the time. Leave out for benchmarks: the code runs slower later on."""


def server_properties(*, port: int, controller_port: int, log_dir: Path) -> dict[str, str]:
    """Properties of a single-node KRaft broker that listens on 127.0.0.1."""
    return {
        "process.roles": "broker,controller",
        "node.id": str(NODE_ID),
        # The static voter list, not the dynamic one: the controller's port may differ at each start.
        "controller.quorum.voters": f"{NODE_ID}@{HOST}:{controller_port}",
        "listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": str(log_dir),
        # One node can keep one copy; the defaults ask for three.
        "default.replication.factor": "1",
        "min.insync.replicas": "1",
        "offsets.topic.replication.factor": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        # 50 each by default: made for clusters, and each is opened, checked and recovered at every start.
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.num.partitions": "4",
        # Waiting for more members before the first assignment only delays a laptop's start.
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "3000",
        # An unfinished transaction of a dead worker holds up every reader: look for them each second, not each 10 s.
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
        # After a crash the old registration has to expire before the broker may register again (9 s by default).
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "500",
        # A misspelt topic should be an error; ours are created with their own partitions and retention.
        "auto.create.topics.enable": "false",
        "message.max.bytes": "5242880",
        "replica.fetch.max.bytes": "5242880",
        # 128 MiB by default, a third of the heap: this is enough for a million keys a pass.
        "log.cleaner.dedupe.buffer.size": "33554432",
        "log.retention.check.interval.ms": "60000",
    }


def render_properties(properties: Mapping[str, str]) -> str:
    """A Java properties file. Backslashes and line ends in values are escaped."""
    escape = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r"})
    return "".join(f"{name}={value.translate(escape)}\n" for name, value in properties.items())


def java_options(heap: str, flags: tuple[str, ...]) -> list[str]:
    """Options for every Java process of the broker. heap as Java writes it, such as 384m."""
    return [
        f"-Xmx{heap}",
        *flags,
        "-Djava.awt.headless=true",
        # slf4j-simple writes to standard error, which goes to the log file. Kafka at INFO fills disks.
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "-Dorg.slf4j.simpleLogger.showDateTime=true",
        "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd HH:mm:ss.SSS",
    ]

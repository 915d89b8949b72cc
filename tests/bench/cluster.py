"""Three brokers on this machine, each of which can be killed."""

import asyncio
import os
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from bus.connection import KafkaConnection, client_options
from deploy.kafka.broker import free_port
from deploy.kafka.config import CLUSTER_ID, HOST, java_options, render_properties, server_properties
from deploy.kafka.jars import fetch_jars
from deploy.kafka.java import find_java
from tests.bench.session import NoResult, Session

NODES = (1, 2, 3)
HEAP = "512m"
START_S = 90.0
STOP_S = 30.0
ANSWER_S = 30.0
TRANSACTIONS = "__transaction_state"


class Cluster:
    """Brokers with three copies of everything, two of which must be written, inside `async with`."""

    def __init__(self, session: Session) -> None:
        self._session, self._folder = session, session.folder / "cluster"
        self._ports = {node: free_port() for node in NODES}
        self._controllers = {node: free_port() for node in NODES}
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        servers = ",".join(f"{HOST}:{port}" for port in self._ports.values())
        self.kafka = KafkaConnection(bootstrap_servers=servers)
        self._admin: AIOKafkaAdminClient | None = None

    async def __aenter__(self) -> "Cluster":
        self._session.say("starting three brokers")
        jars = fetch_jars(self._session.cache_dir, self._session.say)
        self._java = [str(find_java()), *java_options(HEAP, ()), "-cp", os.pathsep.join(map(str, jars))]
        try:
            for node in NODES:
                await self._format(node)
                self.start(node)
            await self._wait_until_complete()
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._admin is not None:
            await self._admin.close()
        for process in self._processes.values():
            process.kill()
        for process in self._processes.values():
            await asyncio.to_thread(process.wait, STOP_S)

    def start(self, node: int) -> None:
        """Start a broker, for the first time or again. Does not wait."""
        with self._log(node).open("ab") as log:
            self._processes[node] = subprocess.Popen(
                [*self._java, "kafka.Kafka", str(self._properties(node))],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
            )

    async def kill(self, node: int) -> None:
        """kill -9."""
        self._processes[node].kill()
        await asyncio.to_thread(self._processes[node].wait, STOP_S)

    async def leader(self, topic: str, partition: int) -> int:
        """The broker that leads a partition."""
        (described,) = await self._described(topic)
        return next(int(p["leader"]) for p in described["partitions"] if p["partition"] == partition)

    async def coordinator(self, transactional_id: str) -> int:
        """The broker that coordinates a producer's transactions: the leader of its partition of Kafka's own topic."""
        (described,) = await self._described(TRANSACTIONS)
        return await self.leader(TRANSACTIONS, _java_hash(transactional_id) % len(described["partitions"]))

    async def _described(self, topic: str) -> list[dict[str, Any]]:
        assert self._admin is not None
        deadline = time.monotonic() + ANSWER_S
        while True:
            try:
                described: list[dict[str, Any]] = await self._admin.describe_topics([topic])
                return described
            except KafkaError as error:  # it asked the one that is down
                if time.monotonic() > deadline:
                    raise NoResult(f"the brokers do not tell of {topic}: {type(error).__name__}") from error
                await asyncio.sleep(0.2)

    async def ends(self, topic: str) -> dict[int, int]:
        """The end of each partition of a topic."""
        async with AIOKafkaConsumer(**client_options(self.kafka), enable_auto_commit=False) as consumer:
            (described,) = await self._described(topic)
            partitions = [TopicPartition(topic, p["partition"]) for p in described["partitions"]]
            return {tp.partition: end for tp, end in (await consumer.end_offsets(partitions)).items()}

    def _properties(self, node: int) -> Path:
        return self._folder / f"{node}.properties"

    def _log(self, node: int) -> Path:
        return self._folder / f"{node}.log"

    async def _format(self, node: int) -> None:
        self._folder.mkdir(exist_ok=True)
        port, controller = self._ports[node], self._controllers[node]
        properties = server_properties(port=port, controller_port=controller, log_dir=self._folder / str(node))
        voters = ",".join(f"{voter}@{HOST}:{port}" for voter, port in self._controllers.items())
        properties |= {"node.id": str(node), "controller.quorum.voters": voters, "min.insync.replicas": "2"}
        properties |= {"default.replication.factor": "3", "offsets.topic.replication.factor": "3"}
        properties |= {"transaction.state.log.replication.factor": "3", "transaction.state.log.min.isr": "2"}
        self._properties(node).write_text(render_properties(properties))
        command = [
            *self._java,
            "kafka.tools.StorageTool",
            "format",
            "-t",
            CLUSTER_ID,
            "-c",
            str(self._properties(node)),
        ]
        formatted = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
        if formatted.returncode != 0:
            raise NoResult(f"broker {node} can't be formatted: {formatted.stderr[-500:]}")

    async def _wait_until_complete(self) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            admin = AIOKafkaAdminClient(**client_options(self.kafka))
            try:
                await admin.start()
                if len((await admin.describe_cluster())["brokers"]) == len(NODES):
                    self._admin = admin
                    return
            except (KafkaError, OSError, TimeoutError):
                pass
            await admin.close()
            await asyncio.sleep(0.5)
        raise NoResult(f"the brokers did not find each other within {START_S:.0f} s")


def _java_hash(text: str) -> int:
    """String.hashCode as Kafka uses it: without its sign."""
    value = 0
    for character in text:
        value = (31 * value + ord(character)) & 0xFFFFFFFF
    return value & 0x7FFFFFFF

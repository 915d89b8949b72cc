"""A Kafka cluster as a company has one: three brokers, TLS, SCRAM passwords, and an authorizer that allows nothing."""

import asyncio
import datetime
import os
import subprocess
import time
from collections.abc import Mapping
from ipaddress import IPv4Address
from pathlib import Path
from types import TracebackType
from typing import Self

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from bus.connection import KafkaConnection, client_options
from deploy.kafka.broker import free_port
from deploy.kafka.config import CLUSTER_ID, FAST_START, java_options, render_properties, server_properties
from deploy.kafka.jars import fetch_jars
from deploy.kafka.java import find_java

ADMINISTRATOR = "administrator"
"""The one super user."""
START_S = 90.0
OF_A_CLUSTER = {
    "default.replication.factor": "3",
    "min.insync.replicas": "2",
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    # Between controllers nobody signs in: that is User:ANONYMOUS, on their own listener alone.
    "super.users": f"User:{ADMINISTRATOR};User:ANONYMOUS",
    "sasl.enabled.mechanisms": "SCRAM-SHA-512",
    "sasl.mechanism.inter.broker.protocol": "SCRAM-SHA-512",
    "listener.security.protocol.map": "SECURED:SASL_SSL,CONTROLLER:PLAINTEXT",
    "inter.broker.listener.name": "SECURED",
}


class SecuredCluster:
    """Runs inside `with`. users: name -> password, beside the administrator's."""

    def __init__(self, folder: Path, cache_dir: Path, users: Mapping[str, str], *, size: int = 3) -> None:
        self._folder, self._cache_dir = folder, cache_dir
        self._users = {ADMINISTRATOR: "administrator-secret", **users}
        self._ports = [free_port() for _ in range(size)]
        self._controllers = [free_port() for _ in range(size)]
        self._brokers: list[subprocess.Popen[bytes]] = []
        self.authority = folder / "authority.pem"

    def connection(self, user: str, password: str | None = None) -> KafkaConnection:
        """How that user reaches it."""
        return KafkaConnection(
            bootstrap_servers=",".join(f"127.0.0.1:{port}" for port in self._ports),
            security_protocol="SASL_SSL",
            sasl_mechanism="SCRAM-SHA-512",
            sasl_username=user,
            sasl_password=password or self._users[user],
            ssl_cafile=self.authority,
        )

    def environment(self, user: str) -> dict[str, str]:
        """The same, for a process."""
        connection = self.connection(user)
        assert connection.sasl_password is not None
        return {
            "KAFKA_BOOTSTRAP_SERVERS": connection.bootstrap_servers,
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
            "KAFKA_SASL_USERNAME": user,
            "KAFKA_SASL_PASSWORD": connection.sasl_password.get_secret_value(),
            "KAFKA_SSL_CAFILE": str(self.authority),
        }

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        keys = _certificate(self.authority)
        jars = os.pathsep.join(map(str, fetch_jars(self._cache_dir, lambda _: None)))
        java = [str(find_java()), *java_options("256m", FAST_START), "-cp", jars]
        try:
            for number in range(len(self._ports)):
                self._start(number, java, keys)
            self._wait()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for broker in self._brokers:
            broker.kill()
        for broker in self._brokers:
            broker.wait()

    def _start(self, number: int, java: list[str], keys: Path) -> None:
        folder = self._folder / f"broker{number}"
        folder.mkdir()
        port, controller = self._ports[number], self._controllers[number]
        properties = server_properties(port=port, controller_port=controller, log_dir=folder / "log") | OF_A_CLUSTER
        voters = ",".join(f"{id}@127.0.0.1:{one}" for id, one in enumerate(self._controllers, 1))
        listener = "listener.name.secured"
        login = f'username="{ADMINISTRATOR}" password="{self._users[ADMINISTRATOR]}"'
        properties |= {
            "node.id": str(number + 1),
            "controller.quorum.voters": voters,
            "listeners": f"SECURED://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"SECURED://127.0.0.1:{port}",
            f"{listener}.ssl.keystore.type": "PEM",
            f"{listener}.ssl.keystore.location": str(keys),
            f"{listener}.ssl.truststore.type": "PEM",
            f"{listener}.ssl.truststore.location": str(self.authority),
            f"{listener}.scram-sha-512.sasl.jaas.config": (
                f"org.apache.kafka.common.security.scram.ScramLoginModule required {login};"
            ),
        }
        file = folder / "server.properties"
        file.write_text(render_properties(properties))
        format_ = ["format", "--ignore-formatted", "-t", CLUSTER_ID, "-c", str(file)]
        for name, password in self._users.items():
            format_ += ["--add-scram", f"SCRAM-SHA-512=[name={name},password={password}]"]
        done = subprocess.run([*java, "kafka.tools.StorageTool", *format_], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        with (folder / "broker.log").open("wb") as log:
            self._brokers.append(
                subprocess.Popen([*java, "kafka.Kafka", str(file)], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            )

    def _wait(self) -> None:
        deadline = time.monotonic() + START_S
        while not asyncio.run(self._all_there()):
            for number, broker in enumerate(self._brokers):
                log = (self._folder / f"broker{number}" / "broker.log").read_text()[-4000:]
                assert broker.poll() is None, log
                assert time.monotonic() < deadline, log
            time.sleep(0.2)

    async def _all_there(self) -> bool:
        """Whether the administrator signs in, and every broker is in the cluster."""
        admin = AIOKafkaAdminClient(**client_options(self.connection(ADMINISTRATOR)))
        try:
            await admin.start()
            return len((await admin.describe_cluster())["brokers"]) == len(self._ports)
        except KafkaError:
            return False
        finally:
            await admin.close()


def _certificate(authority: Path) -> Path:
    """A certificate for 127.0.0.1 that signs itself. Returns the file with its key, as Kafka reads it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    public = certificate.public_bytes(Encoding.PEM)
    authority.write_bytes(public)
    keys = authority.with_name("keys.pem")
    keys.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + public)
    return keys

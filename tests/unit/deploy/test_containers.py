"""The container files say what the product takes: commands, settings, the broker's configuration."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from cli.main import app
from deploy.kafka.config import CLUSTER_ID, server_properties
from deploy.kafka.jars import read_jar_list
from deploy.settings import KafkaEnvironment, Settings, load_settings, url_variable
from providers.registry import base_urls

ROOT = Path(__file__).parents[3]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.kafka.yml").read_text())
BROKERS = ("kafka-1", "kafka-2", "kafka-3")
OURS = {name: one for name, one in COMPOSE["services"].items() if one["image"] == "livedesk"}
MANIFESTS = [
    document
    for file in sorted((ROOT / "deploy" / "kubernetes").rglob("*.yaml"))
    for document in yaml.safe_load_all(file.read_text())
]

OF_A_CLUSTER = {
    "controller.quorum.voters": "1@kafka-1:9093,2@kafka-2:9093,3@kafka-3:9093",
    "listeners": "PLAINTEXT://:9092,CONTROLLER://:9093,HOST://:9094",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,HOST:PLAINTEXT",
    "inter.broker.listener.name": "PLAINTEXT",
    "default.replication.factor": "3",
    "min.insync.replicas": "2",
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    "share.coordinator.state.topic.replication.factor": "3",
    "share.coordinator.state.topic.min.isr": "2",
}


def containers() -> Iterator[dict[str, Any]]:
    for manifest in MANIFESTS:
        yield from manifest.get("spec", {}).get("template", {}).get("spec", {}).get("containers", [])


@pytest.mark.parametrize("number", [1, 2, 3])
def test_brokers_in_containers_have_the_embedded_one_s_settings_but_for_a_cluster_s(number: int) -> None:
    broker = COMPOSE["services"][f"kafka-{number}"]
    port = 19191 + number
    of_its_own = {
        "node.id": str(number),
        "advertised.listeners": f"PLAINTEXT://kafka-{number}:9092,HOST://127.0.0.1:{port}",
    }
    embedded = server_properties(port=9092, controller_port=9093, log_dir=Path("/var/lib/kafka/data"))
    wanted = {f"KAFKA_{n.upper().replace('.', '_')}": v for n, v in (embedded | OF_A_CLUSTER | of_its_own).items()}
    assert broker["environment"] == wanted | {"CLUSTER_ID": CLUSTER_ID}
    assert broker["ports"] == [f"127.0.0.1:{port}:9094"]
    assert broker["volumes"] == [f"kafka-{number}:{embedded['log.dirs']}"]


def test_they_run_the_version_that_the_tests_run() -> None:
    assert {COMPOSE["services"][name]["image"] for name in BROKERS} == {f"apache/kafka:{read_jar_list().version}"}


COMMANDS = [
    *(pytest.param(one["command"], id=f"compose-{name}") for name, one in OURS.items()),
    *(pytest.param(one["args"], id=f"kubernetes-{one['name']}") for one in containers()),
]


@pytest.mark.parametrize("arguments", COMMANDS)
def test_commands_in_containers_are_those_of_the_product(arguments: list[str]) -> None:
    command, rest, parent = get_command(app), list(arguments), None
    # As click does, but that nothing is invoked. Raises UsageError.
    while True:
        with command.make_context(arguments[0], rest, parent=parent) as parent:
            rest = [*parent._protected_args, *parent.args]
            if not rest or not hasattr(command, "resolve_command"):
                assert rest == [] or command.name == "worker"
                return
            _, command, rest = command.resolve_command(parent, rest)
            assert command is not None


ENVIRONMENTS = [
    *(pytest.param(one["environment"], id=f"compose-{name}") for name, one in OURS.items()),
    *(pytest.param(one["data"], id="kubernetes") for one in MANIFESTS if one["kind"] == "ConfigMap"),
]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_their_settings_are_the_product_s(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    known = {f"LIVEDESK_{name.upper()}" for name in Settings.model_fields}
    known |= {url_variable(api) for api in base_urls()}
    known |= {f"KAFKA_{name.upper()}" for name in KafkaEnvironment.model_fields}
    assert {name for name in environment if not name.startswith("AWS_")} <= known
    for name, value in environment.items():
        # ${NAME:-default}: what compose makes of it where nothing is set.
        monkeypatch.setenv(name, value.partition(":-")[2].partition("}")[0] if value.startswith("$") else value)
    if environment.get("KAFKA_SECURITY_PROTOCOL") == "SASL_SSL":  # the user is in the secret
        monkeypatch.setenv("KAFKA_SASL_USERNAME", "livedesk")
        monkeypatch.setenv("KAFKA_SASL_PASSWORD", "secret")
    assert load_settings().replication_factor == 3


def test_every_container_of_ours_is_confined() -> None:
    for one in containers():
        assert one["securityContext"] == {
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        }
    for service in OURS.values():
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]


def test_every_manifest_is_part_of_what_is_applied() -> None:
    for kustomization in (ROOT / "deploy" / "kubernetes").rglob("kustomization.yaml"):
        files = {file.name for file in kustomization.parent.glob("*.yaml")} - {"kustomization.yaml"}
        listed = yaml.safe_load(kustomization.read_text())["resources"]
        assert files == {name for name in listed if name.endswith(".yaml")}

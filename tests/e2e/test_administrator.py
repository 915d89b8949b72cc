"""A new administrator: a channel at each provider, its address pasted there, a customer who writes and is greeted."""

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from bus.connection import KafkaConnection
from deploy.kafka.broker import free_port
from tests.e2e.livedesk import environment, running

pytestmark = pytest.mark.broker

SECONDS = 60.0
SID = "AC" + "5" * 32
CHANNELS: dict[str, tuple[str, dict[str, str], dict[str, str]]] = {
    "engagelab": ("+34600777001", {}, {"dev_key": "k-new", "dev_secret": "s-new"}),
    "whatsapp_cloud": (
        "+34600777002",
        {"phone_number_id": "5501"},
        {"access_token": "t-new", "app_secret": "a-new", "verify_token": "v-new"},
    ),
    "twilio": ("+34600777003", {"account_sid": SID}, {"auth_token": "t-new"}),
}
CUSTOMER = "34655123123"


class Administrator:
    """The commands, as they are typed, and the sandbox's own routes in place of the provider's web page."""

    def __init__(self, env: dict[str, str], control: int, sandbox: int) -> None:
        self._env = env | {"LIVEDESK_API_URL": f"http://127.0.0.1:{control}"}
        self._sandbox = f"http://127.0.0.1:{sandbox}/sandbox"

    def livedesk(self, *arguments: str, **variables: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "cli.main", *arguments]
        env = self._env | variables
        done = subprocess.run(
            command, env=env, capture_output=True, text=True, timeout=SECONDS, check=False, stdin=subprocess.DEVNULL
        )
        return done.returncode, done.stdout + done.stderr

    def create(self, provider: str, number: str, fields: dict[str, str], secrets: dict[str, str]) -> tuple[int, str]:
        options = [word for name, value in fields.items() for word in ("--field", f"{name}={value}")]
        variables = {f"LIVEDESK_CHANNEL_{name.upper()}": value for name, value in secrets.items()}
        named = ("--provider", provider, "--id", f"new-{provider}", "--name", "New", "--number", number)
        return self.livedesk("channel", "create", *named, *options, **variables)

    def at_provider(self, path: str, body: object | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._sandbox + path, data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.loads(response.read())

    def sent(self) -> list[str | None]:
        return [entry["text"] for entry in self.at_provider(f"/log?contact={CUSTOMER}")]


def wait_until(condition: Any, output: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, output.read_text()
        time.sleep(0.1)


def test_each_provider_s_channel_greets_its_first_customer(
    kafka: KafkaConnection, topic_prefix: str, tmp_path: Path
) -> None:
    env, output = environment(kafka, tmp_path, topic_prefix), tmp_path / "output"
    ports = {name: free_port() for name in ("port", "control-port", "worker-port", "sandbox-port")}
    options = [word for name, port in ports.items() for word in (f"--{name}", str(port))]
    with running(["up", *options], {**os.environ, **env}, output) as up:
        wait_until(lambda: "LiveDesk runs." in output.read_text() or up.poll() is not None, output)
        assert up.poll() is None, output.read_text()
        admin = Administrator(env, ports["control-port"], ports["sandbox-port"])
        for provider, (number, fields, secrets) in CHANNELS.items():
            account = {"id": provider, "provider": provider, "phone_number": number, **fields, **secrets}
            admin.at_provider("/accounts", account)
            wrong = dict.fromkeys(secrets, "wrong")
            code, said = admin.create(provider, number, fields, wrong)
            assert (code, "Traceback" in said) == (1, False), said
            assert any(name in said for name in secrets), said
            code, said = admin.create(provider, number, fields, secrets)
            assert code == 0, said
            assert not any(secret in said for secret in secrets.values()), said
            address = re.search(r"^webhook +(\S+)$", said, re.MULTILINE)
            assert address, said
            admin.at_provider("/accounts", {"id": provider, "callback_url": address[1]})
            file = tmp_path / "greeting.yaml"
            file.write_text(f"greeting: {{enabled: true, text: Welcome to {provider}}}")
            code, said = admin.livedesk("channel", "edit", f"new-{provider}", "--file", str(file))
            assert code == 0, said
            written = {"contact": CUSTOMER, "name": "Ana", "text": "hola"}
            admin.at_provider(f"/customers/write?account={provider}", written)
            wait_until(lambda: f"Welcome to {provider}" in admin.sent(), output)  # noqa: B023 - within this round
        code, said = admin.create("twilio", CHANNELS["engagelab"][0], *CHANNELS["twilio"][1:])
        assert code == 1
        assert "phone_number: channel 'new-engagelab' has it already" in said

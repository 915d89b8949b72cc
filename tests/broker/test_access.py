"""Tokens and users from the terminal, on a real Kafka."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import ClientSession
from cryptography.fernet import Fernet
from typer.testing import CliRunner

from bus.connection import KafkaConnection
from cli.main import app
from deploy.access import Access, open_access, terminal
from deploy.errors import LiveDeskError
from deploy.kafka.committed import committed_reader
from deploy.kafka.topics import apply
from deploy.processes.control import ControlServer
from deploy.settings import Settings
from desk.access.passwords import Passwords
from desk.access.tables import TableStore
from desk.view.database import Database, sqlite_url
from schemas.events.access import AuditRecorded, Grant, Role
from schemas.record import decode
from schemas.topics import ACCESS, ACCOUNT_INBOX, AUDIT, CHANNELS, CONVERSATIONS, DIRECTORY, INBOX, KNOWLEDGE
from streams.clock import wall_clock
from tests.support.access import Browser

PASSWORD = "planted password"


@pytest.fixture
def settings(kafka: KafkaConnection, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    asyncio.run(apply(kafka, topic_prefix, (ACCESS, AUDIT), partitions=2, replication_factor=1))
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap_servers)
    monkeypatch.setenv("LIVEDESK_TOPIC_PREFIX", topic_prefix)
    monkeypatch.setenv("LIVEDESK_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("LIVEDESK_SECRET_KEY", Fernet.generate_key().decode())
    return Settings()


def run(*words: str, stdin: str | None = None) -> str:
    result = CliRunner().invoke(app, words, input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def access(settings: Settings) -> Access:
    async def read() -> Access:
        async with open_access(settings) as found:
            return found

    return asyncio.run(read())


def written(settings: Settings) -> list[bytes]:
    async def read() -> list[bytes]:
        async with committed_reader(settings.kafka) as reader:
            topics = [topic.full_name(settings.topic_prefix) for topic in (ACCESS, AUDIT)]
            return [m.value for name in topics for m in await reader.read(await reader.partitions(name))]

    return asyncio.run(read())


def test_a_token_is_made_listed_and_revoked(settings: Settings) -> None:
    secret = run("token", "create", "script", "--role", "agent", "--account", "main", "--agent", "irene").strip()
    actor = access(settings).directory.find(secret, wall_clock())
    assert actor is not None
    assert actor.grant == Grant(role=Role.AGENT, account="main", agent="irene")
    made: Any = orjson.loads(run("token", "create", "short", "--role", "read", "--days", "1", "--json"))
    later = access(settings).directory
    assert later.find(made["secret"], wall_clock()) is not None
    assert later.find(made["secret"], wall_clock() + timedelta(days=1)) is None
    listed: Any = orjson.loads(run("token", "list", "--json"))
    assert {token["name"] for token in listed["tokens"]} == {"script", "short"}
    shown = run("token", "list")
    assert "agent in main, as irene" in shown
    run("token", "revoke", made["token"]["id"])
    assert access(settings).directory.find(made["secret"], wall_clock()) is None
    with pytest.raises(LiveDeskError, match="no token"):
        run("token", "revoke", made["token"]["id"])
    assert [one for one in (secret, made["secret"]) if one in shown or one in str(listed)] == []
    values = written(settings)
    assert [value for value in values if secret.encode() in value or made["secret"].encode() in value] == []
    audited = [decode(value, AUDIT.types).event for value in values if b'"audit.recorded"' in value]
    done = [(one.actor, one.action) for one in audited if isinstance(one, AuditRecorded)]
    assert sorted(done) == [(terminal().id, name) for name in ("create_token", "create_token", "revoke_token")]


def test_a_user_is_made_disabled_and_given_a_password(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(PASSWORD + "\n")
    run("user", "create", "Marta@example.com", "--name", "Marta", "--role", "admin", "--password-file", str(file))
    user = access(settings).directory.user_by_login("marta@example.com")
    assert user is not None
    assert asyncio.run(Passwords().check(user.password, PASSWORD)).right
    run("user", "create", "sso@example.com", "--role", "read", "--no-password")
    with pytest.raises(LiveDeskError, match="already"):
        run("user", "create", "MARTA@example.com", "--role", "read", "--no-password")
    run("user", "disable", "marta@example.com")
    assert "disabled, signs in with a password" in run("user", "list")
    run("user", "enable", "marta@example.com")
    run("user", "password", "marta@example.com", "--password-file", "-", stdin="another planted one\n")
    run("user", "password", "sso@example.com", stdin="asked for twice\nasked for twice\n")
    changed = access(settings).directory
    marta, sso = changed.user_by_login("marta@example.com"), changed.user_by_login("sso@example.com")
    assert marta is not None
    assert sso is not None
    assert asyncio.run(Passwords().check(marta.password, "another planted one")).right
    assert asyncio.run(Passwords().check(sso.password, "asked for twice")).right
    assert marta.epoch == 3
    with pytest.raises(LiveDeskError, match="most common"):
        run("user", "password", "marta@example.com", "--password-file", "-", stdin="password1\n")
    with pytest.raises(LiveDeskError, match="no user"):
        run("user", "disable", "nobody@example.com")
    listed = run("user", "list", "--json")
    for hidden in (PASSWORD, "another planted one", str(marta.password)):
        assert hidden not in listed
    assert [value for value in written(settings) if b"planted" in value] == []


async def soon(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(2):
        while not await holds():  # noqa: ASYNC110 - another process is asked
            await asyncio.sleep(0.02)


async def test_two_processes_know_the_same_people_and_sessions(settings: Settings, tmp_path: Path) -> None:
    topics = (CHANNELS, DIRECTORY, CONVERSATIONS, INBOX, ACCOUNT_INBOX, KNOWLEDGE)
    await apply(settings.kafka, settings.topic_prefix, topics, partitions=1, replication_factor=1)
    database = Database(sqlite_url(tmp_path / "desk.db"))
    await database.migrate()
    async with (
        ControlServer(settings, store=TableStore(database)) as one,
        ControlServer(settings, store=TableStore(database)) as other,
        ClientSession() as client,
    ):
        admin = Browser(client, one.url)
        admin.headers |= one.headers
        form: Any = {"login": "marta@example.com", "name": "Marta", "grant": {"role": "read"}, "password": PASSWORD}
        assert (await admin.call("POST", "/v1/users", form))[0] == 201
        marta, again = Browser(client, other.url), Browser(client, one.url)

        there = Browser(client, other.url)
        there.headers |= other.headers

        async def known() -> bool:
            return bool((await there.call("GET", "/v1/users"))[1]["users"])

        await soon(known)
        assert (await marta.sign_in("marta@example.com", PASSWORD))[0] == 201
        again.cookies = dict(marta.cookies)
        assert (await again.call("GET", "/v1/session"))[1]["name"] == "Marta"
        assert (await again.call("DELETE", "/v1/sessions"))[0] == 200

        async def signed_out() -> bool:
            return (await marta.call("GET", "/v1/session"))[0] == 401

        await soon(signed_out)
    await database.close()


def test_without_topics_or_the_key_it_is_said_what_to_do(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, topic_prefix: str
) -> None:
    monkeypatch.setenv("LIVEDESK_TOPIC_PREFIX", f"{topic_prefix}other.")
    with pytest.raises(LiveDeskError, match="There is no topic"):
        run("token", "list")
    monkeypatch.delenv("LIVEDESK_SECRET_KEY")
    with pytest.raises(LiveDeskError, match="key is not here"):
        run("token", "list")

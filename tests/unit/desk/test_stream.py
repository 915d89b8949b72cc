"""The stream over real HTTP: who is told what, how it goes on, and when it ends. On SQLite."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest
from aiohttp import ClientResponse, ClientSession, ClientTimeout

from desk.access.permissions import Actor
from desk.access.writer import UserFields
from desk.api import stream
from desk.view.applier import Applier
from desk.view.database import Database, database_url, sqlite_url
from desk.view.queries import Queries
from schemas.events.access import Grant, Role
from schemas.events.conversation import Assignee, ConversationAssigned, ConversationMessageReceived, Header
from schemas.events.people import PresenceChanged
from tests.support.access import Browser
from tests.support.ingress import Ingress, running
from tests.support.view import START, message, write
from tests.unit.desk.test_reading_routes import conversation, log

STREAM = "/v1/accounts/main/stream"
ROOT = Actor("test", "", Grant(role=Role.ADMIN))
ZOE = conversation("c1", "34600000001", "irene", contact_name="Zoë")
OF_PAUL = conversation("c2", "34600000002", "paul")


class Event(NamedTuple):
    name: str
    data: dict[str, Any]


class Listener:
    """A client of the stream. id: the last that it was given."""

    def __init__(self, answer: ClientResponse) -> None:
        self.answer, self.id = answer, ""

    async def next(self) -> Event | None:
        """The next event; None: the stream has ended."""
        name = ""
        async with asyncio.timeout(10):
            async for line in self.answer.content:
                field, _, value = line.decode().rstrip("\n").partition(": ")
                match field:
                    case "id":
                        self.id = value
                    case "event":
                        name = value
                    case "data":
                        return Event(name, orjson.loads(value))
        return None

    async def id_after(self, event: str) -> str:
        """Read up to an event, and then the id behind it."""
        while (found := await self.next()) is None or found.name != event:
            assert found is not None
        self.id = ""
        async with asyncio.timeout(10):
            async for line in self.answer.content:
                if line.startswith(b"id: "):
                    return line[4:].decode().strip()
        raise AssertionError("ended")


class Desk:
    """The API, a client, and the view to which the test writes."""

    def __init__(self, ingress: Ingress, client: ClientSession, database: Database) -> None:
        self.ingress, self.client, self.database = ingress, client, database
        self._applier = Applier(database)
        self._offset = len(log())

    @asynccontextmanager
    async def listening(self, token: str, since: str | None = None, **headers: str) -> AsyncIterator[Listener]:
        sent = {"Authorization": f"Bearer {token}"} if token else {}
        sent |= headers | ({} if since is None else {"Last-Event-ID": since})
        async with self.client.get(self.ingress.control_url + STREAM, headers=sent) as answer:
            assert answer.status == 200, await answer.text()
            listener = Listener(answer)
            if since is None:
                async with asyncio.timeout(10):
                    listener.id = (await answer.content.readline()).decode().removeprefix("id: ").strip()
            yield listener

    async def write(self, head: Header, event: Any = None, topic: str = "conversations") -> None:
        """An event of a conversation: a message of its customer's, unless another one is given."""
        self._offset += 1
        received = ConversationMessageReceived(
            header=head, message_id=f"m{self._offset}", at=START, kind="text", text="x" * 1_000
        )
        key = f"{head.channel}:{head.contact}" if topic == "conversations" else "main"
        await write(self._applier, [message(topic, self._offset, event or received, key=key)])
        self.ingress.freshness.progress.wake()

    def agent(self, agent: str) -> str:
        return self.ingress.token(Role.AGENT, account="main", agent=agent)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    database = Database(database_url(sqlite_url(tmp_path / "desk.db").render_as_string()))
    await database.migrate()
    await write(Applier(database), log())
    async with running(queries=Queries(database)) as (ingress, client):
        client._timeout = ClientTimeout(total=None)
        yield Desk(ingress, client, database)
    await database.close()


async def test_each_is_told_of_what_they_may_see(desk: Desk) -> None:
    async with desk.listening(desk.agent("irene")) as irene, desk.listening(desk.ingress.token()) as admin:
        assert irene.answer.content_type == "text/event-stream"
        await desk.write(OF_PAUL)
        await desk.write(ZOE)
        for event, ids in ((await irene.next(), {"c1"}), (await admin.next(), {"c1", "c2"})):
            assert event is not None
            assert event.name == "conversation"
            assert event.data["id"] in ids
            assert event.data["contact_name"] in ("Zoë", None)
        await desk.write(ZOE, PresenceChanged(agent="paul", state="online"), topic="account-inbox")
        found = await irene.next()
        assert found == Event("agent", {"id": "paul"})


async def test_it_goes_on_from_the_last_id(desk: Desk) -> None:
    token = desk.agent("irene")
    async with desk.listening(token) as irene:
        await desk.write(ZOE)
        since = await irene.id_after("conversation")
    async with desk.listening(token, since) as irene:
        await desk.write(ZOE, PresenceChanged(agent="paul", state="online"), topic="account-inbox")
        assert await irene.next() == Event("agent", {"id": "paul"})
    # What came while nobody listened.
    await desk.write(ZOE)
    async with desk.client.get(
        desk.ingress.control_url + STREAM, headers={"Authorization": f"Bearer {token}", "Last-Event-ID": since}
    ) as answer:
        names = [(await Listener(answer).next()), (await Listener(answer).next())]
        assert [event.name for event in names if event] == ["conversation", "agent"]
    async with desk.client.get(
        desk.ingress.control_url + STREAM, headers={"Authorization": f"Bearer {token}", "Last-Event-ID": "of-another"}
    ) as answer:
        assert await Listener(answer).next() == Event("reload", {})


async def test_a_conversation_that_goes_to_another_makes_its_agent_read_again(desk: Desk) -> None:
    # Paul's teams are none, so that he alone sees his.
    async with desk.listening(desk.agent("paul")) as paul, desk.listening(desk.agent("irene")) as irene:
        holder, to = Assignee(kind="human", id="paul"), Assignee(kind="human", id="irene")
        given = ConversationAssigned(
            header=OF_PAUL.model_copy(update={"assignee": to, "revision": 2}), previous=holder, revision=2, by="person"
        )
        await desk.write(OF_PAUL, given)
        assert await paul.next() == Event("reload", {})
        event = await irene.next()
        assert event is not None
        assert (event.name, event.data["id"], event.data["assignee"]) == ("conversation", "c2", "human/irene")


async def test_it_ends_with_its_token(desk: Desk) -> None:
    token = desk.ingress.token(Role.READ, account="main")
    async with desk.listening(token) as listener:
        id = next(one.id for one in desk.ingress.access.tokens() if one.grant.role is Role.READ)
        await desk.ingress.door.writer.revoke_token(ROOT, id)
        assert await listener.next() is None
    async with desk.client.get(
        desk.ingress.control_url + STREAM, headers={"Authorization": f"Bearer {token}"}
    ) as answer:
        assert answer.status == 401


async def test_another_grant_is_heeded_and_a_disabled_user_s_stream_ends(desk: Desk) -> None:
    writer, grant = desk.ingress.door.writer, Grant(role=Role.AGENT, account="main", agent="irene")
    password = await desk.ingress.door.passwords.hash("a long password")
    user = await writer.create_user(ROOT, "irene@example.com", UserFields(grant=grant, password=password))
    browser = Browser(desk.client, desk.ingress.control_url)
    assert (await browser.sign_in("irene@example.com", "a long password"))[0] == 201
    cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    async with desk.listening("", Cookie=cookie) as listener:
        await desk.write(ZOE)
        event = await listener.next()
        assert event is not None
        assert event.data["id"] == "c1"
        # Another grant is another epoch: their sessions end, and with them the stream.
        await writer.change_user(ROOT, user.id, UserFields(grant=Grant(role=Role.READ, account="other")))
        desk.ingress.freshness.progress.wake()
        assert await listener.next() is None


async def test_other_teams_of_one_s_own_make_one_read_again(desk: Desk) -> None:
    async with desk.listening(desk.agent("irene")) as irene:
        agent = desk.ingress.directory.agent("main", "irene")
        await desk.ingress.people.save("main", agent.model_copy(update={"teams": ("back",)}))
        desk.ingress.freshness.progress.wake()
        assert await irene.next() == Event("reload", {})


async def test_a_caller_has_so_many_streams_and_no_more(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "PER_CALLER", 1)
    token = desk.agent("irene")
    headers = {"Authorization": f"Bearer {token}"}
    async with desk.listening(token), desk.client.get(desk.ingress.control_url + STREAM, headers=headers) as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (429, "5")
        assert (await answer.json(content_type=None))["code"] == "too_many_streams"
        async with desk.listening(desk.agent("paul")):
            pass
    async with asyncio.timeout(10):
        while True:  # whoever has left is noticed at the next look
            desk.ingress.freshness.progress.wake()
            async with desk.client.get(desk.ingress.control_url + STREAM, headers=headers) as answer:
                if answer.status == 200:
                    return


async def test_a_client_that_takes_nothing_is_cut_off(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "_TAKE_S", 0.2)
    host, port = desk.ingress.control_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1_000)
    token = desk.ingress.token()
    writer.write(f"GET {STREAM} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
    assert await reader.read(12) == b"HTTP/1.1 200"
    async with asyncio.timeout(60):
        while desk.ingress.streams.open:
            await desk.write(ZOE.model_copy(update={"contact_name": "x" * 500_000}))
    writer.close()


async def test_streams_end_when_the_process_does(desk: Desk) -> None:
    async with desk.listening(desk.ingress.token()) as listener:
        desk.ingress.streams.close()
        assert await listener.next() is None


def take_away(file: Path) -> None:
    """Put a folder where the database is."""
    file.rename(file.with_suffix(".kept"))
    file.mkdir()


def bring_back(file: Path) -> None:
    file.rmdir()
    file.with_suffix(".kept").rename(file)


async def test_where_the_database_is_away_the_stream_ends_and_goes_on_when_it_is_back(desk: Desk) -> None:
    file, token = Path(desk.database.url.database or ""), desk.ingress.token()
    async with desk.listening(token) as listener:
        since = listener.id
        await desk.database.close()
        take_away(file)
        desk.ingress.freshness.progress.wake()
        assert await listener.next() is None
    headers = {"Authorization": f"Bearer {token}"}
    async with desk.client.get(desk.ingress.control_url + STREAM, headers=headers) as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
        assert (await answer.json(content_type=None))["code"] == "database_unavailable"
    bring_back(file)
    await desk.write(ZOE)
    async with desk.listening(token, since) as listener:
        event = await listener.next()
        assert event is not None
        assert event.data["id"] == "c1"

"""Reading over HTTP: what is listed, found and shown, to whom, and by pages. On SQLite."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from desk import freshness
from desk.view.applier import Applier, Place, Read
from desk.view.database import Database, database_url, sqlite_url
from desk.view.queries import Queries
from schemas.event import Event
from schemas.events.access import Role
from schemas.events.channels import ChannelSaved
from schemas.events.conversation import (
    Assignee,
    ConversationCommandRefused,
    ConversationMessageReceived,
    ConversationNoteAdded,
    ConversationOpened,
    Header,
    Status,
)
from schemas.events.reports import ReportUpdated
from schemas.settings.channel import ChannelSettings, to_stored
from tests.support.access import scramble
from tests.support.ingress import FILE, running
from tests.support.view import START, Message, header, message, write
from tests.unit.desk.test_control import Control, Json, refusal

ALL = "/v1/accounts/main/conversations"


def conversation(id: str, contact: str, agent: str | None, **more: object) -> Header:
    assignee = None if agent is None else Assignee(kind="human", id=agent)
    fields = {"channel": "desk", "contact": contact, "assignee": assignee, "routed": True}
    return header(id=id, **{**fields, **more})


class Log:
    """Records of the conversations topic, each with the next offset."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def add(self, event: Event, key: str) -> None:
        self.messages.append(message("conversations", len(self.messages), event, key=key))

    def converse(self, head: Header, *texts: str) -> None:
        key = f"{head.channel}:{head.contact}"
        self.add(ConversationOpened(header=head), key)
        for number, text in enumerate(texts):
            at = START + timedelta(seconds=number)
            received = ConversationMessageReceived(
                header=head, message_id=f"{head.conversation_id}-{number}", at=at, kind="text", text=text
            )
            self.add(received, key)


def log() -> list[Message]:
    log = Log()
    log.converse(conversation("c1", "34600000001", "irene", contact_name="Zoë"), "¿Dónde está mi pedido?", "Hola")
    log.converse(conversation("c2", "34600000002", "paul", status=Status.SNOOZED), "factura")
    log.converse(conversation("c3", "34600000003", None, labels=("vip",), unread=1, waiting_since=START), "hola")
    log.converse(conversation("c4", "34600000004", "irene", channel="other"), "hola secreto")
    zoe = conversation("c1", "34600000001", "irene", contact_name="Zoë")
    note = ConversationNoteAdded(header=zoe, note_id="n", text="llama", reason="note")
    log.add(note, "desk:34600000001")
    refused = ConversationCommandRefused(command_id="r1", command="command.mute", code="muted", reason="it is")
    log.add(refused, "desk:34600000002")
    other = ChannelSettings(id="other", account="other", phone_number="+34611000999")
    channels = [
        message(
            "channels", place, ChannelSaved.model_validate({"settings": to_stored(one, scramble)}), key=f"{one.id}/1"
        )
        for place, one in enumerate((*FILE.channels, other))
    ]
    figures = [
        message("reports", place, ReportUpdated(channel=channel, agent=agent, day=START.date(), **one), key=f"{place}")
        for place, (channel, agent, one) in enumerate(
            (
                ("desk", None, {"kind": "conversations", "counts": {"opened": 3}}),
                ("desk", "irene", {"kind": "conversations", "counts": {"resolved": 2}}),
                ("desk", "irene", {"kind": "satisfaction", "counts": {"sent": 2, "rating_5": 1}}),
                ("cloud", "paul", {"kind": "conversations", "counts": {"resolved": 1}}),
                ("other", "irene", {"kind": "conversations", "counts": {"resolved": 9}}),
            )
        )
    ]
    return [*channels, *log.messages, *figures]


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(database_url(sqlite_url(tmp_path / "desk.db").render_as_string()))
    await database.migrate()
    await write(Applier(database), log())
    yield database
    await database.close()


@pytest.fixture
async def control(database: Database) -> AsyncIterator[Control]:
    async with running(queries=Queries(database)) as (ingress, client):
        yield Control(ingress, client)


async def ids(control: Control, path: str, name: str = "id") -> list[object]:
    status, answer = await control.send("GET", path)
    assert status == 200, answer
    items = answer["items"]
    assert isinstance(items, list)
    return [item[name] for item in items if isinstance(item, dict)]


async def test_conversations_are_listed_by_what_is_asked(control: Control) -> None:
    assert set(await ids(control, ALL)) == {"c1", "c2", "c3"}
    for query, found in (
        ("status=Snoozed", ["c2"]),
        ("assignee=human/irene", ["c1"]),
        ("assignee=none", ["c3"]),
        ("label=vip", ["c3"]),
        ("waiting=true&order=waiting", ["c3"]),
        ("text=zoe", ["c1"]),
        ("channel=cloud", []),
    ):
        assert await ids(control, f"{ALL}?{query}") == found, query
    assert await ids(control, "/v1/accounts/main/queue") == ["c3"]
    _, counted = await control.send("GET", "/v1/accounts/main/conversations-count?status=Open")
    assert (counted["number"], counted["more"]) == (2, False)


async def test_a_list_comes_by_pages_and_says_how_far_the_view_has_read(control: Control) -> None:
    found: list[object] = []
    cursor = ""
    while True:
        _, page = await control.send("GET", f"{ALL}?limit=1{cursor}")
        assert isinstance(page["items"], list)
        found += [item["id"] for item in page["items"] if isinstance(item, dict)]
        as_of = page["as_of"]
        assert isinstance(as_of, dict)
        assert isinstance(as_of["positions"], dict)
        assert as_of["positions"]["conversations.v1/0"] == len(log()) - 8
        if page["cursor"] is None:
            break
        cursor = f"&cursor={page['cursor']}"
    assert sorted(map(str, found)) == ["c1", "c2", "c3"]
    assert refusal(await control.send("GET", f"{ALL}?cursor=nonsense"))[:2] == (422, "bad_cursor")
    assert refusal(await control.send("GET", f"{ALL}?limit=0"))[2] == ["limit"]
    assert refusal(await control.send("GET", f"{ALL}?assignee=irene"))[2] == ["assignee"]


async def test_a_thread_is_shown_with_notes_the_newest_first(control: Control) -> None:
    _, shown = await control.send("GET", f"{ALL}/c1")
    item = shown["item"]
    assert isinstance(item, dict)
    assert (item["id"], item["status"]) == ("c1", "Open")
    texts = await ids(control, f"{ALL}/c1/thread", "text")
    assert texts == ["llama", "Hola", "¿Dónde está mi pedido?", None]  # that it was opened
    assert await ids(control, f"{ALL}/c1/explanation") == []
    assert await ids(control, f"{ALL}/c1/ai-calls") == []


async def test_messages_are_found_by_words_without_regard_to_accents(control: Control) -> None:
    assert await ids(control, "/v1/accounts/main/search?text=donde%20ped", "conversation") == ["c1"]
    assert set(await ids(control, "/v1/accounts/main/search?text=hola", "conversation")) == {"c1", "c3"}


async def test_an_agent_sees_what_is_theirs_and_what_is_not_is_missing(control: Control) -> None:
    control.token = control.ingress.token(Role.AGENT, account="main", agent="irene")
    assert await ids(control, ALL) == ["c1"]
    assert await ids(control, "/v1/accounts/main/search?text=factura") == []
    missing = await control.send("GET", f"{ALL}/none")
    for path in (
        f"{ALL}/c2",
        f"{ALL}/c2/thread",
        f"{ALL}/c2/explanation",
        f"{ALL}/c2/ai-calls",
        f"{ALL}/c4",
        "/v1/commands/r1",
    ):
        assert await control.send("GET", path) == missing
    _, counted = await control.send("GET", "/v1/accounts/main/conversations-count")
    assert counted["number"] == 1


async def test_an_agent_commands_what_they_see_and_may_write_to_somebody_new(control: Control) -> None:
    control.token = control.ingress.token(Role.AGENT, account="main", agent="irene")
    note: Json = {"type": "note", "text": "x"}
    assert (await control.command(note, contact="34600000001"))[0] == 202
    assert refusal(await control.command(note, contact="34600000002"))[:2] == (404, "not_found")
    assert (await control.command(note, contact="34600000009"))[0] == 202


async def test_another_account_s_are_not_there(control: Control) -> None:
    control.token = control.ingress.token(Role.ADMIN, account="other")
    assert await ids(control, "/v1/accounts/other/conversations") == ["c4"]
    missing = await control.send("GET", "/v1/accounts/other/conversations/none")
    for path in (ALL, f"{ALL}/c1", "/v1/accounts/main/search?text=hola", "/v1/accounts/other/conversations/c1"):
        assert await control.send("GET", path) == missing


async def test_why_a_command_was_refused_can_be_asked_later(control: Control) -> None:
    status, shown = await control.send("GET", "/v1/commands/r1")
    item = shown["item"]
    assert isinstance(item, dict)
    assert (status, item["code"]) == (200, "muted")


async def test_a_query_waits_for_what_its_caller_wrote(
    control: Control, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(freshness, "WAIT_S", 0.1)
    ingress, place = control.ingress, Place("account-inbox.v1", 1)
    agent = "/v1/accounts/main/agents/irene/presence"
    url, headers = ingress.control_url + agent, {"Authorization": f"Bearer {control.token}"}
    ingress.ends[place] = 7
    async with control.client.put(url, json={"state": "online"}, headers=headers) as answer:
        position = answer.headers["View-Position"]
        assert (answer.status, position) == (202, "account-inbox.v1/1:7")
    waits = {"View-Position": position}
    assert refusal(await control.send("GET", ALL, None, **waits))[:2] == (503, "not_read_yet")
    assert (await control.send("GET", ALL))[0] == 200
    monkeypatch.setattr(freshness, "WAIT_S", 10.0)
    asked = asyncio.create_task(control.send("GET", ALL, None, **waits))
    await Applier(database).advance({place: Read(7)}, {})
    assert (await asked)[0] == 200
    ingress.freshness.progress.set({place: 7})
    async with control.client.put(url, json={"state": "online"}, headers=headers) as answer:
        assert "View-Position" not in answer.headers
    for wrong in ("x", "a/1", "a/1:2,", "a/-1:2"):
        assert refusal(await control.send("GET", ALL, None, **{"View-Position": wrong}))[:2] == (400, "bad_position")


@pytest.mark.parametrize(
    ("role", "channels", "groups"),
    [
        (Role.ADMIN, None, {"-": 0, "irene": 2, "paul": 1}),
        (Role.READ, ("cloud",), {"paul": 1}),
        (Role.AGENT, None, {"irene": 2}),
    ],
)
async def test_figures_are_what_the_caller_may_see(
    control: Control, role: Role, channels: tuple[str, ...] | None, groups: dict[str, int]
) -> None:
    control.token = control.ingress.token(role, account="main", channels=channels, agent="irene")
    days = f"from={START.date()}&to={START.date()}"
    status, answer = await control.send("GET", f"/v1/accounts/main/reports?by=agent&{days}")
    assert (status, answer["first"]) == (200, str(START.date()))
    assert {one["group"]: one["conversations"]["resolved"] for one in answer["groups"]} == groups  # type: ignore[union-attr, call-overload, index]
    if "irene" in groups:
        irene = next(one for one in answer["groups"] if one["group"] == "irene")  # type: ignore[union-attr, call-overload, index]
        assert irene["satisfaction"]["satisfaction_pct"] == 100.0  # type: ignore[call-overload, index]


async def test_the_days_of_figures_are_within_reason(control: Control) -> None:
    path = "/v1/accounts/main/reports"
    assert (await control.send("GET", path))[1]["groups"] == []
    assert refusal(await control.send("GET", f"{path}?from=2026-01-02&to=2026-01-01"))[2] == ["from"]
    assert refusal(await control.send("GET", f"{path}?from=2020-01-02&to=2026-01-01"))[2] == ["from"]
    assert refusal(await control.send("GET", f"{path}?by=week"))[2] == ["by"]
    assert (await control.send("GET", f"{path}?to=0001-01-01"))[0] == 200

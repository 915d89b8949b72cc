"""Who is shown a file, and may send it: who sees its conversation, and who uploaded it. On SQLite."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import JsonValue

from desk.view.applier import Applier
from desk.view.database import Database, database_url, sqlite_url
from desk.view.queries import Queries
from schemas.events.access import Role
from schemas.events.content import Attachment, Outgoing
from schemas.events.conversation import Assignee, ConversationAssigned, ConversationMediaStored, ConversationMessageSent
from tests.support.files import PDF, picture
from tests.support.ingress import running
from tests.support.view import START, message, write
from tests.unit.desk.test_control import Control, refusal
from tests.unit.desk.test_reading_routes import conversation, log

FILES = "/v1/channels/desk/media"
ZOE = conversation("c1", "34600000001", "irene", contact_name="Zoë")
OF_PAUL = conversation("c2", "34600000002", "paul")
RECEIVED, PREVIEW, SENT = "in/desk/f1.jpg", "in/desk/f1.preview.webp", "out/desk/f2.pdf"


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(database_url(sqlite_url(tmp_path / "desk.db").render_as_string()))
    await database.migrate()
    stored = ConversationMediaStored(
        header=OF_PAUL,
        message_id="c2-0",
        index=0,
        file=RECEIVED,
        preview=PREVIEW,
        mime_type="image/jpeg",
        size=9,
        sha256="0",
    )
    sent = ConversationMessageSent(
        header=OF_PAUL,
        message_id="s",
        at=START,
        kind="reply",
        content=Outgoing(media=Attachment(kind="document", file=SENT)),
    )
    more = [
        message("conversations", 100 + place, event, key="desk:34600000002")
        for place, event in enumerate((stored, sent))
    ]
    await write(Applier(database), [*log(), *more])
    yield database
    await database.close()


@pytest.fixture
async def control(database: Database) -> AsyncIterator[Control]:
    async with running("https://desk.example", queries=Queries(database)) as (ingress, client):
        for key in (RECEIVED, PREVIEW, SENT):
            await ingress.store.put(key, picture())
        yield Control(ingress, client)


def agent(control: Control, agent: str) -> str:
    return control.ingress.token(Role.AGENT, account="main", agent=agent)


async def shown(control: Control, token: str, file: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    async with control.client.get(f"{control.ingress.control_url}{FILES}/{file}", headers=headers) as answer:
        if answer.status != 200:
            assert (await answer.json(content_type=None))["code"] == "not_found"
        return answer.status


async def sent(control: Control, token: str, file: str, contact: str) -> tuple[int, list[str]]:
    control.token = token
    reply: JsonValue = {"type": "reply", "media": {"kind": "document", "file": file}}
    answer = await control.command(reply, contact=contact)
    return (202, []) if answer[0] == 202 else (answer[0], refusal(answer)[2])


@pytest.mark.parametrize("file", [RECEIVED, PREVIEW, SENT])
async def test_a_file_is_shown_to_who_sees_its_conversation(control: Control, database: Database, file: str) -> None:
    irene, paul = agent(control, "irene"), agent(control, "paul")
    assert (await shown(control, paul, file), await shown(control, irene, file)) == (200, 404)
    for role in (Role.READ, Role.SUPERVISOR):
        assert await shown(control, control.ingress.token(role, account="main"), file) == 200
    assert await shown(control, control.ingress.token(Role.READ, account="other"), file) == 404
    to = Assignee(kind="human", id="irene")
    given = ConversationAssigned(header=OF_PAUL.model_copy(update={"assignee": to}), revision=2, by="person")
    await write(Applier(database), [message("conversations", 200, given, key="desk:34600000002")])
    assert (await shown(control, paul, file), await shown(control, irene, file)) == (404, 200)


async def test_an_agent_sends_no_file_that_they_may_not_see(control: Control) -> None:
    irene, paul = agent(control, "irene"), agent(control, "paul")
    assert await sent(control, paul, SENT, "34600000002") == (202, [])
    assert await sent(control, irene, SENT, "34600000001") == (422, ["media.file"])
    assert await sent(control, irene, "out/desk/none.pdf", "34600000001") == (422, ["media.file"])


async def test_an_upload_is_its_uploader_s_until_it_is_sent(control: Control) -> None:
    irene, paul = agent(control, "irene"), agent(control, "paul")
    headers = {"Authorization": f"Bearer {irene}"}
    async with control.client.post(control.ingress.control_url + FILES, data=PDF, headers=headers) as answer:
        file = (await answer.json())["file"]
    assert (await shown(control, irene, file), await shown(control, paul, file)) == (200, 404)
    assert await sent(control, irene, file, "34600000001") == (202, [])
    assert await sent(control, paul, file, "34600000002") == (422, ["media.file"])
    assert await shown(control, control.ingress.token(Role.SUPERVISOR, account="main"), file) == 200

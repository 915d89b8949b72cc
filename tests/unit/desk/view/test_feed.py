"""The feed: each viewer is told of all that changed and they may see, and of nothing else; in both databases."""

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import given, settings

from desk.view import feed
from desk.view.applier import Applier, Place
from desk.view.database import Database, database_url, sqlite_url
from desk.view.feed import Changes
from desk.view.queries import Queries
from desk.view.visibility import Viewer
from schemas.event import Event
from schemas.events.channels import ChannelSaved
from schemas.events.conversation import Assignee, ConversationAssigned, ConversationMessageSent, ConversationOpened
from schemas.events.people import AgentSaved, PresenceChanged
from schemas.events.receipts import MessageStatusChanged
from tests.support.postgres import new_database
from tests.support.view import START, TOPICS, Message, header, message, write
from tests.unit.desk.view.test_queries import MADE, TEAMS_OF, VIEWERS, Asked, may_see

ADMIN = Viewer("admin", "main", "all")
LUCIA, MARCO = Assignee(kind="human", id="lucia"), Assignee(kind="human", id="marco")
OF_LUCIA = Viewer("agent", "main", "own", agent="lucia")
OF_SALES = Viewer("agent", "main", "team", agent="lucia", teams=frozenset({"sales"}))


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def asked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    if request.param == "sqlite":
        url = sqlite_url(tmp_path_factory.mktemp("feed") / "desk.db").render_as_string()
    else:
        url = new_database(request.getfixturevalue("postgres"))
    with asyncio.Runner() as runner:
        found = Asked(url, runner)
        yield found
        found.run(found.database.close())


async def told(queries: Queries, viewer: Viewer, since: str) -> list[Changes]:
    """All that changed since then, as it is read by and by."""
    found = [await queries.changes(viewer, since)]
    while found[-1].more:
        found.append(await queries.changes(viewer, found[-1].id))
    return found


async def now(queries: Queries) -> str:
    return (await queries.changes(ADMIN, None)).id


def ids(changes: Changes) -> list[str]:
    return sorted(str(item["id"]) for item in changes.conversations)


@settings(max_examples=80, deadline=None)
@given(viewer=VIEWERS)
def test_a_viewer_is_told_of_what_they_may_see_and_of_nothing_else(asked: Asked, viewer: Viewer) -> None:
    begin = asked.run(now(asked.queries)).partition("-")[0] + "-0"
    found = asked.run(told(asked.queries, viewer, begin))
    assert {id for some in found for id in ids(some)} == {made.id for made in MADE if may_see(viewer, made)}
    assert {id for some in found for id in some.agents} == set(TEAMS_OF[viewer.account])


class Written:
    """A view to which one event after the other is written."""

    def __init__(self, database: Database) -> None:
        self.queries, self._applier = Queries(database), Applier(database)
        self._offsets = dict.fromkeys(TOPICS.values(), 0)

    async def write(self, topic: str, event: Event, **envelope: str) -> None:
        one = message(topic, self._offsets[topic], event, **envelope)
        self._offsets[topic] += 1
        await write(self._applier, [one])

    async def begin(self) -> None:
        """The channel, and a conversation of Lucía's with a message."""
        saved = ChannelSaved(settings={"id": "shop", "account": "main", "phone_number": "+34600123456"})
        await self.write("channels", saved, key="shop/1")
        for agent in ("lucia", "marco"):
            await self.write("directory", AgentSaved(agent=agent, teams=("sales",)), key=f"agent/main/{agent}")
        await self.write("conversations", ConversationOpened(header=header(assignee=LUCIA)))
        sent = ConversationMessageSent(header=header(assignee=LUCIA), message_id="m", at=START, kind="reply", text="Hi")
        await self.write("conversations", sent)


@pytest.fixture
async def written(database: Database) -> Written:
    written = Written(database)
    await written.begin()
    return written


async def test_whoever_loses_a_conversation_is_told_to_read_again_and_not_which(written: Written) -> None:
    since = await now(written.queries)
    given = ConversationAssigned(header=header(assignee=MARCO), previous=LUCIA, revision=2, by="person")
    await written.write("conversations", given)
    lost = await written.queries.changes(OF_LUCIA, since)
    assert (ids(lost), lost.reload) == ([], True)
    for viewer in (ADMIN, OF_SALES):
        kept = await written.queries.changes(viewer, since)
        assert (ids(kept), kept.reload) == (["a"], False)


async def test_a_receipt_is_a_change_of_its_message_s_conversation(written: Written) -> None:
    await written.write("conversations", ConversationOpened(header=header(id="later", assignee=LUCIA)))
    since = await now(written.queries)
    receipt = MessageStatusChanged(message_id="m", reported="read", status="read", timestamps={"read": START})
    await written.write("statuses", receipt)
    found = await written.queries.changes(OF_LUCIA, since)
    assert (ids(found), found.agents, found.reload) == (["a"], (), False)


async def test_an_agent_s_presence_is_told_and_other_teams_make_their_members_read_again(written: Written) -> None:
    since = await now(written.queries)
    await written.write("account-inbox", PresenceChanged(agent="marco", state="online"), key="main")
    assert await written.queries.changes(OF_SALES, since) == Changes(await now(written.queries), agents=("marco",))
    since = await now(written.queries)
    await written.write("directory", AgentSaved(agent="marco", teams=("support",)), key="agent/main/marco")
    assert (await written.queries.changes(OF_SALES, since)).reload
    assert not (await written.queries.changes(ADMIN, since)).reload


async def test_a_channel_makes_those_read_again_who_may_see_it(written: Written) -> None:
    since = await now(written.queries)
    saved = ChannelSaved(settings={"id": "hotel", "account": "main", "phone_number": "+34600123457"})
    await written.write("channels", saved, key="hotel/1")
    assert (await written.queries.changes(ADMIN, since)).reload
    for viewer in (Viewer("admin", "other", "all"), Viewer("admin", "main", "channels", frozenset({"shop"}))):
        assert await written.queries.changes(viewer, since) == Changes(await now(written.queries))


@pytest.mark.parametrize(
    "since", ["", "x", "other-1", "{epoch}-", "{epoch}--1", "{epoch}-99999", "{epoch}-" + "9" * 40, "{epoch}-²"]
)
async def test_an_id_that_is_none_of_this_feed_s_means_to_read_again(written: Written, since: str) -> None:
    epoch = (await now(written.queries)).partition("-")[0]
    found = await written.queries.changes(ADMIN, since.format(epoch=epoch))
    assert found == Changes(await now(written.queries), reload=True)


async def test_only_the_newest_changes_are_kept(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "KEPT", 5)
    old = await now(written.queries)
    for _ in range(5):
        await written.write("account-inbox", PresenceChanged(agent="marco", state="online"), key="main")
    still = await now(written.queries)
    assert (await written.queries.changes(ADMIN, old)).agents == ("marco",)
    await written.write("account-inbox", PresenceChanged(agent="marco", state="online"), key="main")
    assert (await written.queries.changes(ADMIN, old)).reload
    assert not (await written.queries.changes(ADMIN, still)).reload


async def test_after_a_rebuild_everybody_reads_again(written: Written, applier: Applier) -> None:
    since = await now(written.queries)
    await applier.forget({Place(topic, 0): 0 for topic in TOPICS}, {name: full for full, name in TOPICS.items()})
    assert (await written.queries.changes(ADMIN, since)).reload


async def test_two_that_write_at_once_number_in_the_order_of_their_commits(database: Database, url: str) -> None:
    saved = ChannelSaved(settings={"id": "shop", "account": "main", "phone_number": "+34600123456"})
    await write(Applier(database), [message("channels", 0, saved, key="shop/1")])
    queries, other = Queries(database), Database(database_url(url))
    since = await now(queries)

    def log(partition: int) -> list[Message]:
        return [
            message("conversations", number, ConversationOpened(header=header(id=f"{partition}-{number}")))._replace(
                partition=partition
            )
            for number in range(60)
        ]

    writing = asyncio.gather(*(write(Applier(one), log(place), batch=1) for place, one in enumerate((database, other))))
    found: list[str] = []
    while not writing.done() or since != await now(queries):
        some = await queries.changes(ADMIN, since)
        since, found = some.id, found + ids(some)
        assert not some.reload
    await writing
    await other.close()
    assert sorted(found) == sorted(f"{partition}-{number}" for partition in (0, 1) for number in range(60))


def test_a_page_of_changes_is_bounded(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "AT_ONCE", 7)
    begin = asked.run(now(asked.queries)).partition("-")[0] + "-0"
    found = asked.run(told(asked.queries, ADMIN, begin))
    assert all(len(some.conversations) <= 7 for some in found)
    assert {id for some in found for id in ids(some)} == {made.id for made in MADE if may_see(ADMIN, made)}

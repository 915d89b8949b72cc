"""Queries: they find what is there, in order, by pages, and nothing that the viewer may not see; in both databases."""

import asyncio
import random
from collections.abc import Coroutine, Iterator, Sequence
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from desk.view.applier import Applier
from desk.view.database import Database, database_url, sqlite_url
from desk.view.pages import InvalidCursor, Page
from desk.view.queries import Counted, Filter, Queries
from desk.view.visibility import Viewer
from schemas.event import Event
from schemas.events.ai import AiCallEnded
from schemas.events.assignment import AssignmentWaiting
from schemas.events.channels import ChannelSaved
from schemas.events.content import Content, Reaction
from schemas.events.conversation import (
    Assignee,
    ConversationCommandRefused,
    ConversationMessageReceived,
    ConversationMessageSent,
    ConversationNoticeReceived,
    ConversationOpened,
    Status,
)
from schemas.events.csat import SurveyRequested
from schemas.events.operations import DeadLettered
from schemas.events.people import AgentSaved, PresenceChanged
from schemas.events.receipts import MessageStatusChanged
from schemas.events.reports import ReportUpdated
from tests.support.postgres import new_database
from tests.support.view import START, Message, header, message, write

Result = TypeVar("Result")

CHANNELS = {"shop": "main", "hotel": "main", "kiosk": "other"}
TEAMS = {"lucia": ("sales",), "marco": ("sales", "support"), "nina": ("support",), "otto": ()}
TEAMS_OF: dict[str, dict[str, tuple[str, ...]]] = {"main": TEAMS, "other": {"lucia": ("support",)}, "nobody": {}}
"""An agent of another account may have the same id."""
ASSIGNEES = [
    None,
    *(Assignee(kind="human", id=agent) for agent in TEAMS),
    *(Assignee(kind="team", id=team) for team in ("sales", "support")),
    Assignee(kind="ai", id="bot"),
]
LABELS = ("vip", "new", "late")
NAMES = ("Ana García", "Łukasz", "Zoë", None)
WORDS = ("parcel", "paquete", "Päckchen", "invoice", "refund")


class Made(NamedTuple):
    """A conversation of the tests."""

    id: str
    channel: str
    status: Status
    assignee: Assignee | None
    labels: tuple[str, ...]
    waiting: bool
    name: str | None
    words: tuple[str, ...]
    contact: str

    @property
    def key(self) -> str:
        return f"{self.channel}:{self.contact}"


def make() -> list[Made]:
    random_ = random.Random(7)
    return [
        Made(
            id=f"c{number:03}",
            channel=random_.choice(list(CHANNELS)),
            status=random_.choice(list(Status)),
            assignee=random_.choice(ASSIGNEES),
            labels=tuple(label for label in LABELS if random_.random() < 0.3),
            waiting=random_.random() < 0.4,
            name=random_.choice(NAMES),
            words=tuple(random_.sample(WORDS, 2)),
            contact=f"346001{number:05}",
        )
        for number in range(120)
    ]


MADE = make()
VIEWERS = st.builds(
    Viewer,
    role=st.sampled_from(["admin", "supervisor", "agent", "read"]),
    account=st.sampled_from(["main", "main", "main", "other", "nobody"]),
    scope=st.sampled_from(["own", "team", "team", "channels", "all"]),
    channels=st.none() | st.frozensets(st.sampled_from([*CHANNELS, "none"])),
    agent=st.none() | st.sampled_from(list(TEAMS)),
    teams=st.frozensets(st.sampled_from(["sales", "support", "sale"])),
)
FILTERS = st.builds(
    Filter,
    status=st.none() | st.sampled_from(list(Status)),
    assignee=st.none() | st.sampled_from([one for one in ASSIGNEES if one]),
    channel=st.none() | st.sampled_from(list(CHANNELS)),
    label=st.none() | st.sampled_from(LABELS),
    waiting=st.booleans(),
)
ADMIN = Viewer("admin", "main", "all")
NAMED: list[str | None] = [*TEAMS, None]
"""To whom figures are credited; None: to nobody."""


def messages() -> list[Message]:
    """Everything that the topics say of the conversations, and of their account."""
    found = []
    for number, (channel, account) in enumerate(CHANNELS.items()):
        saved = ChannelSaved(settings={"id": channel, "account": account, "phone_number": "+34600123456"})
        found.append(message("channels", number, saved, key=f"{channel}/1"))
    people = [(account, *one) for account, agents in TEAMS_OF.items() for one in agents.items()]
    for number, (account, agent, teams) in enumerate(people):
        found.append(message("directory", number, AgentSaved(agent=agent, teams=teams), key=f"agent/{account}/{agent}"))
    found.append(message("account-inbox", 0, PresenceChanged(agent="lucia", state="busy"), key="main"))
    found.append(
        message("account-inbox", 1, PresenceChanged(agent="nina", state="online", source="heartbeat"), key="main")
    )
    letter = DeadLettered(reason="x", stage="assignment", topic="account-inbox", body="")
    found.append(message("dead-letters", 0, letter, key="main", id="of-account"))
    for number, (channel, who) in enumerate(product(CHANNELS, NAMED)):
        figure = ReportUpdated(kind="conversations", channel=channel, day=START.date(), agent=who, counts={"x": 1})
        found.append(message("reports", number, figure, key=f"{channel} {who}"))
    for number, one in enumerate(MADE):
        events: Sequence[tuple[str, Event]] = list(_of(one))
        for index, (topic, event) in enumerate(events):
            found.append(
                message(topic, number * 10 + index, event, key=one.key, channel=one.channel, id=f"{one.id}-{index}")
            )
    return sorted(found, key=lambda one: (one.topic, one.offset))


def _of(one: Made) -> Iterator[tuple[str, Event]]:
    head = header(
        id=one.id,
        channel=one.channel,
        contact=one.contact,
        status=one.status,
        assignee=one.assignee,
        labels=one.labels,
        contact_name=one.name,
        routed=True,
        waiting_since=START + timedelta(minutes=int(one.contact) % 60) if one.waiting else None,
    )
    text = " ".join(one.words)
    yield "conversations", ConversationOpened(header=head)
    yield (
        "conversations",
        ConversationMessageReceived(header=head, message_id=f"in-{one.id}", at=START, kind="text", text=text),
    )
    yield (
        "conversations",
        ConversationMessageSent(
            header=head, message_id=f"out-{one.id}", at=START + timedelta(seconds=5), kind="reply", text="Good day"
        ),
    )
    yield (
        "conversations",
        ConversationNoticeReceived(
            header=head,
            kind="reaction",
            refers_to=f"out-{one.id}",
            at=START + timedelta(seconds=9),
            content=Content(reaction=Reaction(emoji="👍")),
        ),
    )
    read = {"read": START}
    yield "statuses", MessageStatusChanged(message_id=f"out-{one.id}", reported="read", status="read", timestamps=read)
    yield "assignments", AssignmentWaiting(conversation_id=one.id, revision=1, explanation={"because": "no_agents"})
    of = {"survey_id": f"s-{one.id}", "conversation_id": one.id, "channel": one.channel, "contact": one.contact}
    yield "csat", SurveyRequested(**of, resolution=1, asked_at=START)
    call = AiCallEnded(
        request_id="r", conversation_id=one.id, agent="bot", call="model", name="m", outcome="answered", at=START
    )
    yield "ai-calls", call
    yield "dead-letters", DeadLettered(reason="x", stage="intake", topic="webhooks", body="")
    yield (
        "conversations",
        ConversationCommandRefused(command_id=f"command-{one.id}", command="command.reply", code="x", reason="X."),
    )


class Asked:
    """The queries of a database that holds all of it."""

    def __init__(self, url: str, runner: asyncio.Runner) -> None:
        self.run_ = runner.run
        self.database = Database(database_url(url))
        self.queries = Queries(self.database)
        self.run(self.database.migrate())
        self.run(write(Applier(self.database), messages()))

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return self.run_(work)

    def ids(self, page: Page, name: str = "id") -> list[object]:
        return [item[name] for item in page.items]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def asked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    folder: Path = tmp_path_factory.mktemp("desk")
    is_sqlite = request.param == "sqlite"
    url = (
        sqlite_url(folder / "desk.db").render_as_string()
        if is_sqlite
        else new_database(request.getfixturevalue("postgres"))
    )
    with asyncio.Runner() as runner:
        asked = Asked(url, runner)
        yield asked
        asked.run(asked.database.close())


def may_see(viewer: Viewer, one: Made) -> bool:
    """What visible() must say, in other words."""
    if CHANNELS[one.channel] != viewer.account:
        return False
    if viewer.scope == "all":
        return True
    if viewer.channels is not None and one.channel not in viewer.channels:
        return False
    holder = one.assignee
    own = holder is not None and holder.kind == "human" and holder.id == viewer.agent
    match viewer.scope:
        case "channels":
            return True
        case "own":
            return own
    if holder is None or holder.kind == "ai":
        return False
    of = TEAMS_OF[viewer.account].get(holder.id, ()) if holder.kind == "human" else (holder.id,)
    return own or not viewer.teams.isdisjoint(of)


def meets(wanted: Filter, one: Made) -> bool:
    return (
        wanted.status in (None, one.status)
        and wanted.assignee in (None, one.assignee)
        and wanted.channel in (None, one.channel)
        and (wanted.label is None or wanted.label in one.labels)
        and (not wanted.waiting or one.waiting)
    )


@settings(max_examples=60, deadline=None)
@given(viewer=VIEWERS, wanted=FILTERS, limit=st.integers(1, 60))
def test_a_list_has_what_is_wanted_and_may_be_seen_newest_first(
    asked: Asked, viewer: Viewer, wanted: Filter, limit: int
) -> None:
    expected = [one.id for one in reversed(MADE) if may_see(viewer, one) and meets(wanted, one)]
    found: list[object] = []
    cursor: str | None = None
    while True:
        page = asked.run(asked.queries.conversations(viewer, wanted, cursor=cursor, limit=limit))
        assert len(page.items) <= limit
        found += asked.ids(page)
        cursor = page.cursor
        if cursor is None:
            break
    assert found == expected
    assert asked.run(asked.queries.count(viewer, wanted)) == Counted(len(expected), False, page.as_of)


@settings(max_examples=40, deadline=None)
@given(viewer=VIEWERS, one=st.sampled_from(MADE), word=st.sampled_from(WORDS), wanted=FILTERS)
def test_no_answer_holds_what_the_viewer_may_not_see(
    asked: Asked, viewer: Viewer, one: Made, word: str, wanted: Filter
) -> None:
    queries, seen = asked.queries, may_see(viewer, one)
    assert asked.ids(asked.run(queries.conversation(viewer, one.id))) == [one.id] * seen
    assert len(asked.run(queries.thread(viewer, one.id)).items) == 4 * seen
    assert len(asked.run(queries.explanation(viewer, one.id)).items) == seen
    assert len(asked.run(queries.ai_calls(viewer, one.id)).items) == seen
    assert len(asked.run(queries.refusal(viewer, f"command-{one.id}")).items) == seen
    theirs = [made for made in MADE if may_see(viewer, made)]
    in_queue = [
        made.id
        for made in theirs
        if made.status is Status.OPEN and (made.assignee is None or made.assignee.kind == "team")
    ]
    assert asked.ids(asked.run(queries.queue(viewer, limit=200))) == in_queue
    hits = asked.run(queries.search(viewer, word, wanted, limit=200))
    expected = [made.id for made in reversed(theirs) if word in made.words and meets(wanted, made)]
    assert asked.ids(hits, "conversation") == expected
    named = asked.run(queries.find(viewer, "zoe", wanted, limit=200))
    assert asked.ids(named) == [made.id for made in reversed(theirs) if made.name == "Zoë" and meets(wanted, made)]
    letters = asked.run(queries.dead_letters(viewer, limit=200))
    channels = {item["id"] for item in asked.run(queries.channels(viewer)).items} if viewer.leads else set()
    of_account = [viewer.account] if viewer.leads and viewer.scope == "all" and viewer.account == "main" else []
    assert {item["key"] for item in letters.items} == {
        *(made.key for made in MADE if made.channel in channels),
        *of_account,
    }
    figures = asked.run(queries.reports(viewer, None, START.date(), START.date())).items
    known = {item["id"] for item in asked.run(queries.channels(viewer)).items}
    credited: set[str | None] = {*TEAMS, None} if viewer.scope in ("channels", "all") else {viewer.agent} - {None}
    assert {item["key"] for item in figures} == {f"{channel} {agent}" for channel in known for agent in credited}
    load = {item["id"]: item["load"] for item in asked.run(queries.agents(viewer, START)).items}
    held = [made.assignee.id for made in theirs if made.status is Status.OPEN and made.assignee is not None]
    assert load == {agent: held.count(agent) for agent in TEAMS_OF[viewer.account]}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("PAQUETE", "paquete"),
        ("paque", "paquete"),
        ("packchen", "Päckchen"),
        ("Päckchen parcel", None),
        ("quete", None),
        ("¿?", None),
    ],
)
def test_texts_are_found_by_what_words_begin_with(asked: Asked, text: str, found: str | None) -> None:
    page = asked.run(asked.queries.search(ADMIN, text, limit=200))
    words = {word for made in MADE for word in made.words if made.id in asked.ids(page, "conversation")}
    wanted = [made.id for made in reversed(MADE) if CHANNELS[made.channel] == "main" and found in made.words]
    if found is None and " " in text:
        wanted = [
            made.id
            for made in reversed(MADE)
            if CHANNELS[made.channel] == "main" and set(made.words) >= {"Päckchen", "parcel"}
        ]
    assert asked.ids(page, "conversation") == wanted
    assert found is None or found in words


@pytest.mark.parametrize("text", ["34600100007", "600100007", "0007", "c007", "+34 600 100 007".replace(" ", "")])
def test_a_conversation_is_found_by_a_part_of_its_number_and_by_its_id(asked: Asked, text: str) -> None:
    one = MADE[7]
    viewer = Viewer("admin", CHANNELS[one.channel], "all")
    assert one.id in asked.ids(asked.run(asked.queries.find(viewer, text)))


def test_a_message_is_found_by_its_id(asked: Asked) -> None:
    one = next(made for made in MADE if CHANNELS[made.channel] == "main")
    assert asked.ids(asked.run(asked.queries.search(ADMIN, f"out-{one.id}")), "conversation") == [one.id]


def test_a_search_that_may_show_little_goes_on_by_pages(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("desk.view.queries.SCANNED", 10)
    viewer, found, cursor, pages = Viewer("agent", "main", "own", agent="nina"), list[object](), None, 0
    while pages == 0 or cursor is not None:
        page = asked.run(asked.queries.search(viewer, "good", cursor=cursor))
        found, cursor, pages = found + asked.ids(page, "conversation"), page.cursor, pages + 1
    assert found == [made.id for made in reversed(MADE) if may_see(viewer, made)]
    assert pages > 5


def test_a_thread_has_receipts_and_what_is_about_each_message(asked: Asked) -> None:
    one = next(made for made in MADE if CHANNELS[made.channel] == "main")
    first = asked.run(asked.queries.thread(ADMIN, one.id, limit=3))
    notice, sent, received = first.items
    assert (received["text"], received["receipt_status"]) == (" ".join(one.words), None)
    assert (sent["text"], sent["receipt_status"]) == ("Good day", "read")
    about = cast(list[dict[str, object]], sent["about"])
    assert [one["id"] for one in about] == [notice["id"]]
    rest = asked.run(asked.queries.thread(ADMIN, one.id, cursor=first.cursor))
    assert [item["type"] for item in rest.items] == ["conversation.opened"]
    assert rest.cursor is None


def test_those_who_have_waited_longest_are_first(asked: Asked) -> None:
    page = asked.run(asked.queries.conversations(ADMIN, order="waiting", limit=200))
    waiting = [made for made in MADE if made.waiting and CHANNELS[made.channel] == "main"]
    assert asked.ids(page) == [made.id for made in sorted(waiting, key=lambda made: (int(made.contact) % 60, made.id))]


def test_a_heartbeat_holds_for_a_while(asked: Asked) -> None:
    def states(after: int) -> dict[object, object]:
        now = START + timedelta(seconds=after)
        return {item["id"]: item["state"] for item in asked.run(asked.queries.agents(ADMIN, now)).items}

    assert states(60) == {"lucia": "busy", "marco": "offline", "nina": "online", "otto": "offline"}
    assert states(100) == {"lucia": "busy", "marco": "offline", "nina": "offline", "otto": "offline"}


def test_a_count_stops_where_it_is_told(asked: Asked) -> None:
    counted = asked.run(asked.queries.count(ADMIN, up_to=10))
    assert (counted.number, counted.more) == (10, True)


def test_an_answer_says_how_far_the_view_has_read(asked: Asked) -> None:
    as_of = asked.run(asked.queries.conversations(ADMIN)).as_of
    last = {}
    for one in messages():
        last[one.topic, one.partition] = one.offset + 1
    assert as_of.positions == last
    assert as_of.time == max(START + timedelta(seconds=one.offset) for one in messages())


@pytest.mark.parametrize("cursor", ["", "x", "W10=", "WzEsMl0=", "WyIyMDI2LTA2LTAxVDEwOjAwOjAwWiIsMV0="])
def test_a_cursor_of_no_page_is_refused(asked: Asked, cursor: str) -> None:
    with pytest.raises(InvalidCursor):
        asked.run(asked.queries.conversations(ADMIN, cursor=cursor))
    with pytest.raises(InvalidCursor):
        asked.run(asked.queries.search(ADMIN, "parcel", cursor=cursor))

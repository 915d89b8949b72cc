"""Routes that read the view: conversations, threads, the queue, search, agents, dead letters."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, Field, JsonValue, StringConstraints, TypeAdapter

from desk.access.permissions import Actor, Permission
from desk.api.problems import Problem, bad_cursor, not_found
from desk.api.route import Answer, Call, Route
from desk.files import is_of_uploader
from desk.freshness import HEADER
from desk.office import Office
from desk.view.pages import MAX_PAGE, AsOf, InvalidCursor, Page
from desk.view.queries import PAGE, Filter, Queries
from desk.view.visibility import Viewer
from schemas.events.access import Role
from schemas.events.conversation import Assignee, Status
from schemas.settings.types import Id, SettingsModel

_JSON: TypeAdapter[Any] = TypeAdapter(Any)
_ROLES: Final[Mapping[Role, Literal["admin", "supervisor", "read"]]] = {
    Role.ADMIN: "admin",
    Role.SUPERVISOR: "supervisor",
    Role.READ: "read",
}


class AsOfAnswer(BaseModel):
    """How far the view had read: by partition, `topic/number`, the offset of the next record; the newest one's time."""

    positions: dict[str, int]
    time: datetime | None


class PageAnswer(BaseModel):
    """A page of items. cursor: of the next page; null: this is the last one."""

    items: tuple[dict[str, JsonValue], ...]
    cursor: str | None
    as_of: AsOfAnswer


class ItemAnswer(BaseModel):
    """One item."""

    item: dict[str, JsonValue]
    as_of: AsOfAnswer


class CountAnswer(BaseModel):
    """How many there are; more: and some beyond."""

    number: int
    more: bool
    as_of: AsOfAnswer


class PageQuery(SettingsModel):
    """limit: items of a page; cursor: as the page before gave it."""

    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = PAGE
    cursor: Annotated[str, StringConstraints(max_length=1_000)] | None = None


class FilterQuery(SettingsModel):
    """Which conversations: those for which all that is given holds. assignee: kind/id, such as human/ana; or none."""

    status: Status | None = None
    assignee: Annotated[str, StringConstraints(pattern=r"^(none|(human|team|ai)/[A-Za-z0-9][A-Za-z0-9_.-]{0,63})$")] | (
        None
    ) = None
    channel: Id | None = None
    label: Annotated[str, StringConstraints(max_length=64)] | None = None
    waiting: Literal["true", "false"] = "false"

    @property
    def wanted(self) -> Filter:
        """As the view takes it."""
        kind, _, id = (self.assignee or "").partition("/")
        assignee = Assignee.model_validate({"kind": kind, "id": id}) if id else None
        return Filter(
            status=self.status,
            assignee=assignee,
            unassigned=self.assignee == "none",
            channel=self.channel,
            label=self.label,
            waiting=self.waiting == "true",
        )


class ListQuery(FilterQuery, PageQuery):
    """order: newest activity first, or who has waited longest. text: words of a name, number, label or id."""

    order: Literal["recent", "waiting"] = "recent"
    text: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None


class SearchQuery(FilterQuery, PageQuery):
    """text: all of its words are in the message; the last one may be a beginning."""

    text: Annotated[str, StringConstraints(min_length=1, max_length=200)]


class LettersQuery(PageQuery):
    """replayed: those that were given back already."""

    replayed: Literal["true", "false"] = "false"


class ReadingRoutes:
    """Handlers and their routes."""

    def __init__(self, office: Office) -> None:
        self._office = office

    def routes(self) -> tuple[Route, ...]:
        """Their part of the table."""
        account = "/v1/accounts/{account}"
        one = f"{account}/conversations/{{conversation}}"
        page = PageAnswer
        return (
            _get(f"{account}/conversations", "List conversations.", self.list_conversations, page, ListQuery),
            _get(f"{account}/conversations-count", "Count them.", self.count_conversations, CountAnswer, FilterQuery),
            _get(
                f"{account}/search", "Find messages, notes and notices by their words.", self.search, page, SearchQuery
            ),
            _get(f"{account}/queue", "Who waits for an agent, longest first.", self.show_queue, page, PageQuery),
            _get(f"{account}/presence", "Agents with their state and load.", self.show_presence, page),
            Route(
                "GET",
                f"{account}/dead-letters",
                Permission.DIRECT,
                "What could not be processed.",
                self.list_letters,
                page,
                query=LettersQuery,
                headers=(HEADER,),
            ),
            _get(one, "A conversation with its surveys.", self.show_conversation, ItemAnswer),
            _get(f"{one}/thread", "Its messages, notes and notices, newest first.", self.show_thread, page, PageQuery),
            _get(f"{one}/explanation", "Why it was assigned as it was.", self.explain, page, PageQuery),
            _get(f"{one}/ai-calls", "What its AI agents' calls came to.", self.list_ai_calls, page, PageQuery),
            _get("/v1/commands/{id}", "Why a command was refused.", self.show_refusal, ItemAnswer),
        )

    async def list_conversations(self, call: Call[None]) -> Answer:
        """Those that the caller may see."""
        asked: ListQuery = call.query
        queries, viewer = await self._asked(call)
        if asked.text is not None:
            return await _page(queries.find(viewer, asked.text, asked.wanted, cursor=asked.cursor, limit=asked.limit))
        found = queries.conversations(viewer, asked.wanted, order=asked.order, cursor=asked.cursor, limit=asked.limit)
        return await _page(found)

    async def count_conversations(self, call: Call[None]) -> Answer:
        """Of those that the caller may see."""
        queries, viewer = await self._asked(call)
        counted = await queries.count(viewer, call.query.wanted)
        return Answer(CountAnswer(number=counted.number, more=counted.more, as_of=as_of_answer(counted.as_of)))

    async def search(self, call: Call[None]) -> Answer:
        """The newest first."""
        asked: SearchQuery = call.query
        queries, viewer = await self._asked(call)
        return await _page(queries.search(viewer, asked.text, asked.wanted, cursor=asked.cursor, limit=asked.limit))

    async def show_queue(self, call: Call[None]) -> Answer:
        """Open conversations that nobody has."""
        queries, viewer = await self._asked(call)
        return await _page(queries.queue(viewer, cursor=call.query.cursor, limit=call.query.limit))

    async def show_presence(self, call: Call[None]) -> Answer:
        """Of the account's agents."""
        queries, viewer = await self._asked(call)
        return await _page(queries.agents(viewer, self._office.clock()))

    async def list_letters(self, call: Call[None]) -> Answer:
        """All but their bodies, for who leads."""
        queries, viewer = await self._asked(call)
        replayed = call.query.replayed == "true"
        found = queries.dead_letters(viewer, replayed=replayed, cursor=call.query.cursor, limit=call.query.limit)
        return await _page(found)

    async def show_conversation(self, call: Call[None]) -> Answer:
        """By its id."""
        queries, viewer = await self._asked(call)
        return _item(await queries.conversation(viewer, call.path["conversation"]))

    async def show_thread(self, call: Call[None]) -> Answer:
        """Each message with its receipts, and what else is about it."""
        queries, viewer = await self._asked(call)
        await self._must_see(queries, viewer, call)
        thread = queries.thread(viewer, call.path["conversation"], cursor=call.query.cursor, limit=call.query.limit)
        return await _page(thread)

    async def explain(self, call: Call[None]) -> Answer:
        """In order."""
        queries, viewer = await self._asked(call)
        await self._must_see(queries, viewer, call)
        id = call.path["conversation"]
        return await _page(queries.explanation(viewer, id, cursor=call.query.cursor, limit=call.query.limit))

    async def list_ai_calls(self, call: Call[None]) -> Answer:
        """In order."""
        queries, viewer = await self._asked(call)
        await self._must_see(queries, viewer, call)
        id = call.path["conversation"]
        return await _page(queries.ai_calls(viewer, id, cursor=call.query.cursor, limit=call.query.limit))

    async def show_refusal(self, call: Call[None]) -> Answer:
        """Of a command that was answered before it was decided."""
        queries = await self._queries(call)
        for account in sorted({channel.account for channel in self._office.channels(call.actor)}):
            found = await queries.refusal(viewer_of(self._office, call.actor, account), call.path["id"])
            if found.items:
                return _item(found)
        raise not_found()

    async def _must_see(self, queries: Queries, viewer: Viewer, call: Call[None]) -> None:
        if not (await queries.conversation(viewer, call.path["conversation"])).items:
            raise not_found()

    async def _asked(self, call: Call[None]) -> tuple[Queries, Viewer]:
        return await self._queries(call), viewer_of(self._office, call.actor, call.path["account"])

    async def _queries(self, call: Call[None]) -> Queries:
        """When the view has read as far as the caller wants."""
        queries, position = queries_of(self._office), call.request.headers.get(HEADER)
        if position is not None:
            try:
                read = await self._office.freshness.wait(position, queries)
            except ValueError:
                raise Problem(400, "bad_position", f"{HEADER} is what an answer to a change had there") from None
            if not read:
                detail = f"the view has not read so far yet: ask again, or without {HEADER} for what it has"
                raise Problem(503, "not_read_yet", detail, headers={"Retry-After": "1"})
        return queries


def queries_of(office: Office) -> Queries:
    """Those of the view. Raises Problem: there is none."""
    if office.queries is None:
        raise Problem(503, "no_view", "this process keeps no view of conversations")
    return office.queries


def viewer_of(office: Office, actor: Actor, account: str) -> Viewer:
    """What the actor may see: an agent what they and their teams hold, others what their channels have."""
    grant = actor.grant
    channels = None if grant.channels is None else frozenset(grant.channels)
    if grant.role is not Role.AGENT:
        scope: Literal["channels", "all"] = "all" if channels is None else "channels"
        return Viewer(_ROLES[grant.role], account, scope, channels, grant.agent)
    agent = None if grant.agent is None else office.directory.find_agent(account, grant.agent)
    teams = frozenset(() if agent is None else agent.teams)
    return Viewer("agent", account, "team", channels, grant.agent, teams)


async def shows_file(office: Office, actor: Actor, channel: str, file: str) -> bool:
    """Whether the actor may see a file of a channel that they may see: an agent, their conversations' and uploads."""
    if actor.grant.role is not Role.AGENT or is_of_uploader(file, actor.id):
        return True
    viewer = viewer_of(office, actor, office.directory.channel(channel).account)
    return await queries_of(office).shows_file(viewer, file)


def _get(path: str, summary: str, handle: Any, answer: type[BaseModel], query: type[BaseModel] | None = None) -> Route:
    return Route("GET", path, Permission.READ, summary, handle, answer, query=query, headers=(HEADER,))


async def _page(asked: Any) -> Answer:
    try:
        page: Page = await asked
    except InvalidCursor:
        raise bad_cursor() from None
    items = tuple(_json(item) for item in page.items)
    return Answer(PageAnswer(items=items, cursor=page.cursor, as_of=as_of_answer(page.as_of)))


def _item(page: Page) -> Answer:
    if not page.items:
        raise not_found()
    return Answer(ItemAnswer(item=_json(page.items[0]), as_of=as_of_answer(page.as_of)))


def _json(item: Mapping[str, object]) -> dict[str, JsonValue]:
    shown: dict[str, JsonValue] = _JSON.dump_python(dict(item), mode="json")
    return shown


def as_of_answer(found: AsOf) -> AsOfAnswer:
    """How far the view had read, as it is answered."""
    positions = {f"{place.topic}/{place.partition}": position for place, position in found.positions.items()}
    return AsOfAnswer(positions=positions, time=found.time)

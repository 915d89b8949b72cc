"""A route as a value: what is called, who may, what goes in and what comes out."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Literal, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, TypeAdapter

from desk.access.permissions import Actor, Permission
from desk.api.problems import Problem
from desk.channel_writer import Changed

BodyT = TypeVar("BodyT")

PATTERNS: Final[Mapping[str, str]] = {
    "account": r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}",
    "channel": r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}",
    "asset": r"(?:page\.js|swagger-ui\.css|swagger-ui-bundle\.js)",
    "collection": r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}",
    "document": r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}",
    "agent": r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}",
    "contact": r"[A-Za-z0-9+(][A-Za-z0-9+._~() -]{1,280}",
    "conversation": r"[A-Za-z0-9-]{1,64}",
    "file": r"[A-Za-z0-9][A-Za-z0-9._/-]{1,300}",
    "id": r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}",
}
"""What each part of a path may be. What is not so is not found."""


class Nothing(BaseModel):
    """Nothing to say."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Partial(BaseModel):
    """A partial change: objects are merged, lists and single values replaced. Any of a new one's fields."""

    model_config = ConfigDict(extra="allow", frozen=True)

    @property
    def given(self) -> dict[str, object]:
        """What is to be changed."""
        return dict(self.model_extra or {})


@dataclass(frozen=True, slots=True)
class Call(Generic[BodyT]):
    """A request that was let through. body: as the route's model reads it; query: as its query model does."""

    actor: Actor
    path: Mapping[str, str]
    body: BodyT
    query: Any
    request: web.Request


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered. headers: such as ETag."""

    body: BaseModel
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


Handle = Callable[[Call[Any]], Awaitable[Answer | web.StreamResponse]]


def etag(revision: int) -> dict[str, str]:
    """The header that a change may be based on."""
    return {"ETag": f'"{revision}"'}


def if_match(call: Call[Any]) -> int | None:
    """The revision that a change is based on; None: whichever there is. Raises Problem."""
    given = call.request.headers.get("If-Match")
    if given is None or given.strip() == "*":
        return None
    number = given.strip().removeprefix("W/").strip('"')
    if not number.isascii() or not number.isdigit() or len(number) > 18:
        raise Problem(412, "changed_meanwhile", "If-Match is not an ETag of these settings")
    return int(number)


def changed_meanwhile(changed: Changed) -> Problem:
    """The refusal of a change that is based on an earlier revision."""
    return Problem(412, "changed_meanwhile", f"{changed}: read them, and decide anew", headers=etag(changed.revision))


@dataclass(frozen=True)
class Route:
    """One row of the table of routes.

    permission: None: who calls need not say who they are. answer: its body's model; status: of success; also: further
    statuses of success. body, query: their models. problems: statuses of refusals beyond those that follow from the
    rest. tagged: the body is a union of models by `type`. conditional: it heeds If-Match. media: of an answer that is
    not JSON. headers: of the request, that it heeds beyond those (desk.api.openapi).
    """

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    permission: Permission | None
    summary: str
    handle: Handle
    answer: type[BaseModel] = Nothing
    status: int = 200
    also: tuple[int, ...] = ()
    body: TypeAdapter[Any] | None = None
    tagged: bool = False
    query: type[BaseModel] | None = None
    problems: tuple[int, ...] = ()
    conditional: bool = False
    media: str = "application/json"
    headers: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its name: operationId, and the audit's action."""
        return self.handle.__name__

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the path's variable parts, in order."""
        return tuple(part[1:-1] for part in self.path.split("/") if part.startswith("{"))

    @property
    def refusals(self) -> tuple[int, ...]:
        """Every status of a refusal that it may give."""
        found = {400, 405, 429, 500, 503, *self.problems}
        if self.permission is not None:
            found |= {401, 403}
        if self.parameters:
            found.add(404)
        if self.body is not None:
            found |= {413, 415, 422}
        if self.query is not None:
            found.add(422)
        if self.conditional:
            found.add(412)
        return tuple(sorted(found))

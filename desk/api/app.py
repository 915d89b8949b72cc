"""The control API as an aiohttp application, made from its table of routes."""

import logging
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from typing import Any, Final, TypeVar

import orjson
from aiohttp import web
from pydantic import BaseModel, ValidationError

from bus.publisher import NotDurable
from desk.access.permissions import Actor, Permission
from desk.api.problems import Problem, not_found, not_valid
from desk.api.route import PATTERNS, Answer, Call, Nothing, Route
from desk.freshness import HEADER, Freshness
from desk.view.database import DatabaseAway
from media.store import StoreUnavailable
from schemas.events.access import Grant, Role
from schemas.settings.errors import InvalidSettings

logger = logging.getLogger(__name__)

MAX_BODY_BYTES: Final = 1 << 20

Authenticate = Callable[[web.Request, datetime], Awaitable[Actor | None]]
"""Who calls; None: nobody who is known."""

Visible = Callable[[Actor, "dict[str, str]"], bool]
"""Whether the actor may know of what the parts of the path name."""

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_AnswerT = TypeVar("_AnswerT", bound=web.StreamResponse)
_OURS: Final = "this is a defect of ours; the log has its kind"
_NOBODY: Final = Actor("nobody", "", Grant(role=Role.READ, channels=()))
_SAFE: Final = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
    "Referrer-Policy": "no-referrer",
}


def build_api(
    routes: Iterable[Route],
    authenticate: Authenticate,
    visible: Visible,
    clock: Callable[[], datetime],
    freshness: Freshness,
) -> web.Application:
    """The application. Every answer to every request is JSON or a problem, and none is kept by a cache."""
    app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[_explained])
    for route in routes:
        endpoint = _Endpoint(route, authenticate, visible, clock, freshness)
        app.router.add_route(route.method, _pattern(route), endpoint.handle)
    return app


def _pattern(route: Route) -> str:
    return "/".join(
        f"{{{part[1:-1]}:{PATTERNS[part[1:-1]]}}}" if part.startswith("{") else part for part in route.path.split("/")
    )


class _Endpoint:
    def __init__(
        self,
        route: Route,
        authenticate: Authenticate,
        visible: Visible,
        clock: Callable[[], datetime],
        freshness: Freshness,
    ) -> None:
        self._route, self._authenticate, self._visible, self._clock = route, authenticate, visible, clock
        self._freshness = freshness

    async def handle(self, request: web.Request) -> web.StreamResponse:
        route, path = self._route, dict(request.match_info)
        actor = _NOBODY
        if route.permission is not None:
            actor = await self._admit(request, route.permission, path)
        call = Call(actor, path, await self._body(request), self._query(request), request)
        answer = await route.handle(call)
        if not isinstance(answer, Answer):
            return answer
        position = None if route.method == "GET" else await self._freshness.position()
        headers = dict(answer.headers) if position is None else {**answer.headers, HEADER: position}
        return _json(answer.body, answer.status or route.status, headers)

    async def _admit(self, request: web.Request, permission: Permission, path: dict[str, str]) -> Actor:
        actor = await self._authenticate(request, self._clock())
        if actor is None:
            detail = "sign in, or send a token that counts: Authorization: Bearer ldk_…"
            raise self._refused(None, Problem(401, "unknown_caller", detail, headers={"WWW-Authenticate": "Bearer"}))
        # First, so that a refusal does not tell that it is there.
        if not self._visible(actor, path):
            raise self._refused(actor, not_found())
        reason = actor.why_not(permission)
        if reason is not None:
            raise self._refused(actor, Problem(403, "not_allowed", reason))
        return actor

    def _refused(self, actor: Actor | None, problem: Problem) -> Problem:
        who = "nobody who is known" if actor is None else actor.id
        logger.info("refused to %s: %s %s (%s)", who, self._route.method, self._route.path, problem.status)
        return problem

    async def _body(self, request: web.Request) -> object:
        model = self._route.body
        if model is None:
            return Nothing()
        if request.content_type != "application/json":
            raise Problem(415, "not_json", "the content type must be application/json")
        try:
            data = orjson.loads(await request.read())
        except orjson.JSONDecodeError as error:
            raise Problem(400, "invalid_json", f"the body is not JSON: {error.msg}") from None
        except (web.RequestPayloadError, ValueError):
            raise Problem(400, "unreadable", "the body can't be read") from None
        try:
            return model.validate_python(data)
        except ValidationError as error:
            raise not_valid(error, tagged=self._route.tagged) from None

    def _query(self, request: web.Request) -> BaseModel:
        model = self._route.query
        if model is None:
            if request.query:
                raise Problem(400, "unknown_parameter", f"there is no parameter {next(iter(request.query))[:64]!r}")
            return Nothing()
        given: dict[str, Any] = {}
        for name in request.query:
            values = request.query.getall(name)
            given[name] = values if len(values) > 1 else values[0]
        try:
            return model.model_validate(given)
        except ValidationError as error:
            raise not_valid(error) from None


@web.middleware
async def _explained(request: web.Request, handler: _Handler) -> web.StreamResponse:
    try:
        response = await handler(request)
    except Problem as problem:
        response = problem.response()
    except InvalidSettings as invalid:
        response = Problem(422, "invalid_settings", "the settings can't be used", invalid.errors).response()
    except NotDurable:
        detail = "Kafka has not acknowledged it: it may have been written or not. Send it again with the same id."
        response = Problem(503, "not_durable", detail, headers={"Retry-After": "5"}).response()
    except DatabaseAway as error:
        logger.info("%s %s: the database can't be used: %s", request.method, _shape(request), error)
        detail = "the database can't be reached, or is busy: try again"
        response = Problem(503, "database_unavailable", detail, headers={"Retry-After": "5"}).response()
    except StoreUnavailable:
        response = Problem(503, "store_unavailable", "the media store can't be reached").response()
    except web.HTTPException as error:
        response = _http(error).response()
    except Exception as error:  # noqa: BLE001 - whatever broke, the caller gets an answer
        # What is told of it must hold no text of a customer's: no message, no traceback.
        logger.error("%s %s failed: %s", request.method, _shape(request), type(error).__name__)
        response = Problem(500, "failed", _OURS).response()
    return response if response.prepared else _safe(response)


def unreadable(status: int) -> web.Response:
    """The answer to what is no request, and to one that broke before a route was found."""
    if status == 500:
        return _safe(Problem(500, "failed", _OURS).response())
    return _safe(Problem(status, "unreadable", "the request is none that HTTP/1.1 knows").response())


def _safe(response: _AnswerT) -> _AnswerT:
    for name, value in _SAFE.items():
        response.headers.setdefault(name, value)
    return response


def _http(error: web.HTTPException) -> Problem:
    if error.status == 404:
        return not_found()
    headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
    return Problem(error.status, error.reason.lower().replace(" ", "_"), error.reason, headers=headers)


def _shape(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return "an unknown address" if resource is None else resource.canonical


def _json(body: BaseModel, status: int, headers: Any) -> web.Response:
    return web.Response(
        body=orjson.dumps(body.model_dump(mode="json")), status=status, headers=headers, content_type="application/json"
    )

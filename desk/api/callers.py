"""Who calls: by the token in the Authorization header, else by the session's cookie."""

import hmac
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from desk.access.permissions import Actor
from desk.access.sessions import COOKIE
from desk.access.tokens import token_hash
from desk.api.problems import Problem
from desk.front_door import FrontDoor
from desk.view.database import DatabaseAway
from schemas.events.access import Grant, Role

INSTALLATION: Final = Actor("token/installation", "installation", Grant(role=Role.ADMIN))
"""Whoever has the installation's key."""

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_USED_EVERY: Final = timedelta(minutes=10)


class Callers:
    """Finds who calls, and remembers when, to ten minutes. own_tokens: the installation's, which may do everything."""

    def __init__(self, door: FrontDoor, own_tokens: Callable[[], Iterable[str]] = tuple) -> None:
        self._door, self._own_tokens = door, own_tokens
        self._used: dict[str, datetime] = {}

    async def authenticate(self, request: web.Request, now: datetime) -> Actor | None:
        """See Authenticate. Raises Problem: a browser calls for another site's page."""
        if "Authorization" in request.headers:
            scheme, _, token = request.headers["Authorization"].partition(" ")
            actor = self._by_token(token.strip(), now) if scheme.lower() == "bearer" else None
        else:
            actor = await self._by_session(request, now)
        if actor is not None:
            await self._remember(actor, now)
        return actor

    async def still(self, request: web.Request, now: datetime) -> Actor | None:
        """Who sent a request that goes on. It does not count as use."""
        if "Authorization" in request.headers:
            return self._by_token(request.headers["Authorization"].partition(" ")[2].strip(), now)
        signed_in = await self._door.sessions.find(request.cookies.get(COOKIE, ""), now, used=False)
        return None if signed_in is None else signed_in.actor

    def _by_token(self, token: str, now: datetime) -> Actor | None:
        hashed = token_hash(token)
        if any(hmac.compare_digest(token_hash(own), hashed) for own in self._own_tokens()):
            return INSTALLATION
        return self._door.directory.find(token, now)

    async def _by_session(self, request: web.Request, now: datetime) -> Actor | None:
        cookie = request.cookies.get(COOKIE)
        signed_in = None if cookie is None else await self._door.sessions.find(cookie, now)
        if signed_in is None:
            return None
        if request.method not in _SAFE and not of_own_page(request):
            raise cross_site()
        return signed_in.actor

    async def _remember(self, actor: Actor, now: datetime) -> None:
        last = self._used.get(actor.id)
        if last is None or now - last >= _USED_EVERY:
            self._used[actor.id] = now
            # A caller must not be kept out because this can't be kept.
            with suppress(DatabaseAway):
                await self._door.store.used(actor.id, now)


def of_own_page(request: web.Request) -> bool:
    """Whether a browser says that the request is made by a page of this origin."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get("Origin")
    # By the host alone: what ends TLS in front of this process is not known here.
    return origin is not None and urlsplit(origin).netloc.lower() == request.host.lower()


def of_another_page(request: web.Request) -> bool:
    """Whether a browser says that the request is made by a page of another origin."""
    return bool(request.headers.keys() & {"Sec-Fetch-Site", "Origin"}) and not of_own_page(request)


def cross_site() -> Problem:
    """The refusal of what another site's page asks for."""
    return Problem(403, "cross_site", "a request with a session must come from a page of this origin")

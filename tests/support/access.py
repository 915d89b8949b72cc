"""A front door whose means are the test's."""

import os
from collections.abc import Callable
from datetime import datetime
from itertools import count
from typing import Any

import orjson
from aiohttp import ClientSession
from argon2 import PasswordHasher
from argon2.profiles import CHEAPEST
from pydantic import JsonValue

from desk.access.admission import AdmissionRules
from desk.access.directory import AccessDirectory
from desk.access.oidc import OidcClient
from desk.access.passwords import Passwords
from desk.access.sessions import COOKIE
from desk.access.store import AccessStore, MemoryStore
from desk.front_door import FrontDoor, Means
from desk.journal import Change, Fill
from schemas.codec import Headers
from schemas.topics import ACCESS


def scramble(text: str) -> str:
    return "enc:" + text[::-1]


def unscramble(text: str) -> str:
    return text.removeprefix("enc:")[::-1]


def cheap_passwords() -> Passwords:
    """With the cheapest parameters: what they cost in earnest is no part of what is tested."""
    return Passwords(PasswordHasher.from_parameters(CHEAPEST))


def front_door(
    journal: "AccessJournal",
    clock: Callable[[], datetime],
    *,
    store: AccessStore | None = None,
    oidc: tuple[OidcClient, AdmissionRules] | None = None,
) -> FrontDoor:
    ids = (f"id{number}" for number in count(1))
    means = Means(lambda: [b"unit"], scramble, unscramble, os.urandom, lambda: next(ids), clock)
    return FrontDoor(journal.directory, journal, store or MemoryStore(), means, passwords=cheap_passwords(), oidc=oidc)


class AccessJournal:
    """A journal whose directory knows at once what was written."""

    def __init__(self, directory: AccessDirectory, clock: Callable[[], datetime]) -> None:
        self.directory, self._clock = directory, clock
        self.messages: list[tuple[str, bytes, bytes, Headers]] = []

    async def write(self, fill: Fill) -> None:
        change = Change("t.", f"change{len(self.messages)}", self._clock(), scramble)
        fill(change)
        self.messages += change.messages
        for topic, key, value, _ in change.messages:
            if topic == ACCESS.full_name("t."):
                self.directory.apply(key, value)


class Browser:
    """A person's browser: keeps the session's cookie, and says where its page is from."""

    def __init__(self, client: ClientSession, url: str) -> None:
        self._client, self._url = client, url
        self.cookies: dict[str, str] = {}
        self.set_cookies: list[str] = []
        self.headers: dict[str, str] = {}
        self.received: dict[str, str] = {}

    @property
    def session(self) -> str | None:
        return self.cookies.get(COOKIE)

    async def call(self, method: str, path: str, body: JsonValue = None, **headers: str) -> tuple[int, Any]:
        """The answer's status and body. Headers with an empty value are left out."""
        sent = {"Origin": self._url, **self.headers, **headers}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        sent = {name.replace("_", "-"): value for name, value in sent.items() if value}
        data = None if body is None else orjson.dumps(body)
        if data is not None:
            sent["Content-Type"] = "application/json"
        asked = self._client.request(method, self._url + path, data=data, headers=sent, allow_redirects=False)
        async with asked as answer:
            self.set_cookies = answer.headers.getall("Set-Cookie", [])
            for name, _, value in (cookie.partition(";")[0].partition("=") for cookie in self.set_cookies):
                self.cookies[name] = value
                if not value:
                    del self.cookies[name]
            self.received = dict(answer.headers)
            return answer.status, orjson.loads(await answer.read() or b"{}")

    async def sign_in(self, login: str, password: str, code: str | None = None) -> tuple[int, Any]:
        return await self.call("POST", "/v1/session", {"login": login, "password": password, "code": code})

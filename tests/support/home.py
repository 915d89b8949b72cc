"""The control API over real HTTP, with one user."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pyotp
from aiohttp import ClientSession

from desk.access.permissions import Actor
from desk.access.writer import UserFields
from schemas.events.access import AuditRecorded, Grant, Role, UserSaved
from schemas.topics import AUDIT
from tests.support.access import Browser
from tests.support.ingress import Ingress, running

ROOT = Actor("test", "test", Grant(role=Role.ADMIN))
LOGIN, PASSWORD = "marta@example.com", "planted-password-é"


class Home:
    """The control API, and Marta, who has a password."""

    def __init__(self, ingress: Ingress, client: ClientSession, marta: UserSaved) -> None:
        self.ingress, self.client, self.marta = ingress, client, marta

    def browser(self) -> Browser:
        return Browser(self.client, self.ingress.control_url)

    async def signed_in(self, code: str | None = None) -> Browser:
        browser = self.browser()
        status, answer = await browser.sign_in(LOGIN, PASSWORD, code)
        assert status == 201, answer
        return browser

    async def change(self, **fields: Any) -> None:
        await self.ingress.door.writer.change_user(ROOT, self.marta.id, UserFields(**fields))

    def later(self, by: timedelta) -> None:
        self.ingress.now += by

    def code(self, secret: str) -> str:
        return pyotp.TOTP(secret).at(self.ingress.now)

    async def with_second_factor(self) -> tuple[Browser, str, list[str]]:
        """Marta, signed in, with her secret and recovery codes."""
        browser = await self.signed_in()
        _, enrolled = await browser.call("POST", "/v1/session/second-factor", {"password": PASSWORD})
        form = {"enrolment": enrolled["enrolment"], "code": self.code(enrolled["secret"])}
        status, answer = await browser.call("POST", "/v1/session/second-factor/confirm", form)
        assert status == 200, answer
        self.later(timedelta(seconds=30))
        return browser, enrolled["secret"], answer["recovery_codes"]

    def audited(self) -> list[AuditRecorded]:
        return [record.event for record in self.ingress.records(AUDIT) if isinstance(record.event, AuditRecorded)]


@asynccontextmanager
async def open_home(*, require_second_factor: bool = False) -> AsyncIterator[Home]:
    async with running(require_second_factor=require_second_factor) as (ingress, client):
        door = ingress.door
        password = await door.passwords.hash(PASSWORD)
        grant = Grant(role=Role.AGENT, account="main", agent="irene")
        fields = UserFields(name="Marta", grant=grant, password=password)
        yield Home(ingress, client, await door.writer.create_user(ROOT, LOGIN, fields))

"""docs/access.md says who may what: it is compared with the code, and each route is called as each role."""

import re
from pathlib import Path
from typing import Any

import pytest

from desk.access.permissions import PERMISSIONS, Actor, Permission
from desk.access.writer import UserFields
from desk.api.route import Route
from schemas.events.access import Grant, Role
from tests.support.access import Browser
from tests.support.ingress import running

PAGE = (Path(__file__).parents[3] / "docs" / "access.md").read_text()
PLACES = {
    "account": "main",
    "asset": "page.js",
    "channel": "desk",
    "agent": "irene",
    "collection": "faq",
    "document": "returns",
    "contact": "34622333444",
    "conversation": "none",
    "id": "nobody",
    "file": "0" * 32,
}
NOT_THEIRS = ("the role", "only a person who is signed in")
"""How the refusal of a role begins; a handler may refuse, too, for what it is asked."""


def table(first: str) -> dict[str, dict[str, str]]:
    """A table of the page by its first column. first: that column's name."""
    header, _, *rows = re.search(rf"^\| {first} \|.*?(?=\n\n)", PAGE, re.DOTALL | re.MULTILINE)[0].split("\n")  # type: ignore[index]
    names, *lines = ([cell.strip() for cell in line.strip("|").split("|")] for line in (header, *rows))
    return {line[0].strip("`"): dict(zip(names, line, strict=True)) for line in lines}


def test_the_page_says_what_each_role_may() -> None:
    said = table("permission")
    assert {name: {role: row[role] == "yes" for role in Role} for name, row in said.items()} == {
        permission: {role: permission in PERMISSIONS[role] for role in Role} for permission in Permission
    }


async def test_every_route_has_a_line_and_no_other() -> None:
    async with running() as (ingress, _):
        lines = {f"{route.method} {route.path}": _line(route) for route in ingress.routes}
    said = {route: {name: row[name] for name in ("permission", *Role)} for route, row in table("route").items()}
    assert said == lines


def _line(route: Route) -> dict[str, str]:
    permission = route.permission
    given = {role.value: "yes" if permission is None or permission in PERMISSIONS[role] else "" for role in Role}
    return {"permission": str(permission or "anybody"), **given}


@pytest.mark.parametrize("person", [False, True], ids=["token", "person"])
@pytest.mark.parametrize("role", Role)
async def test_each_route_is_called_as_each_role(role: Role, person: bool) -> None:
    said = table("route")
    async with running() as (ingress, client):
        caller = await _caller(ingress, client, role, person=person)
        # What is deleted first would be missing to the rest.
        for route in sorted(ingress.routes, key=lambda route: (route.method == "DELETE", "oidc" in route.path)):
            path = route.path.format(**PLACES)
            if route.permission is None or (route.method, path) == ("DELETE", "/v1/session"):
                continue
            status, answer = await caller.call(route.method, path, None if route.body is None else {})
            theirs = said[f"{route.method} {route.path}"][role] == "yes"
            theirs = theirs and (person or route.permission is not Permission.SELF)
            refused = status == 403 and answer["detail"].startswith(NOT_THEIRS)
            assert refused != theirs, f"{route.method} {route.path}: {status} {answer}"
            if path == "/v1/sessions" and person:
                caller = await _caller(ingress, client, role, person=True)


async def _caller(ingress: Any, client: Any, role: Role, *, person: bool) -> Browser:
    grant = Grant(role=role, account="main", agent="irene")
    browser = Browser(client, ingress.control_url)
    if not person:
        browser.headers["Authorization"] = f"Bearer {ingress.token(role, account='main', agent='irene')}"
        return browser
    root = Actor("test", "", Grant(role=Role.ADMIN))
    login = f"user{len(ingress.access.users())}@example.com"
    fields = UserFields(grant=grant, password=await ingress.door.passwords.hash("a long password"))
    await ingress.door.writer.create_user(root, login, fields)
    assert (await browser.sign_in(login, "a long password"))[0] == 201
    return browser


async def test_nobody_who_is_not_known_is_let_in_anywhere() -> None:
    async with running() as (ingress, client):
        for route in ingress.routes:
            if route.permission is not None:
                browser = Browser(client, ingress.control_url)
                status, answer = await browser.call(route.method, route.path.format(**PLACES))
                assert (status, answer["code"]) == (401, "unknown_caller"), route


def test_the_asvs_page_names_tests_that_exist() -> None:
    root = Path(__file__).parents[3]
    named = set(re.findall(r"`(test_\w+)`", (root / "docs" / "asvs.md").read_text()))
    there = {
        name for file in (root / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)", file.read_text())
    }
    assert named - there == set()
    assert len(named) > 50

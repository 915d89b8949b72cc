"""Signing in at an OIDC provider, against a small one over real HTTP."""

import logging
import os
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from aiohttp import ClientSession, web
from joserfc.jwk import ECKey, OctKey, RSAKey
from pydantic import SecretStr

from desk.access.admission import AdmissionRules
from desk.access.oidc import Configuration, OidcClient, OidcSettings
from desk.access.permissions import Actor
from desk.access.sessions import COOKIE
from desk.access.writer import UserFields
from desk.api.oidc import BEGUN_COOKIE
from schemas.events.access import AuditRecorded, Grant, Role, UserSaved
from schemas.topics import AUDIT
from tests.support.access import Browser
from tests.support.ingress import NOW, Ingress, running
from tests.support.oidc_provider import CLIENT, SECRET, OidcProvider, oidc_provider

ROOT = Actor("test", "test", Grant(role=Role.ADMIN))
AGENT = Grant(role=Role.AGENT, account="main", agent="irene")
RULES = AdmissionRules()
GROUPS = AdmissionRules(claim="groups", grants={"chiefs": Grant(role=Role.SUPERVISOR, account="main"), "desk": AGENT})


class Place:
    """The control API, a provider, and Marta, who is a user without a password."""

    def __init__(self) -> None:
        self.now = NOW
        self.seconds = 0.0
        self.ingress: Ingress
        self.client: ClientSession
        self.provider: OidcProvider
        self.marta: UserSaved

    def clock(self) -> datetime:
        return self.now

    def browser(self) -> Browser:
        return Browser(self.client, self.ingress.control_url)

    async def come_back(self, browser: Browser, **changes: str) -> tuple[int, Any]:
        """Go to the provider and come back, with what is changed on the way."""
        status, _ = await browser.call("GET", "/v1/session/oidc")
        assert status == 302
        returned = {**self.provider.authorize(browser.received["Location"]), **changes}
        return await browser.call("GET", f"/v1/session/oidc/callback?{urlencode(returned)}")

    async def refused(self) -> bool:
        browser = self.browser()
        status, answer = await self.come_back(browser)
        assert (browser.session is None) == (status != 303), answer
        return status == 401 and bool(answer["code"] == "sign_in_refused")


@pytest.fixture
def rules() -> AdmissionRules:
    return RULES


@pytest.fixture
async def place(rules: AdmissionRules) -> AsyncIterator[Place]:
    place = Place()
    async with oidc_provider(place.clock) as place.provider, ClientSession() as http:
        settings = OidcSettings(place.provider.url, CLIENT, "https://desk.example/back", SecretStr(SECRET))
        client = OidcClient(settings, http, clock=place.clock, random_bytes=os.urandom, monotonic=lambda: place.seconds)
        async with running(oidc=(client, rules)) as (place.ingress, place.client):
            fields = UserFields(name="Marta", grant=AGENT)
            place.marta = await place.ingress.door.writer.create_user(ROOT, "marta@example.com", fields)
            yield place


async def test_a_user_signs_in_at_the_provider(place: Place) -> None:
    browser = place.browser()
    assert (await place.come_back(browser))[0] == 303
    assert browser.received["Location"] == "/"
    assert BEGUN_COOKIE not in browser.cookies
    assert [cookie.partition(";")[2] for cookie in browser.set_cookies if cookie.startswith(f"{COOKIE}=")] == [
        " Path=/; Max-Age=43200; Secure; HttpOnly; SameSite=Lax"
    ]
    assert (await browser.call("GET", "/v1/session"))[1]["actor"] == f"user/{place.marta.id}"


async def test_who_signed_in_once_is_known_by_the_account_there_and_not_by_the_address(place: Place) -> None:
    assert not await place.refused()
    place.provider.claims = {"sub": "m-1", "email": "new@example.com", "email_verified": True}
    assert not await place.refused()
    place.provider.claims = {"sub": "m-2", "email": "marta@example.com", "email_verified": True}
    assert await place.refused()


@pytest.mark.parametrize("verified", [False, None, "true", 1])
async def test_an_address_that_is_not_verified_is_nobody_s(place: Place, verified: object) -> None:
    place.provider.claims["email_verified"] = verified
    assert await place.refused()


async def test_who_is_no_user_or_a_disabled_one_is_refused(place: Place) -> None:
    place.provider.claims = {"sub": "x", "email": "nobody@example.com", "email_verified": True}
    assert await place.refused()
    place.provider.claims = {"sub": "m-1", "email": "marta@example.com", "email_verified": True}
    await place.ingress.door.writer.change_user(ROOT, place.marta.id, UserFields(disabled=True))
    assert await place.refused()


# --- what comes back -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [{"state": "another"}, {"state": ""}, {"code": ""}, {"code": "", "error": "access_denied"}, {"code": "x"}],
)
async def test_what_was_changed_on_the_way_is_refused(place: Place, changes: dict[str, str]) -> None:
    browser = place.browser()
    assert (await place.come_back(browser, **changes))[0] == 401
    assert browser.session is None


async def test_what_another_browser_began_is_refused(place: Place) -> None:
    victim, attacker = place.browser(), place.browser()
    await attacker.call("GET", "/v1/session/oidc")
    returned = urlencode(place.provider.authorize(attacker.received["Location"]))
    # Without a sign-in of its own, and with one.
    assert (await victim.call("GET", f"/v1/session/oidc/callback?{returned}"))[0] == 401
    await victim.call("GET", "/v1/session/oidc")
    assert (await victim.call("GET", f"/v1/session/oidc/callback?{returned}"))[0] == 401
    assert victim.session is None


async def test_what_was_begun_too_long_ago_is_refused(place: Place) -> None:
    browser = place.browser()
    await browser.call("GET", "/v1/session/oidc")
    returned = urlencode(place.provider.authorize(browser.received["Location"]))
    place.ingress.now += timedelta(minutes=11)
    assert (await browser.call("GET", f"/v1/session/oidc/callback?{returned}"))[0] == 401


async def test_a_code_is_taken_once(place: Place) -> None:
    browser = place.browser()
    await browser.call("GET", "/v1/session/oidc")
    cookies, returned = dict(browser.cookies), urlencode(place.provider.authorize(browser.received["Location"]))
    assert (await browser.call("GET", f"/v1/session/oidc/callback?{returned}"))[0] == 303
    browser.cookies = cookies
    assert (await browser.call("GET", f"/v1/session/oidc/callback?{returned}"))[0] == 401


async def test_a_code_of_another_sign_in_is_refused_by_its_challenge_and_nonce(place: Place) -> None:
    one, other = place.browser(), place.browser()
    for browser in (one, other):
        await browser.call("GET", "/v1/session/oidc")
    code = place.provider.authorize(one.received["Location"])["code"]
    returned = {**place.provider.authorize(other.received["Location"]), "code": code}
    assert (await other.call("GET", f"/v1/session/oidc/callback?{urlencode(returned)}"))[0] == 401


# --- the ID token ----------------------------------------------------------------------------------------------------

SECOND = int(NOW.timestamp())


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://evil.example"},
        {"iss": None},
        {"aud": "another"},
        {"aud": None},
        {"aud": [CLIENT, "another"]},
        {"aud": [CLIENT, "another"], "azp": "another"},
        {"azp": "another"},
        {"exp": SECOND - 61},
        {"exp": None},
        {"exp": "never"},
        {"iat": SECOND + 120},
        {"iat": None},
        {"nbf": SECOND + 120},
        {"nonce": "another"},
        {"nonce": None},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
    ],
    ids=str,
)
async def test_an_id_token_that_is_not_for_this_sign_in_is_refused(place: Place, changes: dict[str, Any]) -> None:
    place.provider.changes = changes
    assert await place.refused()


@pytest.mark.parametrize("changes", [{"aud": [CLIENT]}, {"aud": [CLIENT, "x"], "azp": CLIENT}, {"exp": SECOND - 59}])
async def test_an_id_token_may_be_for_several_and_clocks_may_differ(place: Place, changes: dict[str, Any]) -> None:
    place.provider.changes = changes
    assert not await place.refused()


async def test_a_signature_by_another_key_is_refused(place: Place) -> None:
    place.provider.key = RSAKey.generate_key(2048, {"kid": "first"})
    assert await place.refused()


async def test_a_token_signed_with_the_client_s_secret_or_not_at_all_is_refused(place: Place) -> None:
    provider = place.provider
    provider.key, provider.algorithm = OctKey.import_key(SECRET), "HS256"
    assert await place.refused()
    unsigned = ".".join([*(urlsafe_b64encode(part).decode() for part in (b'{"alg":"none"}', b'{"sub":"m-1"}')), ""])
    provider.failing["/token"] = web.json_response({"id_token": unsigned})
    assert await place.refused()
    for garbage in ("", "a.b.c", "\x00", "." * 100_000, 7, None):
        provider.failing["/token"] = web.json_response({"id_token": garbage})
        assert await place.refused()


async def test_another_algorithm_of_the_provider_s_is_taken(place: Place) -> None:
    place.provider.keys = [ECKey.generate_key("P-256", {"kid": "curve"})]
    place.provider.key, place.provider.algorithm = place.provider.keys[0], "ES256"
    assert not await place.refused()


async def test_keys_are_kept_and_fetched_again_for_a_new_one_though_not_each_time(place: Place) -> None:
    for _ in range(3):
        assert not await place.refused()
    provider = place.provider
    assert (provider.asked.count("/keys"), provider.asked.count("/.well-known/openid-configuration")) == (1, 1)
    provider.keys = [RSAKey.generate_key(2048, {"kid": "second"})]
    provider.key = provider.keys[0]
    # They were just fetched.
    assert await place.refused()
    assert provider.asked.count("/keys") == 1
    place.seconds = 60
    assert not await place.refused()
    provider.key = RSAKey.generate_key(2048, {"kid": "third"})
    for _ in range(3):
        assert await place.refused()
    assert provider.asked.count("/keys") == 2
    place.seconds = 60 + 3600
    provider.key = provider.keys[0]
    assert not await place.refused()
    assert provider.asked.count("/keys") == 3


@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/keys", "/token"])
@pytest.mark.parametrize(
    "answer",
    [(500, b"{}"), (302, b""), (200, b"<html>"), (200, b"[]"), (200, b'"x" ' + b" " * (1 << 20))],
    ids=["failed", "elsewhere", "a page", "a list", "too long"],
)
async def test_a_provider_that_gives_no_usable_answer_signs_nobody_in(
    place: Place, path: str, answer: tuple[int, bytes]
) -> None:
    status, body = answer
    place.provider.failing[path] = web.Response(
        status=status, body=body, headers={"Location": f"{place.provider.url}/elsewhere"}
    )
    browser = place.browser()
    status, found = await browser.call("GET", "/v1/session/oidc")
    if status == 302:
        returned = urlencode(place.provider.authorize(browser.received["Location"]))
        status, found = await browser.call("GET", f"/v1/session/oidc/callback?{returned}")
    assert (status, found["code"]) in {(504, "oidc_unreachable"), (401, "sign_in_refused")}
    assert "/elsewhere" not in place.provider.asked
    assert browser.session is None


async def test_a_configuration_of_another_issuer_is_refused(place: Place) -> None:
    place.provider.configuration = {"issuer": "https://evil.example"}
    assert (await place.browser().call("GET", "/v1/session/oidc"))[0] == 504


@pytest.mark.parametrize("broken", ["authorization_endpoint", "token_endpoint", "jwks_uri"])
def test_a_provider_with_tls_has_no_address_without(broken: str) -> None:
    names = ("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri")
    good = dict.fromkeys(names, "https://id.example")
    assert Configuration(**good).why_not("https://id.example") is None
    assert "without TLS" in str(Configuration(**good | {broken: "http://id.example"}).why_not("https://id.example"))


async def test_the_client_s_secret_goes_where_the_provider_wants_it(place: Place) -> None:
    place.provider.configuration = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    assert not await place.refused()


# --- who is admitted -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rules", [AdmissionRules(domains=frozenset({"example.org"}))])
async def test_only_addresses_of_the_domains_are_admitted(place: Place) -> None:
    assert await place.refused()
    place.provider.claims["email"] = "marta@notexample.org"
    assert await place.refused()
    await place.ingress.door.writer.create_user(ROOT, "marta@example.org", UserFields(grant=AGENT))
    place.provider.claims["email"] = "Marta@Example.ORG"
    assert not await place.refused()


@pytest.mark.parametrize("rules", [GROUPS])
async def test_a_claim_gives_everyone_their_grant(place: Place) -> None:
    assert await place.refused()
    place.provider.claims = {
        "sub": "n-1",
        "email": "new@example.com",
        "email_verified": True,
        "name": "Nadia",
        "groups": ["all", "desk"],
    }
    browser = place.browser()
    assert (await place.come_back(browser))[0] == 303
    _, shown = await browser.call("GET", "/v1/session")
    assert (shown["name"], shown["grant"]["role"], shown["login"]) == ("Nadia", "agent", "new@example.com")
    # The first of the rules counts; another grant ends the session under the one before.
    place.provider.claims["groups"] = ["desk", "chiefs"]
    again = place.browser()
    assert (await place.come_back(again))[0] == 303
    assert (await again.call("GET", "/v1/session"))[1]["grant"]["role"] == "supervisor"
    assert (await browser.call("GET", "/v1/session"))[0] == 401
    place.provider.claims["groups"] = "nothing"
    assert await place.refused()
    events = [record.event for record in place.ingress.records(AUDIT)]
    done = [(one.actor, one.action) for one in events if isinstance(one, AuditRecorded)]
    assert done == [("test", "create_user"), ("oidc", "create_user"), ("oidc", "change_user")]


@pytest.mark.parametrize("rules", [GROUPS])
@pytest.mark.parametrize("groups", [None, {}, 7, [["desk"]], "desk chiefs", True])
async def test_a_claim_of_another_shape_gives_nothing(place: Place, groups: object) -> None:
    place.provider.claims["groups"] = groups
    assert await place.refused()


async def test_nothing_secret_is_logged_or_shown(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    browser = place.browser()
    await browser.call("GET", "/v1/session/oidc")
    begun = browser.cookies[BEGUN_COOKIE]
    returned = place.provider.authorize(browser.received["Location"])
    asked = place.provider.codes[returned["code"]]
    assert (await browser.call("GET", f"/v1/session/oidc/callback?{urlencode(returned)}"))[0] == 303
    await place.come_back(place.browser(), state="planted-state")
    await place.refused()
    log = "\n".join(str(record.__dict__) for record in caplog.records if record.name.startswith("desk"))
    hidden = [SECRET, begun, str(browser.session), asked["state"], asked["nonce"], "planted-state", "marta@example.com"]
    assert "signed in" in log
    assert [one for one in hidden if one in log] == []
    values = [value.decode() for _, _, value, _ in place.ingress.kafka.records]
    assert [one for one in hidden[:-1] for value in values if one in value] == []


async def test_without_a_provider_there_is_nothing_to_begin() -> None:
    async with running() as (ingress, client):
        for path in ("/v1/session/oidc", "/v1/session/oidc/callback"):
            status, answer = await Browser(client, ingress.control_url).call("GET", path)
            assert (status, answer["code"]) == (404, "not_configured")

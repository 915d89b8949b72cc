"""Routes for people who sign in at the OpenID Connect provider."""

import logging
from typing import Annotated, Final

from aiohttp import web
from pydantic import BaseModel, ConfigDict, StringConstraints

from desk.access.admission import Admission
from desk.access.oidc import Begun, OidcClient, OidcRefused, OidcUnreachable
from desk.access.seals import SEALED_FOR
from desk.access.sessions import set_cookie
from desk.api.problems import Problem
from desk.api.route import Answer, Call, Nothing, Route
from desk.front_door import FrontDoor

logger = logging.getLogger(__name__)

BEGUN_COOKIE: Final = "__Host-livedesk-oidc"
CALLBACK: Final = "/v1/session/oidc/callback"
_PURPOSE: Final = "oidc"

_Parameter = Annotated[str, StringConstraints(max_length=4096)]


class Returned(BaseModel):
    """What the browser brings back. error: in place of a code. A provider may send more."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    state: _Parameter = ""
    code: _Parameter = ""
    error: _Parameter = ""


class OidcRoutes:
    """Handlers and their routes."""

    def __init__(self, door: FrontDoor) -> None:
        self._door = door

    def routes(self) -> tuple[Route, ...]:
        """Their part of the table."""
        return (
            Route(
                "GET",
                "/v1/session/oidc",
                None,
                "Go to the OIDC provider to sign in.",
                self.begin_oidc,
                Nothing,
                status=302,
                problems=(404, 504),
            ),
            Route(
                "GET",
                CALLBACK,
                None,
                "Come back from the OIDC provider.",
                self.finish_oidc,
                Nothing,
                status=303,
                query=Returned,
                problems=(401, 404, 504),
            ),
        )

    async def begin_oidc(self, _call: Call[None]) -> Answer:
        """What must come back is in a cookie, so that only this browser can end what it began."""
        client, _ = self._configured()
        try:
            url, begun = await client.begin()
        except OidcUnreachable as error:
            raise _unreachable(error) from None
        data = {"state": begun.state, "nonce": begun.nonce, "verifier": begun.verifier}
        sealed = self._door.seals.seal(_PURPOSE, data, self._door.means.clock())
        return Answer(Nothing(), headers={"Location": url, "Set-Cookie": set_cookie(sealed, SEALED_FOR, BEGUN_COOKIE)})

    async def finish_oidc(self, call: Call[None]) -> web.Response:
        """A session, and back to the start page."""
        client, admission = self._configured()
        returned: Returned = call.query
        now = self._door.means.clock()
        kept = self._door.seals.open(_PURPOSE, call.request.cookies.get(BEGUN_COOKIE, ""), now)
        try:
            if kept is None:
                raise OidcRefused("this browser did not begin it, or too long ago")
            if not returned.code:
                raise OidcRefused("the provider sent no code")
            identity = await client.finish(Begun(**kept), returned.state, returned.code)
            user = await admission.admit(identity)
        except OidcRefused as error:
            logger.info("sign-in at the OIDC provider refused: %s", error)
            detail = "the provider did not confirm who you are, or you are no user here: begin again, or ask yours"
            raise Problem(401, "sign_in_refused", detail, headers={"WWW-Authenticate": "Bearer"}) from None
        except OidcUnreachable as error:
            raise _unreachable(error) from None
        logger.info("signed in at the OIDC provider: user/%s", user.id)
        response = web.Response(body=b"{}", status=303, content_type="application/json", headers={"Location": "/"})
        cookie, _ = await self._door.sessions.begin(user, now, strong=True)
        response.headers.add("Set-Cookie", set_cookie(cookie))
        response.headers.add("Set-Cookie", set_cookie("", name=BEGUN_COOKIE))
        return response

    def _configured(self) -> tuple[OidcClient, Admission]:
        client, admission = self._door.oidc, self._door.admission
        if client is None or admission is None:
            raise Problem(404, "not_configured", "no OIDC provider is configured: LIVEDESK_OIDC_ISSUER")
        return client, admission


def _unreachable(error: OidcUnreachable) -> Problem:
    logger.warning("OIDC: %s", error)
    return Problem(504, "oidc_unreachable", "the OIDC provider gives no usable answer: try again later")

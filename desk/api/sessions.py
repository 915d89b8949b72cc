"""Routes for people who sign in: their session, password and second factor."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, Field, SecretStr, StringConstraints, TypeAdapter

from desk.access import passwords, second_factor
from desk.access.permissions import Actor, Permission
from desk.access.sessions import COOKIE, SignedIn, set_cookie
from desk.access.sign_in import CodeNeeded, Shown, SignInRefused, TooManyTries
from desk.api.callers import cross_site, of_another_page
from desk.api.problems import Problem
from desk.api.route import Answer, Call, Nothing, Route
from desk.front_door import FrontDoor
from schemas.events.access import Grant, SecondFactor, UserSaved
from schemas.settings.errors import FieldError
from schemas.settings.types import SettingsModel

ShownSecret = Annotated[SecretStr, Field(min_length=1, max_length=1024)]
"""Longer than any password: a wrong one is wrong, and not invalid."""
Code = Annotated[SecretStr, Field(max_length=64)]


class SignInForm(SettingsModel):
    """What somebody shows who signs in. code: an authenticator's, or a recovery code, of who has a second factor."""

    login: Annotated[str, StringConstraints(min_length=1, max_length=320)]
    password: ShownSecret
    code: Code | None = None


class PasswordForm(SettingsModel):
    """current: the password that it replaces."""

    current: ShownSecret
    new: SecretStr


class EnrolForm(SettingsModel):
    """password: the user's."""

    password: ShownSecret


class ConfirmForm(SettingsModel):
    """enrolment: as it was answered. code: the authenticator's."""

    enrolment: Annotated[str, StringConstraints(max_length=2000)] = Field(repr=False)
    code: Code


class SessionAnswer(BaseModel):
    """Who calls, and what they may. login, second_factor, ends_at: of a person; ends_at: at the latest."""

    actor: str
    name: str
    grant: Grant
    permissions: tuple[Permission, ...]
    login: str | None = None
    second_factor: bool | None = None
    ends_at: datetime | None = None


class EnrolmentAnswer(BaseModel):
    """A second factor that is not set yet. uri: to show as a QR code; enrolment: to send with the first code."""

    secret: str = Field(repr=False)
    uri: str = Field(repr=False)
    enrolment: str = Field(repr=False)


class RecoveryAnswer(BaseModel):
    """Codes for when the authenticator is lost. They are shown this once."""

    recovery_codes: tuple[str, ...] = Field(repr=False)


class SessionRoutes:
    """Handlers and their routes."""

    def __init__(self, door: FrontDoor) -> None:
        self._door = door

    def routes(self) -> tuple[Route, ...]:
        """Their part of the table."""
        session, factor, own = "/v1/session", "/v1/session/second-factor", Permission.SELF
        return (
            Route(
                "POST",
                session,
                None,
                "Sign in with a password.",
                self.sign_in,
                SessionAnswer,
                status=201,
                body=TypeAdapter(SignInForm),
                problems=(401, 403),
            ),
            Route("GET", session, Permission.READ, "Who calls, and what they may.", self.show_session, SessionAnswer),
            Route("DELETE", session, own, "Sign out.", self.sign_out),
            Route("DELETE", "/v1/sessions", own, "Sign out everywhere.", self.sign_out_everywhere),
            Route(
                "PUT",
                f"{session}/password",
                own,
                "Change one's own password.",
                self.change_password,
                body=TypeAdapter(PasswordForm),
            ),
            Route(
                "POST",
                factor,
                own,
                "Begin to set a second factor.",
                self.enrol_second_factor,
                EnrolmentAnswer,
                body=TypeAdapter(EnrolForm),
            ),
            Route(
                "POST",
                f"{factor}/confirm",
                own,
                "Set the second factor, by its first code.",
                self.confirm_second_factor,
                RecoveryAnswer,
                body=TypeAdapter(ConfirmForm),
            ),
            Route(
                "POST",
                f"{factor}/remove",
                own,
                "Remove one's own second factor.",
                self.remove_second_factor,
                body=TypeAdapter(EnrolForm),
            ),
        )

    async def sign_in(self, call: Call[SignInForm]) -> Answer:
        """The session's cookie comes with the answer."""
        door, form = self._door, call.body
        if of_another_page(call.request):
            raise cross_site()
        code = None if form.code is None else form.code.get_secret_value()
        shown = Shown(form.login, form.password.get_secret_value(), code)
        try:
            user = await door.sign_in.admit(shown, door.address(call.request))
        except SignInRefused:
            raise _refused() from None
        except CodeNeeded:
            raise Problem(401, "code_needed", "send the code of your authenticator too", headers=_CHALLENGE) from None
        except TooManyTries as error:
            seconds = str(int(error.wait.total_seconds()) + 1)
            detail = f"wait {seconds} s: there are too many tries, from this address or at once"
            raise Problem(429, "too_many_tries", detail, headers={"Retry-After": seconds}) from None
        await self._end(call)
        strong = user.second_factor is not None
        cookie, signed_in = await door.sessions.begin(user, door.means.clock(), strong=strong)
        return Answer(_shown(signed_in), headers={"Set-Cookie": set_cookie(cookie)})

    async def show_session(self, call: Call[None]) -> Answer:
        """Also of a token."""
        actor, cookie = call.actor, call.request.cookies.get(COOKIE)
        signed_in = None
        if actor.id.startswith("user/") and cookie is not None:
            signed_in = await self._door.sessions.find(cookie, self._door.means.clock())
        if signed_in is not None:
            return Answer(_shown(signed_in))
        return Answer(
            SessionAnswer(actor=actor.id, name=actor.name, grant=actor.grant, permissions=_permissions(actor))
        )

    async def sign_out(self, call: Call[None]) -> Answer:
        """Here."""
        await self._end(call)
        return Answer(Nothing(), headers=_SIGNED_OUT)

    async def sign_out_everywhere(self, call: Call[None]) -> Answer:
        """Here, too."""
        await self._door.writer.sign_out_everywhere(call.actor, self._user(call).id)
        return Answer(Nothing(), headers=_SIGNED_OUT)

    async def change_password(self, call: Call[PasswordForm]) -> Answer:
        """Other sessions end."""
        user, new = self._user(call), call.body.new.get_secret_value()
        await self._confirm(user, call.body.current, "current")
        reason = passwords.why_not(new, (user.login, user.name))
        if reason is not None:
            raise Problem(422, "not_valid", "choose another password", [FieldError("new", reason)])
        hash = await self._door.passwords.hash(new)
        changed = await self._door.writer.set_password(call.actor, user.id, hash)
        return Answer(Nothing(), headers=await self._renew(call, changed))

    async def enrol_second_factor(self, call: Call[EnrolForm]) -> Answer:
        """Nothing is kept before it is confirmed."""
        user, means = self._user(call), self._door.means
        await self._confirm(user, call.body.password, "password")
        secret = second_factor.new_secret(means.random_bytes)
        data = {"user": user.id, "secret": secret, "epoch": str(user.epoch)}
        return Answer(
            EnrolmentAnswer(
                secret=secret,
                uri=second_factor.enrolment_uri(secret, user.login),
                enrolment=self._door.seals.seal("second factor", data, means.clock()),
            )
        )

    async def confirm_second_factor(self, call: Call[ConfirmForm]) -> Answer:
        """Other sessions end."""
        user, door, now = self._user(call), self._door, self._door.means.clock()
        enrolled = door.seals.open("second factor", call.body.enrolment, now)
        if enrolled is None or (enrolled["user"], enrolled["epoch"]) != (user.id, str(user.epoch)):
            raise Problem(422, "not_valid", "begin again", [FieldError("enrolment", "is not one that counts now")])
        step = second_factor.code_step(enrolled["secret"], call.body.code.get_secret_value(), now)
        if step is None or not await door.store.use_step(user.id, step):
            raise Problem(422, "not_valid", "show the present code", [FieldError("code", "is not the present one")])
        codes = second_factor.new_recovery_codes(door.means.random_bytes)
        factor = SecondFactor(
            secret=door.means.encrypt(enrolled["secret"]), recovery=tuple(map(second_factor.recovery_hash, codes))
        )
        changed = await door.writer.set_second_factor(call.actor, user.id, factor)
        return Answer(RecoveryAnswer(recovery_codes=codes), headers=await self._renew(call, changed))

    async def remove_second_factor(self, call: Call[EnrolForm]) -> Answer:
        """Other sessions end."""
        user = self._user(call)
        await self._confirm(user, call.body.password, "password")
        changed = await self._door.writer.set_second_factor(call.actor, user.id, None)
        return Answer(Nothing(), headers=await self._renew(call, changed))

    def _user(self, call: Call[Any]) -> UserSaved:
        user = self._door.directory.user(call.actor.id.removeprefix("user/"))
        if user is None:
            raise _refused()
        return user

    async def _confirm(self, user: UserSaved, password: SecretStr, field: str) -> None:
        try:
            await self._door.sign_in.confirm(user, password.get_secret_value())
        except SignInRefused:
            wrong = FieldError(field, "is wrong, or was wrong too often: wait a little")
            raise Problem(422, "not_valid", "show your password", [wrong]) from None

    async def _end(self, call: Call[Any]) -> None:
        cookie = call.request.cookies.get(COOKIE)
        if cookie is not None:
            await self._door.sessions.end(cookie)

    async def _renew(self, call: Call[Any], user: UserSaved) -> dict[str, str]:
        """A session for who has just ended all of theirs."""
        await self._end(call)
        strong = user.second_factor is not None
        cookie, _ = await self._door.sessions.begin(user, self._door.means.clock(), strong=strong)
        return {"Set-Cookie": set_cookie(cookie)}


_CHALLENGE = {"WWW-Authenticate": "Bearer"}
_SIGNED_OUT = {"Set-Cookie": set_cookie(""), "Clear-Site-Data": '"cache", "storage"'}


def _refused() -> Problem:
    detail = "the login, password or code is wrong, or there were too many tries: then wait some minutes"
    return Problem(401, "sign_in_refused", detail, headers=_CHALLENGE)


def _shown(signed_in: SignedIn) -> SessionAnswer:
    user, actor = signed_in.user, signed_in.actor
    return SessionAnswer(
        actor=actor.id,
        name=user.name,
        grant=user.grant,
        permissions=_permissions(actor),
        login=user.login,
        second_factor=user.second_factor is not None,
        ends_at=signed_in.ends_at,
    )


def _permissions(actor: Actor) -> tuple[Permission, ...]:
    return tuple(permission for permission in Permission if actor.may(permission))

"""Routes for users: who they are, what they may, and a way back in for who has lost theirs."""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field, SecretStr, TypeAdapter

from desk.access import passwords
from desk.access.directory import checked_login
from desk.access.permissions import Actor, Permission, exceeds
from desk.access.writer import LoginTaken, UnknownUser, UserFields
from desk.api.grants import GrantForm, Line
from desk.api.listing import page_of
from desk.api.problems import Problem, not_found
from desk.api.reading import PageQuery
from desk.api.route import Answer, Call, Nothing, Route
from desk.directory import DeskDirectory
from desk.front_door import FrontDoor
from schemas.events.access import Grant, UserSaved
from schemas.settings.errors import FieldError
from schemas.settings.types import Flag, SettingsModel

Login = Annotated[str, AfterValidator(checked_login), Field(max_length=254, json_schema_extra={"format": "email"})]


class UserForm(SettingsModel):
    """A new user. login: their email address; password: none: they sign in at the OIDC provider."""

    login: Login
    name: Line
    grant: GrantForm
    password: SecretStr | None = None


class UserChange(SettingsModel):
    """What changes. Their sessions end with a change of anything but the name, and with sign_out."""

    name: Line | None = None
    grant: GrantForm | None = None
    password: SecretStr | None = None
    disabled: Flag | None = None
    remove_second_factor: Flag = False
    sign_out: Flag = False


class ShownUser(BaseModel):
    """A user. oidc: they have signed in at the OIDC provider; last_used_at: to ten minutes, as far as it is known."""

    id: str
    login: str
    name: str
    grant: Grant
    disabled: bool
    password: bool
    second_factor: bool
    oidc: bool
    created_at: datetime
    created_by: str
    last_used_at: datetime | None


class UserAnswer(BaseModel):
    """One user."""

    user: ShownUser


class UsersAnswer(BaseModel):
    """Those whose grant the caller could have given, by login. cursor: of the next page; null: this is the last one."""

    users: tuple[ShownUser, ...]
    cursor: str | None


class UserRoutes:
    """Handlers and their routes."""

    def __init__(self, door: FrontDoor, directory: DeskDirectory) -> None:
        self._door, self._directory = door, directory

    def routes(self) -> tuple[Route, ...]:
        """Their part of the table."""
        users, user, administer = "/v1/users", "/v1/users/{id}", Permission.ADMINISTER
        form, change = TypeAdapter(UserForm), TypeAdapter(UserChange)
        return (
            Route("GET", users, administer, "List users.", self.list_users, UsersAnswer, query=PageQuery),
            Route(
                "POST",
                users,
                administer,
                "Create a user.",
                self.create_user,
                UserAnswer,
                status=201,
                body=form,
                problems=(409,),
            ),
            Route("GET", user, administer, "Show a user.", self.show_user, UserAnswer),
            Route(
                "PATCH",
                user,
                administer,
                "Change a user.",
                self.change_user,
                UserAnswer,
                body=change,
                problems=(409,),
            ),
            Route("DELETE", user, administer, "Delete a user.", self.delete_user),
        )

    async def list_users(self, call: Call[None]) -> Answer:
        """Without their secrets."""
        used = await self._door.store.last_used()
        seen = [user for user in self._door.directory.users() if exceeds(user.grant, call.actor.grant) is None]
        page, cursor = page_of(seen, lambda user: user.login, call.query)
        shown = tuple(_shown(user, used.get(f"user/{user.id}")) for user in page)
        return Answer(UsersAnswer(users=shown, cursor=cursor))

    async def show_user(self, call: Call[None]) -> Answer:
        """Without secrets."""
        user = self._door.directory.user(call.path["id"])
        if user is None or exceeds(user.grant, call.actor.grant) is not None:
            raise not_found()
        return await self._answer(user)

    async def create_user(self, call: Call[UserForm]) -> Answer:
        """They may sign in at once."""
        form = call.body
        grant = form.grant.grant(call.actor, self._directory)
        password = await self._hashed(form.password, form.login, form.name)
        fields = UserFields(name=form.name, grant=grant, password=password)
        try:
            return await self._answer(await self._door.writer.create_user(call.actor, form.login, fields))
        except LoginTaken:
            taken = [FieldError("login", "is another user's")]
            raise Problem(409, "login_taken", "choose another login", taken) from None

    async def change_user(self, call: Call[UserChange]) -> Answer:
        """What is left out stays."""
        form, id = call.body, call.path["id"]
        user = self._door.directory.user(id)
        if user is None or exceeds(user.grant, call.actor.grant) is not None:
            raise not_found()
        _refuse_own(call.actor, form, id)
        fields = UserFields(
            name=form.name,
            grant=None if form.grant is None else form.grant.grant(call.actor, self._directory),
            password=await self._hashed(form.password, user.login, user.name),
            disabled=form.disabled,
            second_factor_removed=form.remove_second_factor,
            signed_out=form.sign_out,
        )
        try:
            return await self._answer(await self._door.writer.change_user(call.actor, id, fields))
        except UnknownUser:
            raise not_found() from None

    async def delete_user(self, call: Call[None]) -> Answer:
        """Their sessions end. Tokens that they made stay."""
        try:
            await self._door.writer.delete_user(call.actor, call.path["id"])
        except UnknownUser:
            raise not_found() from None
        return Answer(Nothing())

    async def _hashed(self, password: SecretStr | None, login: str, name: str) -> str | None:
        if password is None:
            return None
        reason = passwords.why_not(password.get_secret_value(), (login, name))
        if reason is not None:
            raise Problem(422, "not_valid", "choose another password", [FieldError("password", reason)])
        return await self._door.passwords.hash(password.get_secret_value())

    async def _answer(self, user: UserSaved) -> Answer:
        used = await self._door.store.last_used()
        return Answer(UserAnswer(user=_shown(user, used.get(f"user/{user.id}"))))


def _refuse_own(actor: Actor, form: UserChange, id: str) -> None:
    """One's own password and second factor change only where the present password is shown."""
    if actor.id == f"user/{id}" and (form.password is not None or form.remove_second_factor):
        raise Problem(409, "own_secret", "change your own at /v1/session, where you show your password")


def _shown(user: UserSaved, used: datetime | None) -> ShownUser:
    return ShownUser(
        id=user.id,
        login=user.login,
        name=user.name,
        grant=user.grant,
        disabled=user.disabled,
        password=user.password is not None,
        second_factor=user.second_factor is not None,
        oidc=user.subject is not None,
        created_at=user.created_at,
        created_by=user.created_by,
        last_used_at=used,
    )

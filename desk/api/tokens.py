"""Routes for API tokens: create, list, revoke."""

from datetime import datetime

from pydantic import BaseModel, Field, TypeAdapter

from desk.access.permissions import Permission, exceeds
from desk.access.writer import UnknownToken
from desk.api.grants import GrantForm, Line
from desk.api.listing import page_of
from desk.api.problems import Problem, not_found
from desk.api.reading import PageQuery
from desk.api.route import Answer, Call, Nothing, Route
from desk.directory import DeskDirectory
from desk.front_door import FrontDoor
from schemas.events.access import Grant, TokenSaved
from schemas.settings.errors import FieldError
from schemas.settings.types import Instant, SettingsModel


class TokenForm(SettingsModel):
    """A new token. name: what it is for."""

    name: Line
    grant: GrantForm
    expires_at: Instant | None = None


class ShownToken(BaseModel):
    """A token without its secret. last_used_at: to ten minutes, as far as it is known."""

    id: str
    name: str
    grant: Grant
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    last_used_at: datetime | None


class TokensAnswer(BaseModel):
    """Those that the caller could have given, by id. cursor: of the next page; null: this is the last one."""

    tokens: tuple[ShownToken, ...]
    cursor: str | None


class CreatedToken(BaseModel):
    """A token that is new. secret: what is sent to the API; it is shown this once."""

    token: ShownToken
    secret: str = Field(repr=False)


class TokenRoutes:
    """Handlers and their routes."""

    def __init__(self, door: FrontDoor, directory: DeskDirectory) -> None:
        self._door, self._directory = door, directory

    def routes(self) -> tuple[Route, ...]:
        """Their part of the table."""
        administer, form = Permission.ADMINISTER, TypeAdapter(TokenForm)
        return (
            Route("GET", "/v1/tokens", administer, "List tokens.", self.list_tokens, TokensAnswer, query=PageQuery),
            Route("POST", "/v1/tokens", administer, "Create a token.", self.create_token, CreatedToken, 201, body=form),
            Route("DELETE", "/v1/tokens/{id}", administer, "Revoke a token.", self.revoke_token),
        )

    async def list_tokens(self, call: Call[None]) -> Answer:
        """Without their secrets."""
        used = await self._door.store.last_used()
        tokens = self._door.directory.tokens()
        seen = [token for token in tokens if exceeds(token.grant, call.actor.grant) is None]
        page, cursor = page_of(seen, lambda token: token.id, call.query)
        shown = tuple(_shown(token, used.get(f"token/{token.id}")) for token in page)
        return Answer(TokensAnswer(tokens=shown, cursor=cursor))

    async def create_token(self, call: Call[TokenForm]) -> Answer:
        """Its secret is in this answer only."""
        form = call.body
        grant = form.grant.grant(call.actor, self._directory)
        if form.expires_at is not None and form.expires_at <= self._door.means.clock():
            raise Problem(422, "not_valid", "the token would count never", [FieldError("expires_at", "has passed")])
        saved, secret = await self._door.writer.create_token(call.actor, form.name, grant, form.expires_at)
        return Answer(CreatedToken(token=_shown(saved, None), secret=secret))

    async def revoke_token(self, call: Call[None]) -> Answer:
        """It counts no more."""
        try:
            await self._door.writer.revoke_token(call.actor, call.path["id"])
        except UnknownToken:
            raise not_found() from None
        return Answer(Nothing())


def _shown(token: TokenSaved, used: datetime | None) -> ShownToken:
    return ShownToken(
        id=token.id,
        name=token.name,
        grant=token.grant,
        created_at=token.created_at,
        created_by=token.created_by,
        expires_at=token.expires_at,
        last_used_at=used,
    )

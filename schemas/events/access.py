"""Who may use the control API, and what was done with it: events of the topics access and audit."""

from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, JsonValue

from schemas.event import Event


class Role(StrEnum):
    """What its holder may do (docs/access.md). Each but `read` includes all of the one after it."""

    ADMIN = "admin"
    SUPERVISOR = "supervisor"
    AGENT = "agent"
    READ = "read"


class Grant(BaseModel):
    """A role, and where it holds.

    account: None: in all of them. channels: None: all of the account's. agent: the human agent whom its holder is:
    commands are given in that agent's name. An agent sees their own conversations, their teams', and what waits.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    role: Role
    account: str | None = None
    channels: tuple[str, ...] | None = None
    agent: str | None = None


class TokenSaved(Event):
    """An API token was made. Key: token / id. Written by desk.

    hash: hex SHA-256 of the token, which itself is kept nowhere.
    """

    type: ClassVar[str] = "token.saved"

    id: str
    name: str
    hash: str
    grant: Grant
    created_at: datetime
    created_by: str
    expires_at: datetime | None = None


class TokenRevoked(Event):
    """An API token counts no more. Key: token / id. Written by desk."""

    type: ClassVar[str] = "token.revoked"

    id: str


class AuditRecorded(Event):
    """Something was changed over the control API. Key: account id. Written by desk.

    actor: `token/{id}` or `user/{id}`. action: the route's name. target: what was changed, by its path. before, after:
    without secrets; None: there was nothing, or nothing is shown of it.
    """

    type: ClassVar[str] = "audit.recorded"

    actor: str
    action: str
    target: str
    before: JsonValue = None
    after: JsonValue = None

"""Who may use the control API, and what was done with it: events of the topics access and audit."""

from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue

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
    hash: str = Field(repr=False)
    grant: Grant
    created_at: datetime
    created_by: str
    expires_at: datetime | None = None


class TokenRevoked(Event):
    """An API token counts no more. Key: token / id. Written by desk."""

    type: ClassVar[str] = "token.revoked"

    id: str


class SecondFactor(BaseModel):
    """What a user shows beside the password: an authenticator's code (RFC 6238) or a recovery code, which counts once.

    secret: the authenticator's, encrypted with the installation's key. recovery: hex SHA-256 of each code that is left.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    secret: str = Field(repr=False)
    recovery: tuple[str, ...] = Field(default=(), repr=False)


class UserSaved(Event):
    """A person who may call, new or as they are from now on. Key: user / id. Written by desk.

    login: their email address, in lower case. password: its Argon2id hash; None: they have none. subject: who they are
    at the OIDC provider. epoch: a session that began under a lower one counts no more.
    """

    type: ClassVar[str] = "user.saved"

    id: str
    login: str
    name: str
    grant: Grant
    created_at: datetime
    created_by: str
    password: str | None = Field(default=None, repr=False)
    second_factor: SecondFactor | None = None
    subject: str | None = None
    disabled: bool = False
    epoch: int = 0


class UserDeleted(Event):
    """A person who calls no more. Key: user / id. Written by desk."""

    type: ClassVar[str] = "user.deleted"

    id: str


class AuditRecorded(Event):
    """Something was changed over the control API or in the terminal. Key: account id; `*`: all. Written by desk.

    actor: `token/{id}`, `user/{id}`, `terminal/{login}` or `oidc`. action: the route's name. target: what was changed,
    by its path. before, after: without secrets; None: there was nothing, or nothing is shown of it.
    """

    type: ClassVar[str] = "audit.recorded"

    actor: str
    action: str
    target: str
    before: JsonValue = None
    after: JsonValue = None

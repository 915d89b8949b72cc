"""What each role may do. docs/access.md has the table, which a test compares."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from schemas.events.access import Grant, Role
from schemas.settings.errors import FieldError


class Permission(StrEnum):
    """Something that a route may ask for."""

    READ = "read"
    """Settings without secrets, people, conversations, reports."""
    ACT = "act"
    """Commands to conversations, one's own presence."""
    DIRECT = "direct"
    """Others' presence and memberships, dead letters, replay."""
    ADMINISTER = "administer"
    """Settings, agents, webhook addresses, tokens, users, audit."""
    SELF = "self"
    """One's own session, password and second factor: people have it, tokens don't."""


_EACH: Final = {
    Role.READ: frozenset({Permission.READ, Permission.SELF}),
    Role.AGENT: frozenset({Permission.READ, Permission.ACT, Permission.SELF}),
    Role.SUPERVISOR: frozenset({Permission.READ, Permission.ACT, Permission.DIRECT, Permission.SELF}),
    Role.ADMIN: frozenset(Permission),
}
PERMISSIONS: Final[Mapping[Role, frozenset[Permission]]] = _EACH


@dataclass(frozen=True, slots=True)
class Actor:
    """Who calls. id: `token/{id}`, `user/{id}`, or another of the audit topic's.

    limited: they need a second factor, and have none yet.
    """

    id: str
    name: str
    grant: Grant
    limited: bool = False

    def may(self, permission: Permission) -> bool:
        """Whether they have the permission."""
        return self.why_not(permission) is None

    def why_not(self, permission: Permission) -> str | None:
        """Why they don't have the permission; None: they do."""
        if permission is Permission.SELF and not self.id.startswith("user/"):
            return "only a person who is signed in has a session, a password and a second factor"
        if permission not in PERMISSIONS[self.grant.role]:
            return f"the role {self.grant.role} may not {permission}"
        if self.limited and permission is not Permission.SELF:
            return "set a second factor first: POST /v1/session/second-factor"
        return None

    def sees_account(self, account: str) -> bool:
        """Whether the account's people and channels may be shown to them."""
        return self.grant.account in (None, account)

    def sees_channel(self, account: str, channel: str) -> bool:
        """Whether the channel, of that account, may be shown to them."""
        return self.sees_account(account) and (self.grant.channels is None or channel in self.grant.channels)


def exceeds(grant: Grant, giver: Grant) -> str | None:
    """Why nobody with the giver's grant may give this one; None: they may. Names the field."""
    order = list(Role)
    if order.index(grant.role) < order.index(giver.role):
        return "role"
    if giver.account is not None and grant.account != giver.account:
        return "account"
    if giver.channels is not None and (grant.channels is None or not set(grant.channels) <= set(giver.channels)):
        return "channels"
    return None


def incomplete(grant: Grant) -> FieldError | None:
    """What is missing in a grant; None: nothing."""
    if grant.role is Role.AGENT and grant.agent is None:
        return FieldError("grant.agent", "is required for the role agent")
    for name in ("channels", "agent"):
        if getattr(grant, name) is not None and grant.account is None:
            return FieldError("grant.account", f"is required with {name}")
    return None

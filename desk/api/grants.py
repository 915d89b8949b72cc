"""Grants as they are asked for in the API."""

from desk.access.permissions import Actor, exceeds
from desk.api.problems import Problem
from desk.directory import DeskDirectory
from schemas.events.access import Grant, Role
from schemas.settings.errors import FieldError, InvalidSettings
from schemas.settings.types import Id, SettingsModel


class GrantForm(SettingsModel):
    """A role, and where it holds. account: none: in all of them. channels: none: all of the account's.

    agent: the human agent whom its holder is; the role agent needs one.
    """

    role: Role
    account: Id | None = None
    channels: tuple[Id, ...] | None = None
    agent: Id | None = None

    def grant(self, giver: Actor, directory: DeskDirectory) -> Grant:
        """The grant. Raises Problem: the giver has less; InvalidSettings: it names somebody or something unknown."""
        grant = Grant(role=self.role, account=self.account, channels=self.channels, agent=self.agent)
        field = exceeds(grant, giver.grant)
        if field is not None:
            more = FieldError(f"grant.{field}", "is more than you have")
            raise Problem(403, "exceeds", "nobody gives more than they have", [more])
        wrong = tuple(_wrong(grant, directory))
        if wrong:
            raise InvalidSettings(wrong)
        return grant


def _wrong(grant: Grant, directory: DeskDirectory) -> list[FieldError]:
    if grant.account is None:
        needing = [name for name in ("channels", "agent") if getattr(grant, name) is not None]
        if grant.role is Role.AGENT and "agent" not in needing:
            needing.append("agent")
        return [FieldError("grant.account", f"is required with {name}") for name in needing[:1]]
    errors = []
    for index, id in enumerate(grant.channels or ()):
        channel = directory.find(id)
        if channel is None or channel.account != grant.account or channel.state == "deleted":
            errors.append(FieldError(f"grant.channels[{index}]", "is not a channel of the account"))
    if grant.role is Role.AGENT and grant.agent is None:
        errors.append(FieldError("grant.agent", "is required for the role agent"))
    if grant.agent is not None and directory.find_agent(grant.account, grant.agent) is None:
        errors.append(FieldError("grant.agent", "is not a human agent of the account"))
    return errors

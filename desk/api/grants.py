"""Grants as they are asked for in the API."""

from typing import Annotated

from pydantic import AfterValidator, StringConstraints

from desk.access.permissions import Actor, exceeds, incomplete
from desk.api.problems import Problem
from desk.directory import DeskDirectory
from schemas.events.access import Grant, Role
from schemas.settings.errors import FieldError, InvalidSettings
from schemas.settings.types import Id, SettingsModel


def _line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be one line of text, without control characters")
    return text


Line = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_line)]
"""What people call something: it is printed on terminals, too."""


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
        wrong = [missing] if (missing := incomplete(grant)) is not None else _unknown(grant, directory)
        if wrong:
            raise InvalidSettings(tuple(wrong))
        return grant


def _unknown(grant: Grant, directory: DeskDirectory) -> list[FieldError]:
    errors = []
    for index, id in enumerate(grant.channels or ()):
        channel = directory.find(id)
        if channel is None or channel.account != grant.account or channel.state == "deleted":
            errors.append(FieldError(f"grant.channels[{index}]", "is not a channel of the account"))
    account, agent = grant.account, grant.agent
    if account is not None and agent is not None and directory.find_agent(account, agent) is None:
        errors.append(FieldError("grant.agent", "is not a human agent of the account"))
    return errors

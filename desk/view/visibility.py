"""Who may see what: one predicate, which is part of the SQL of every query, count and search."""

from dataclasses import dataclass
from typing import Literal

from sqlalchemy import ColumnElement, Table, and_, exists, false, or_

from desk.view.schema import AGENT, CHANNEL, CONVERSATION, DEAD_LETTER, REPORT

Role = Literal["admin", "supervisor", "agent", "read"]
Scope = Literal["own", "team", "channels", "all"]


@dataclass(frozen=True)
class Viewer:
    """Who asks.

    scope: all: every conversation of the account; channels: those of `channels`; team: of these those that a team of
    theirs holds, or one of its agents; own: of these those that they hold. channels: None: each of the account's.
    """

    role: Role
    account: str
    scope: Scope
    channels: frozenset[str] | None = None
    agent: str | None = None
    teams: frozenset[str] = frozenset()

    @property
    def leads(self) -> bool:
        """Whether they see what is about channels, not about single conversations."""
        return self.role in ("admin", "supervisor") and self.scope in ("channels", "all")


def visible(viewer: Viewer, of: Table = CONVERSATION) -> ColumnElement[bool]:
    """Whether the viewer may see a conversation. of: what says its channel and assignee."""
    where = in_channels(viewer, of.c.channel)
    match viewer.scope:
        case "all" | "channels":
            return where
        case "own":
            return and_(where, _own(viewer, of))
        case "team":
            return and_(where, or_(_own(viewer, of), _of_teams(viewer, of)))


def in_channels(viewer: Viewer, channel: ColumnElement[str] | ColumnElement[str | None]) -> ColumnElement[bool]:
    """Whether what a channel has may be the viewer's at all: it is of their account, and of their channels.

    A channel that the view has not read yet is nobody's.
    """
    # Correlated, so that SQLite does not read a list's conversations channel by channel, which it then had to sort.
    found = exists().where(CHANNEL.c.id == channel, CHANNEL.c.account == viewer.account)
    if viewer.scope == "all" or viewer.channels is None:
        return found
    return found.where(CHANNEL.c.id.in_(sorted(viewer.channels)))


def visible_letters(viewer: Viewer) -> ColumnElement[bool]:
    """Whether the viewer may see a dead letter: one of their channels or, if they see all of it, of their account."""
    if not viewer.leads:
        return false()
    of_channel = in_channels(viewer, DEAD_LETTER.c.channel)
    return or_(of_channel, DEAD_LETTER.c.account == viewer.account) if viewer.scope == "all" else of_channel


def visible_reports(viewer: Viewer) -> ColumnElement[bool]:
    """Whether the viewer may see figures: an agent what they are credited with, others what their channels have."""
    of_channel = in_channels(viewer, REPORT.c.channel)
    if viewer.scope in ("all", "channels"):
        return of_channel
    return false() if viewer.agent is None else and_(of_channel, REPORT.c.agent == viewer.agent)


def _own(viewer: Viewer, of: Table) -> ColumnElement[bool]:
    return false() if viewer.agent is None else of.c.assignee == f"human/{viewer.agent}"


def _of_teams(viewer: Viewer, of: Table) -> ColumnElement[bool]:
    if not viewer.teams:
        return false()
    teams = sorted(viewer.teams)
    in_team = or_(*(AGENT.c.teams.contains(f"\n{team}\n", autoescape=True) for team in teams))
    holder = AGENT.c.account == viewer.account, of.c.assignee == "human/" + AGENT.c.id, in_team
    return or_(of.c.assignee.in_([f"team/{team}" for team in teams]), exists().where(*holder))

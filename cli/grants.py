"""The options of a grant, and what else `livedesk token` and `livedesk user` share."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import typer

from deploy.access import Access, open_access
from deploy.errors import LiveDeskError
from deploy.settings import Settings
from desk.access.permissions import incomplete
from schemas.events.access import Grant, Role

RoleOption = Annotated[Role, typer.Option("--role", help="What its holder may do: docs/access.md.")]
AccountOption = Annotated[str | None, typer.Option("--account", help="The account that it holds in; else in all.")]
ChannelOption = Annotated[
    list[str] | None, typer.Option("--channel", help="A channel that it holds for, else all; may be repeated.")
]
AgentOption = Annotated[
    str | None, typer.Option("--agent", help="The human agent whom its holder is. The role agent needs one.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]

_ResultT = TypeVar("_ResultT")


def grant_of(role: Role, account: str | None, channels: list[str] | None, agent: str | None) -> Grant:
    """The grant that the options say. Raises LiveDeskError."""
    grant = Grant(role=role, account=account, channels=tuple(channels) if channels else None, agent=agent)
    missing = incomplete(grant)
    if missing is not None:
        raise LiveDeskError(f"--{missing.field.removeprefix('grant.')} {missing.message}.")
    return grant


def described(grant: Grant) -> str:
    """The grant in a line."""
    where = [grant.account or "all accounts", *(grant.channels or ())]
    return f"{grant.role} in {', '.join(where)}" + ("" if grant.agent is None else f", as {grant.agent}")


def with_access(settings: Settings, work: Callable[[Access], Awaitable[_ResultT]]) -> _ResultT:
    """Do something with the tokens and users that there are. Raises LiveDeskError."""

    async def run() -> _ResultT:
        async with open_access(settings) as access:
            return await work(access)

    return asyncio.run(run())

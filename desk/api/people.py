"""Routes for human agents: who belongs to an account and its channels, and whether they are there."""

from typing import Any

from pydantic import BaseModel, TypeAdapter

from desk.access.permissions import Actor, Permission
from desk.api.channels import ChannelAnswer, ChannelRoutes
from desk.api.problems import Problem, not_found
from desk.api.route import Answer, Call, Nothing, Route
from desk.directory import UnknownAgent
from desk.office import Office
from desk.people import PresenceRequest
from schemas.settings.channels_file import Agent, Workload
from schemas.settings.types import Id, Name, SettingsModel


class AgentForm(SettingsModel):
    """An agent as they are from now on. What is left out has its default."""

    name: Name = ""
    workload: Workload = "default"
    teams: tuple[Id, ...] = ()


class AgentAnswer(BaseModel):
    """One agent."""

    agent: Agent


class AgentsAnswer(BaseModel):
    """The account's agents, by id, and its teams, which are those that have a member."""

    agents: tuple[Agent, ...]
    teams: tuple[str, ...]


class PresenceAnswer(BaseModel):
    """The state that was written: assignment goes by it from then on."""

    presence: PresenceRequest


class MembershipsAnswer(BaseModel):
    """The channels that the agent is a member of, among those that the caller may see."""

    channels: tuple[str, ...]


class AccountsAnswer(BaseModel):
    """The accounts that the caller may see."""

    accounts: tuple[str, ...]


class PeopleRoutes:
    """Handlers and their routes."""

    def __init__(self, office: Office, channels: ChannelRoutes) -> None:
        self._office, self._channels = office, channels

    def routes(self) -> tuple[Route, ...]:
        """Their part of the table."""
        agents = "/v1/accounts/{account}/agents"
        agent, member = f"{agents}/{{agent}}", "/v1/channels/{channel}/agents/{agent}"
        show, direct, administer = Permission.READ, Permission.DIRECT, Permission.ADMINISTER
        form = TypeAdapter(AgentForm)
        return (
            Route("GET", "/v1/accounts", show, "List accounts.", self.list_accounts, AccountsAnswer),
            Route("GET", agents, show, "List agents and teams.", self.list_agents, AgentsAnswer),
            Route("PUT", agent, administer, "Add or replace an agent.", self.save_agent, AgentAnswer, body=form),
            Route("DELETE", agent, administer, "Delete an agent, who leaves every channel.", self.delete_agent),
            Route(
                "PUT",
                f"{agent}/presence",
                Permission.ACT,
                "Set whether an agent is there.",
                self.set_presence,
                PresenceAnswer,
                status=202,
                body=TypeAdapter(PresenceRequest),
            ),
            Route("PUT", member, direct, "Make an agent a member.", self.add_member, ChannelAnswer),
            Route("DELETE", member, direct, "Take an agent out of a channel.", self.remove_member, ChannelAnswer),
            Route("PUT", f"{agent}/memberships", direct, "A member of all channels.", self.join_all, MembershipsAnswer),
            Route(
                "DELETE", f"{agent}/memberships", direct, "A member of no channel.", self.leave_all, MembershipsAnswer
            ),
        )

    async def list_accounts(self, call: Call[None]) -> Answer:
        """Those of the caller's channels, and the caller's own."""
        found = {channel.account for channel in self._office.channels(call.actor)}
        own = call.actor.grant.account
        return Answer(AccountsAnswer(accounts=tuple(sorted(found | ({own} if own is not None else set())))))

    async def list_agents(self, call: Call[None]) -> Answer:
        """By id."""
        account = call.path["account"]
        directory = self._office.directory
        teams = tuple(sorted(directory.people(account).teams))
        return Answer(AgentsAnswer(agents=tuple(directory.agents(account)), teams=teams))

    async def save_agent(self, call: Call[AgentForm]) -> Answer:
        """New, or in place of the one of that id."""
        agent = Agent(id=call.path["agent"], **call.body.model_dump())
        await self._office.people.by(call.actor.id, "save_agent").save(call.path["account"], agent)
        return Answer(AgentAnswer(agent=agent))

    async def delete_agent(self, call: Call[None]) -> Answer:
        """Their open conversations are queued again."""
        people = self._office.people.by(call.actor.id, "delete_agent")
        await self._of_agent(call, people.delete(call.path["account"], call.path["agent"]))
        return Answer(Nothing())

    async def set_presence(self, call: Call[PresenceRequest]) -> Answer:
        """An agent may set their own only."""
        if not _may_set_presence(call.actor, call.path["agent"]):
            raise Problem(403, "not_allowed", "you may set your own presence only")
        presence = self._office.people.set_presence(call.path["account"], call.path["agent"], call.body)
        await self._of_agent(call, presence)
        return Answer(PresenceAnswer(presence=call.body))

    async def add_member(self, call: Call[None]) -> Answer:
        """From now on."""
        return await self._member(call, member=True)

    async def remove_member(self, call: Call[None]) -> Answer:
        """Their open conversations of the channel are queued again."""
        return await self._member(call, member=False)

    async def join_all(self, call: Call[None]) -> Answer:
        """Of every channel of the account."""
        return await self._memberships(call, member=True)

    async def leave_all(self, call: Call[None]) -> Answer:
        """Of none of the account."""
        return await self._memberships(call, member=False)

    async def _member(self, call: Call[None], *, member: bool) -> Answer:
        changed = self._office.writer.by(call.actor.id, "set_member").set_member(
            call.path["channel"], call.path["agent"], member
        )
        return Answer(ChannelAnswer(channel=self._channels.shown(await self._of_agent(call, changed), call.actor)))

    async def _memberships(self, call: Call[None], *, member: bool) -> Answer:
        agent, account = call.path["agent"], call.path["account"]
        if call.actor.grant.channels is not None:
            raise Problem(403, "not_allowed", "your role holds for some channels of the account only")
        await self._of_agent(
            call, self._office.writer.by(call.actor.id, "set_memberships").set_member_of_all(account, agent, member)
        )
        channels = self._office.channels(call.actor)
        mine = tuple(one.id for one in channels if one.account == account and agent in one.human_agents)
        return Answer(MembershipsAnswer(channels=mine))

    async def _of_agent(self, _call: Call[Any], doing: Any) -> Any:
        try:
            return await doing
        except UnknownAgent:
            raise not_found() from None


def _may_set_presence(actor: Actor, agent: str) -> bool:
    return actor.may(Permission.DIRECT) or actor.grant.agent == agent

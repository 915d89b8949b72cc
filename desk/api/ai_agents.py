"""Routes for an account's AI agents: create, show, change, try, delete."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, JsonValue, TypeAdapter

from desk.access.permissions import Actor, Permission
from desk.ai_agents import AiAgents, InUse
from desk.ai_services import try_agent
from desk.api.problems import Problem, not_found
from desk.api.route import Answer, Call, Nothing, Partial, Route, changed_meanwhile, etag, if_match
from desk.channel_writer import Changed
from desk.directory import UnknownAiAgent
from desk.office import Office
from schemas.settings.ai import AiAgentSettings, AiLimits, GptAgent, HandOverRules, HttpAgent, Tool
from schemas.settings.errors import FieldError


class ShownTool(BaseModel):
    """A tool. headers: their names, each with null; url: administrators see it."""

    model_config = ConfigDict(frozen=True)

    name: str
    description: str
    method: Literal["GET", "POST"]
    url: str | None
    parameters: dict[str, JsonValue]
    headers: dict[str, None]
    timeout_s: int


class ShownHttpAgent(BaseModel):
    """An AI agent that the account runs itself. has_key: a key is set, which is never shown; url: as a tool's."""

    model_config = ConfigDict(frozen=True)

    id: str
    kind: Literal["http"]
    name: str
    revision: int
    has_key: bool
    url: str | None


class ShownGptAgent(BaseModel):
    """A GPT agent. has_key: a key is set, which is never shown."""

    model_config = ConfigDict(frozen=True)

    id: str
    kind: Literal["gpt"]
    name: str
    revision: int
    has_key: bool
    model: str
    base_url: str
    instructions: str
    tone: str
    language: str | None
    knowledge: tuple[str, ...]
    grounded: bool
    tools: tuple[ShownTool, ...]
    limits: AiLimits
    hand_over: HandOverRules
    embeddings: str | None
    price_in: str
    price_out: str
    timeout_s: int


class AiAgentAnswer(BaseModel):
    """One AI agent. channels: those that list it, among those that the caller may see."""

    agent: ShownGptAgent | ShownHttpAgent
    channels: tuple[str, ...]


class AiAgentsAnswer(BaseModel):
    """The account's AI agents, by id."""

    agents: tuple[ShownGptAgent | ShownHttpAgent, ...]


class TriedAgent(BaseModel):
    """It works. message: what was tried."""

    message: str


class AiAgentRoutes:
    """Handlers and their routes."""

    def __init__(self, office: Office) -> None:
        self._office = office

    def routes(self) -> tuple[Route, ...]:
        """Their part of the table."""
        agents = "/v1/accounts/{account}/ai-agents"
        one = f"{agents}/{{agent}}"
        show, administer = Permission.READ, Permission.ADMINISTER
        return (
            Route("GET", agents, show, "List AI agents.", self.list_ai_agents, AiAgentsAnswer),
            Route(
                "POST",
                agents,
                administer,
                "Create an AI agent.",
                self.create_ai_agent,
                AiAgentAnswer,
                status=201,
                body=TypeAdapter(AiAgentSettings),
                tagged=True,
            ),
            Route("GET", one, show, "Show an AI agent.", self.show_ai_agent, AiAgentAnswer),
            Route(
                "PATCH",
                one,
                administer,
                "Change an AI agent, and the channels that list it with it.",
                self.change_ai_agent,
                AiAgentAnswer,
                body=TypeAdapter(Partial),
                conditional=True,
            ),
            Route(
                "DELETE",
                one,
                administer,
                "Delete an AI agent that no channel lists.",
                self.delete_ai_agent,
                problems=(409,),
            ),
            Route(
                "POST",
                f"{one}/test",
                administer,
                "Try its address, key and model.",
                self.test_ai_agent,
                TriedAgent,
                problems=(409, 502, 504),
            ),
        )

    async def list_ai_agents(self, call: Call[None]) -> Answer:
        """Without their secrets."""
        agents = self._office.directory.ai_agents(call.path["account"])
        return Answer(AiAgentsAnswer(agents=tuple(_shown(agent, call.actor) for agent in agents)))

    async def show_ai_agent(self, call: Call[None]) -> Answer:
        """One, with its revision as ETag."""
        return self._answer(call, self._agent(call))

    async def create_ai_agent(self, call: Call[GptAgent | HttpAgent]) -> Answer:
        """Channels that list its id already have it from now on."""
        created = await self._writer(call, "create_ai_agent").create(call.path["account"], call.body)
        return self._answer(call, created)

    async def change_ai_agent(self, call: Call[Partial]) -> Answer:
        """The next revision of the agent, and of each channel that lists it."""
        writer, path = self._writer(call, "change_ai_agent"), call.path
        try:
            changed = await writer.change(path["account"], path["agent"], call.body.given, based_on=if_match(call))
        except UnknownAiAgent:
            raise not_found() from None
        except Changed as error:
            raise changed_meanwhile(error) from None
        return self._answer(call, changed)

    async def delete_ai_agent(self, call: Call[None]) -> Answer:
        """Refused while a channel lists it, as that would ask another one at LIVEDESK_AI_URL without a word."""
        try:
            await self._writer(call, "delete_ai_agent").delete(call.path["account"], call.path["agent"])
        except UnknownAiAgent:
            raise not_found() from None
        except InUse as error:
            raise Problem(409, "in_use", f"{error}: take it out of their ai.agents first") from None
        return Answer(Nothing())

    async def test_ai_agent(self, call: Call[None]) -> Answer:
        """Against its service, now."""
        self._must_lead(call)
        tried = await try_agent(self._agent(call), self._office.reach)
        if tried.problem is None:
            return Answer(TriedAgent(message=tried.message))
        status = {"unreachable": 504, "unreadable": 502}.get(tried.problem, 409)
        errors = (FieldError(tried.field, tried.message),) if tried.field else ()
        raise Problem(status, tried.problem, tried.message, errors)

    def _writer(self, call: Call[Any], action: str) -> AiAgents:
        self._must_lead(call)
        return self._office.ai_agents.by(call.actor.id, action)

    def _must_lead(self, call: Call[Any]) -> None:
        # It may serve channels that they don't see.
        if call.actor.grant.channels is not None:
            raise Problem(403, "not_allowed", "your role holds for some channels of the account only")

    def _agent(self, call: Call[Any]) -> GptAgent | HttpAgent:
        try:
            return self._office.directory.ai_agent(call.path["account"], call.path["agent"])
        except UnknownAiAgent:
            raise not_found() from None

    def _answer(self, call: Call[Any], agent: GptAgent | HttpAgent) -> Answer:
        account = call.path["account"]
        channels = tuple(
            channel.id
            for channel in self._office.channels(call.actor)
            if channel.account == account and agent.id in {one.id for one in channel.ai.agents}
        )
        shown = AiAgentAnswer(agent=_shown(agent, call.actor), channels=channels)
        return Answer(shown, None, etag(agent.revision))


def _shown(agent: GptAgent | HttpAgent, actor: Actor) -> ShownGptAgent | ShownHttpAgent:
    """The agent, as the actor may see it."""
    all_of_it = actor.may(Permission.ADMINISTER)
    data = {**agent.model_dump(mode="json"), "has_key": agent.api_key is not None}
    if isinstance(agent, HttpAgent):
        return ShownHttpAgent.model_validate(data | ({} if all_of_it else {"url": None}))
    return ShownGptAgent.model_validate(data | {"tools": [_tool(tool, all_of_it) for tool in agent.tools]})


def _tool(tool: Tool, all_of_it: bool) -> dict[str, Any]:
    data = {**tool.model_dump(mode="json"), "headers": dict.fromkeys(tool.headers)}
    return data if all_of_it else data | {"url": None}

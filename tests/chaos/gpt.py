"""The world of a run's GPT agent: its model and tools, which the sandbox plays, and what it may answer by."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from aiohttp import ClientSession
from pydantic import BaseModel, TypeAdapter

from simulation.sandbox.gpt.script import Called, GptScript, GptTurn, ToolScript, ToolTurn
from simulation.sandbox.gpt.service import GptLogEntry
from simulation.sandbox.gpt.tools import ToolLogEntry
from simulation.stack import Stack
from tests.chaos.history import Gpt

GPT_AGENT: Final = "gpt"
CITING: Final = "Yes, that is so."
"""With the mark of a source behind it."""
PLAIN: Final = "It is done."
UNREADABLE: Final = "Please write it."
SAID: Final = frozenset({CITING, f"{CITING} [1]", PLAIN, UNREADABLE})
"""All that it may answer. The mark stays where nothing was found."""
DOCUMENT: Final = "# Numbers\n\nEvery number has its place.\n\n# Pictures\n\nA picture has none.\n"
TURNS: Final = 2_000
"""Of the model, and of each tool, until they behave for good."""

AGENT: Final = f"""
  - id: {GPT_AGENT}
    kind: gpt
    name: Gpt
    model: m-1
    base_url: SANDBOX/ai/{GPT_AGENT}/v1
    instructions: Answer.
    knowledge: [faq]
    tools:
      - name: look_up
        description: Look a number up.
        url: SANDBOX/ai/{GPT_AGENT}/tools/look_up
        parameters: {{type: object, properties: {{number: {{type: string}}}}}}
        timeout_s: 2
      - name: book
        description: Book a number.
        method: POST
        url: SANDBOX/ai/{GPT_AGENT}/tools/book
        parameters: {{type: object, properties: {{number: {{type: string}}}}}}
        timeout_s: 2
    hand_over: {{text: "A person will answer.", unreadable: "{UNREADABLE}"}}
    limits: {{machine_answers: 1000}}   # many customers write again within two seconds
    price_in: 2
    price_out: 8
    timeout_s: 5
"""
"""In a channels file; SANDBOX: the sandbox's URL."""

FAILS: Final = GptTurn(does="fail", status=503)
HANGS: Final = GptTurn(does="hang")
LIMITS: Final = GptTurn(does="fail", status=429, retry_after="2")

_LOG: Final = TypeAdapter(list[ToolLogEntry])


class _Calls(BaseModel):
    calls: tuple[GptLogEntry, ...]


@dataclass(frozen=True)
class Models:
    """Tells the sandbox what the model and its tools do. seed: of that."""

    stack: Stack
    seed: int

    async def begin(self) -> None:
        """Add the document, as an administrator does, and have the model and the tools do as they do in a run."""
        url = f"{self.stack.control_url}/v1/accounts/acme1/knowledge/faq/numbers?name=numbers.md"
        async with (
            ClientSession(headers=self.stack.headers) as http,
            http.put(url, data=DOCUMENT.encode()) as response,
        ):
            assert response.status == 200
        await self._tell("gpt", script(self.seed, 0))
        for tool, one in tool_scripts(self.seed):
            await self._tell("tools", ToolScript(agent=GPT_AGENT, tool=tool, turns=one))

    async def heal(self) -> None:
        """They do well from now on."""
        await self._tell("gpt", GptScript(agent=GPT_AGENT, turns=(GptTurn(text=PLAIN),)))
        for tool in ("look_up", "book"):
            await self._tell("tools", ToolScript(agent=GPT_AGENT, tool=tool, turns=(ToolTurn(),)))

    async def history(self) -> Gpt:
        """What the sandbox knows of it."""
        async with ClientSession() as http:
            async with http.get(f"{self.stack.sandbox_url}/sandbox/gpt") as response:
                calls = _Calls.model_validate_json(await response.read()).calls
            async with http.get(f"{self.stack.sandbox_url}/sandbox/tools") as response:
                tools = _LOG.validate_json(await response.read())
        return Gpt(calls, tools, SAID)

    async def _tell(self, path: str, body: GptScript | ToolScript) -> None:
        json = body.model_dump(mode="json", exclude_unset=True, by_alias=True)
        async with ClientSession() as http, http.post(f"{self.stack.sandbox_url}/sandbox/{path}", json=json) as answer:
            assert answer.status == 200


def script(seed: int, number: int) -> GptScript:
    """What the model does; number: of the script: no two have it book the same."""
    rng = random.Random(f"gpt:{seed}:{number}")
    turns = (_turn(rng, f"{seed}-{number}-{turn}") for turn in range(TURNS))
    return GptScript(agent=GPT_AGENT, turns=(*turns, GptTurn(text=PLAIN)))


def _turn(rng: random.Random, number: str) -> GptTurn:
    calls: Sequence[tuple[Called, float]] = (
        (Called(name="look_up", arguments={"number": number}), 12),
        (Called(name="book", arguments={"number": number}), 18),
        (Called(name="label", arguments={"label": "asked"}), 3),
        (Called(name="hand_over", arguments={"reason": "cannot_help", "summary": "It can't."}), 4),
    )
    turns = [
        (GptTurn(text=f"{CITING} [1]"), 30),
        (GptTurn(text=PLAIN), 20),
        *((GptTurn(calls=(call,)), share) for call, share in calls),
        (GptTurn(text=PLAIN, slow_s=1.5), 4),
        (GptTurn(does="cut"), 2),
        (FAILS, 3),
        (LIMITS, 3),
        (HANGS, 0.5),
    ]
    return rng.choices([turn for turn, _ in turns], [share for _, share in turns])[0]


def tool_scripts(seed: int) -> Iterator[tuple[str, tuple[ToolTurn, ...]]]:
    """What each tool answers."""
    turns = (ToolTurn(), ToolTurn(does="lose"), ToolTurn(does="cut"), ToolTurn(status=500), ToolTurn(does="hang"))
    for tool in ("look_up", "book"):
        rng = random.Random(f"tool:{tool}:{seed}")
        yield tool, (*rng.choices(turns, (80, 8, 5, 5, 2), k=TURNS), ToolTurn())

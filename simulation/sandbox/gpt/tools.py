"""An account's tools without their HTTP: what they answer, and what they carried out. No I/O, no clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import orjson
from pydantic import JsonValue

from simulation.sandbox.calls import Json, Reply, Request
from simulation.sandbox.gpt.script import ToolScript, ToolTurn

KEPT: Final = 100_000
_HUGE: Final = b"x" * (1 << 20)


@dataclass(frozen=True)
class ToolLogEntry:
    """A call of a tool. key: the Idempotency-Key. carried_out: by this call; not by one that came again."""

    at: datetime
    agent: str
    tool: str
    method: str
    key: str | None
    arguments: Json
    headers: Mapping[str, str]
    carried_out: bool


class ToolService:
    """Answers as the scripts say; without one with {"result": "ok"}. What came with a key comes again with it."""

    def __init__(self) -> None:
        self._scripts: dict[tuple[str, str], tuple[ToolScript, int]] = {}
        self._answered: dict[tuple[str, str, str], Reply] = {}
        self.log: deque[ToolLogEntry] = deque(maxlen=KEPT)

    def set_script(self, script: ToolScript) -> None:
        """What the tool answers from now on."""
        self._scripts[script.agent, script.tool] = script, 0

    def handle(self, agent: str, tool: str, request: Request, now: datetime) -> Reply:
        """Answer a call."""
        key = request.headers.get("idempotency-key")
        place = agent, tool, key or ""
        known = self._answered.get(place)
        turn = ToolTurn() if known is not None else self._turn(agent, tool)
        carried_out = known is None and turn.does not in ("hang", "cut") and turn.status < 400
        arguments: Json = orjson.loads(request.body) if request.method == "POST" else dict(request.query)
        self.log.append(
            ToolLogEntry(now, agent, tool, request.method, key, arguments, dict(request.headers), carried_out)
        )
        if known is not None:
            return known
        if carried_out and key is not None:
            self._answered[place] = _answer(turn)
            if len(self._answered) > KEPT:
                del self._answered[next(iter(self._answered))]
        match turn.does:
            case "hang":
                return Reply(None, hangs=True)
            case "cut" | "lose":
                return Reply(None)
        return _answer(turn)

    def _turn(self, agent: str, tool: str) -> ToolTurn:
        if (agent, tool) not in self._scripts:
            return ToolTurn()
        script, turn = self._scripts[agent, tool]
        self._scripts[agent, tool] = script, min(turn + 1, len(script.turns) - 1)
        return script.turns[turn]


def _answer(turn: ToolTurn) -> Reply:
    match turn.does:
        case "redirect":
            return Reply(302, headers={"Location": "http://elsewhere.example/"})
        case "binary":
            return Reply(200, b"\x89PNG\r\n", "image/png")
        case "huge":
            return Reply(200, _HUGE, "text/plain")
    if turn.text is not None:
        return Reply(turn.status, turn.text.encode(), "text/plain")
    shown: JsonValue = {"result": "ok"} if turn.json_ is None else turn.json_
    return Reply(turn.status, orjson.dumps(shown))

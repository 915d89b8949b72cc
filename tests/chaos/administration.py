"""Agents come and go, and an administrator changes settings and people, while the load lasts."""

import asyncio
import random
import time
from collections.abc import Mapping
from typing import Final, NamedTuple

import orjson

from tests.chaos.gpt import GPT_AGENT
from tests.chaos.posting import Asked, Poster
from tests.chaos.system import ACCOUNTS, AGENTS, AI_AGENTS, CLOSED_CHANNEL

PRESENCE_EVERY_S: Final = 0.8
CHANGE_EVERY_S: Final = 2.5


class ControlRequest(NamedTuple):
    """A request to the control API. path: after /v1."""

    method: str
    path: str
    body: Mapping[str, object] = {}


class Administration:
    """rng: what comes when."""

    def __init__(self, control_url: str, rng: random.Random) -> None:
        self._url, self._rng = f"{control_url}/v1", rng

    async def run(self, poster: Poster, asked: Asked, seconds: float, began: float) -> None:
        """For so many seconds; at the end everybody is there. began: time.monotonic() of second 0."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._presences(poster, asked, seconds, began))
            tasks.create_task(self._changes(poster, asked, seconds, began))
        for account in ACCOUNTS:
            for agent in AGENTS:
                await self._tell(poster, asked, account, agent, "online")

    async def _presences(self, poster: Poster, asked: Asked, seconds: float, began: float) -> None:
        while time.monotonic() < began + seconds:
            account, agent = self._rng.choice(ACCOUNTS), self._rng.choice(AGENTS)
            state = self._rng.choices(("online", "offline", "busy"), (6, 3, 1))[0]
            await self._tell(poster, asked, account, agent, state)
            await asyncio.sleep(PRESENCE_EVERY_S)

    async def _tell(self, poster: Poster, asked: Asked, account: str, agent: str, state: str) -> None:
        url = f"{self._url}/accounts/{account}/agents/{agent}/presence"
        # 404: deleted just now.
        answer = await poster.ask("PUT", url, {"state": state}, {202, 404})
        asked.presences += answer.status == 202

    async def _changes(self, poster: Poster, asked: Asked, seconds: float, began: float) -> None:
        while time.monotonic() < began + seconds:
            for change in draw_change(self._rng):
                answer = await poster.ask(change.method, self._url + change.path, change.body, {200, 202, 404})
                if answer.status == 200 and (channel := orjson.loads(answer.body).get("channel")):
                    asked.settings.add((channel["id"], channel["revision"]))
            await asyncio.sleep(CHANGE_EVERY_S)


def draw_change(rng: random.Random) -> tuple[ControlRequest, ...]:
    """Something that an administrator does."""
    account, channel = rng.choice(ACCOUNTS), f"wa{rng.randrange(4)}"
    match rng.randrange(10):
        case 0:
            return (_settings("wa0", {"assignment": {"workload_default": rng.randint(4, 14)}}),)
        case 1:
            words = f"Closed, {rng.randint(1, 9)}"
            return (_settings(CLOSED_CHANNEL, {"business_hours": {"unavailable_message": words}}),)
        case 2:
            return (_settings(CLOSED_CHANNEL, {"business_hours": {"enabled": rng.random() < 0.7}}),)
        case 3:
            return (_settings(rng.choice(list(AI_AGENTS)), {"ai": {"enabled": rng.random() < 0.7}}),)
        case 4:
            return (_settings(channel, {"csat": {"enabled": rng.random() < 0.8, "labels": {"mode": "except"}}}),)
        case 5:
            return (_settings(channel, {"csat": {"labels": {"mode": "except", "labels": ["vip"]}}}),)
        case 6:
            method, agent = rng.choice(("PUT", "DELETE")), rng.choice(("a4", "a5"))
            return (ControlRequest(method, f"/channels/{channel}/agents/{agent}"),)
        case 7:
            change = {"instructions": f"Answer, {rng.randint(1, 9)}."}
            return (ControlRequest("PATCH", f"/accounts/acme1/ai-agents/{GPT_AGENT}", change),)
        case 8:
            workload = rng.choice((None, "default", rng.randint(1, 9)))
            person = {"name": "Bo", "workload": workload, "teams": rng.choice((["day"], []))}
            return (ControlRequest("PUT", f"/accounts/{account}/agents/a3", person),)
    agent = f"/accounts/{account}/agents/a6"
    if rng.random() < 0.4:
        return (ControlRequest("DELETE", agent),)
    presence = ControlRequest("PUT", f"{agent}/presence", {"state": "online"})
    return ControlRequest("PUT", agent, {"name": "Flo"}), ControlRequest("PUT", f"{agent}/memberships"), presence


def _settings(channel: str, change: Mapping[str, object]) -> ControlRequest:
    return ControlRequest("PATCH", f"/channels/{channel}/settings", change)

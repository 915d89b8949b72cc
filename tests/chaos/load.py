"""The load: customers' numbered callbacks and their ratings, agents' commands."""

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from types import MappingProxyType
from typing import Final

import orjson
from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector

from schemas.ids import channel_of, contact_of, conversation_key
from schemas.settings.channel import ChannelSettings
from simulation.sandbox.accounts import Account
from simulation.sandbox.happenings import Customer, Quote, Written
from simulation.sandbox.media import FileFault, StoredFile
from simulation.sandbox.stand_in import STAND_INS
from simulation.stack import Stack
from streams.clock import wall_clock
from tests.chaos.administration import Administration
from tests.chaos.posting import Asked, Poster
from tests.chaos.system import AI_AGENTS, SURVEY
from tests.support.files import picture

PICTURE: Final = picture("PNG")
LANES = 64
TALKING = 10
"""Customers of a lane who talk at a time."""
MESSAGES = 20
"""What each of them writes."""
CHANNEL_OF_LANE: Final = (0, 1, 0, 3, 1, 4, 2, 1, 0, 3, 1, 0, 2, 1, 4, 3)
"""The AI agents' channels have the fewest customers: there each of their messages is answered."""
LATE: Final[Mapping[int, timedelta]] = MappingProxyType(
    {3: timedelta(hours=25), 7: timedelta(hours=24) - timedelta(seconds=15)}
)
"""By how much some customers' clocks are behind: nothing may be sent to them, or only for a moment."""

COMMANDS: Final[Mapping[str, float]] = MappingProxyType(
    {
        "reply": 0.02,
        "resolve": 0.02,
        "reopen": 0.004,
        "note": 0.003,
        "label": 0.004,
        "snooze": 0.004,
        "assign": 0.006,
        "hand_over": 0.002,
    }
)
"""How many there are of each for a callback."""
RECENT: Final = 500
RESOLVED: Final = 20
"""Messages and resolutions back from now, whose conversations agents do something with."""
PICTURES: Final = 40
"""Of so many messages one is a picture."""
FILE_FAULTS: Final[Sequence[FileFault | None]] = (None, None, "late", "redirected", "too_large")
"""Of those files, for good. What is vanished, hangs or lies so is tried for longer than a run comes to rest: the
saboteur has all files do so for a while."""
ANSWERS: Final = 0.7
"""The share of resolutions after which the customer writes a rating; half of those quote their survey."""


@dataclass(frozen=True)
class Rates:
    """callbacks: a second. duplicates: the share of them that come twice. commands: for each callback, by kind."""

    callbacks: float
    duplicates: float = 0.03
    commands: Mapping[str, float] = field(default_factory=lambda: COMMANDS)

    def __post_init__(self) -> None:
        if self.callbacks <= 0:
            raise ValueError(f"a rate of {self.callbacks} callbacks a second is no load")


class Load:
    """Posts for so many seconds, as many a second. asked: what was acknowledged."""

    def __init__(self, stack: Stack, seed: int, rates: Rates) -> None:
        self._stack, self._rates = stack, rates
        self._rng = random.Random(f"load:{seed}")
        self._administration = Administration(stack.control_url, random.Random(f"desk:{seed}"))
        self._channels = {channel.id: channel for channel in stack.channels.channels}
        self._files: list[StoredFile] = []
        self._recent: list[str] = []
        self._resolved: list[str] = []
        self.asked = Asked()

    async def run(self, seconds: float, began: float) -> None:
        """Returns when all is acknowledged. began: time.monotonic() of second 0."""
        timeout = ClientTimeout(total=10)
        async with ClientSession(timeout=timeout, connector=TCPConnector(limit=0)) as http:
            poster = Poster(http, self.asked, self._stack.headers)
            self._files = [await self._keep(http, fault) for fault in FILE_FAULTS]
            total = int(seconds * self._rates.callbacks)
            async with asyncio.TaskGroup() as tasks:
                for lane in range(LANES):
                    rng = random.Random(self._rng.random())
                    tasks.create_task(self._post_lane(poster, range(lane, total, LANES), began, rng))
                for kind, share in self._rates.commands.items():
                    rng = random.Random(self._rng.random())
                    tasks.create_task(self._command(poster, tasks, kind, share * total, seconds, began, rng))
                tasks.create_task(self._administration.run(poster, self.asked, seconds, began))

    async def _post_lane(self, poster: Poster, numbers: range, began: float, rng: random.Random) -> None:
        # A customer's messages are of one lane, which posts the next only when this one is taken: so their order is
        # the numbers' order.
        for number in numbers:
            await asyncio.sleep(max(0.0, began + number / self._rates.callbacks - time.monotonic()))
            channel, written = message(number)
            if number % PICTURES == 0:
                file = self._files[number // PICTURES % len(self._files)]
                url = self._stack.sandbox_url
                written = replace(written, type="image", text=None, file=file, base_url=url)
            key = conversation_key(channel, written.customer.contact)
            for _ in range(1 + (rng.random() < self._rates.duplicates)):
                if await self._post(poster, self._channels[channel], written):
                    self.asked.messages[message_id(number)] = key
            self._recent.append(key)
            del self._recent[:-RECENT]

    async def _keep(self, http: ClientSession, fault: FileFault | None) -> StoredFile:
        """A picture that the sandbox keeps for customers to send."""
        url = f"{self._stack.sandbox_url}/sandbox/files" + (f"?fault={fault}" if fault else "")
        async with http.post(url, data=PICTURE, headers={"Content-Type": "image/png"}) as response:
            return StoredFile((await response.json())["id"], PICTURE, "image/png", fault=fault)

    async def _post(self, poster: Poster, channel: ChannelSettings, written: Written) -> bool:
        """The provider posts a customer's message. Whether it was acknowledged."""
        stand_in, url = STAND_INS[channel.provider], self._stack.webhook_url(channel)
        (request,) = stand_in.render(Account.of(channel), [written])
        headers = {**stand_in.sign(channel, url, request, wall_clock()), "Content-Type": request.content_type}
        answer = await poster.ask("POST", url, request.body, {200}, headers)
        return not answer.unexpected

    # --- agents ----------------------------------------------------------------------------------------------------

    async def _command(
        self,
        poster: Poster,
        tasks: asyncio.TaskGroup,
        kind: str,
        count: float,
        seconds: float,
        began: float,
        rng: random.Random,
    ) -> None:
        for number in range(int(count)):
            await asyncio.sleep(max(0.0, began + (number + 0.5) * seconds / count - time.monotonic()))
            key = self._about(kind, rng)
            if key is None:
                continue
            url = f"{self._stack.control_url}/v1/channels/{channel_of(key)}/conversations/{contact_of(key)}/commands"
            url += "?wait=0"
            id = f"{kind}{number}"
            body = {"type": kind, "id": id, "by": rng.choice(("a1", "a1", "a2", "a3", "a4")), **command(kind, key, rng)}
            # 409: whom it names was deleted meanwhile.
            answer = await poster.ask("POST", url, body, {202, 409})
            if answer.status != 202:
                continue
            self.asked.commands[id] = key
            if kind == "reply":
                self.asked.replies[id] = key
            if kind == "resolve":
                self._resolved.append(key)
            if kind == "resolve" and rng.random() < ANSWERS:
                tasks.create_task(self._rate(poster, key, f"rating{number}", random.Random(rng.random())))

    def _about(self, kind: str, rng: random.Random) -> str | None:
        """A conversation that the command is likely to make sense for."""
        wanted = self._resolved[-RESOLVED:] if kind == "reopen" else self._recent
        if kind == "hand_over":
            wanted = [key for key in wanted if channel_of(key) in AI_AGENTS]
        return rng.choice(wanted) if wanted else None

    # --- customers who rate ------------------------------------------------------------------------------------------

    async def _rate(self, poster: Poster, key: str, id: str, rng: random.Random) -> None:
        await asyncio.sleep(rng.uniform(1.5, 6))
        channel, contact = channel_of(key), contact_of(key)
        survey = await self._survey(contact) if rng.random() < 0.5 else None
        quote = None if survey is None else Quote(survey)
        written = Written(id, Customer(contact, "Eva"), wall_clock(), text=str(rng.randint(1, 5)), quotes=quote)
        if await self._post(poster, self._channels[channel], written):
            self.asked.messages[id] = key

    async def _survey(self, contact: str) -> str | None:
        """The id of the last survey that the customer got, if the sandbox tells."""
        url = f"{self._stack.sandbox_url}/sandbox/log?contact={contact}"
        try:
            async with ClientSession(timeout=ClientTimeout(total=2)) as http, http.get(url) as response:
                heard = orjson.loads(await response.read())
        except (ClientError, TimeoutError, OSError):
            return None
        return next((entry["id"] for entry in reversed(heard) if entry["text"] == SURVEY), None)


def command(kind: str, key: str, rng: random.Random) -> dict[str, object]:
    """What the body of a command has besides its kind, id and agent."""
    match kind:
        case "reply":
            return {"text": "yes"}
        case "note":
            return {"text": "look"}
        case "label":
            return {rng.choice(("add", "add", "remove")): ["vip"]}
        case "snooze":
            until = wall_clock() + timedelta(seconds=rng.uniform(2, 12))
            return {"until": until.isoformat()} if rng.random() < 0.7 else {}
        case "assign":
            to = [{"kind": "human", "id": f"a{rng.randint(1, 6)}"}, {"kind": "team", "id": "day"}]
            if (agent := AI_AGENTS.get(channel_of(key))) is not None:
                to.append({"kind": "ai", "id": agent})
            return {"to": rng.choice(to)}
    return {}


def message_id(number: int) -> str:
    """The channel message id of a numbered callback."""
    return f"m{number}"


def message(number: int) -> tuple[str, Written]:
    """Channel and message of a numbered callback."""
    lane, turn = number % LANES, number // LANES
    generation, place = turn // (TALKING * MESSAGES), turn % TALKING
    contact = f"346{lane:02d}{generation * TALKING + place:06d}"
    channel = f"wa{CHANNEL_OF_LANE[lane % len(CHANNEL_OF_LANE)]}"
    at = wall_clock() - LATE.get(place, timedelta())
    return channel, Written(message_id(number), Customer(contact, "Eva"), at, text=f"number {number}")

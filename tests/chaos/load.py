"""The load: numbered callbacks of customers, commands of agents. What got no answer is asked again."""

import asyncio
import random
import time
from dataclasses import dataclass, field

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector

from deploy.sandbox.callbacks import Business, Customer, callback_body, content, message_row
from deploy.stack import Stack
from schemas.ids import conversation_key
from streams.clock import wall_clock
from tests.chaos.system import CHANNELS

LANES = 64
TALKING = 10
"""Customers of a lane who talk at a time."""
MESSAGES = 20
"""What each of them writes."""
AGAIN_S = 0.3


@dataclass
class Asked:
    """What was acknowledged: message or command id -> conversation key."""

    messages: dict[str, str] = field(default_factory=dict)
    replies: dict[str, str] = field(default_factory=dict)
    resolves: dict[str, str] = field(default_factory=dict)
    requests: int = 0
    not_taken: int = 0


@dataclass(frozen=True)
class Rates:
    """A second: customers' callbacks, replies, resolutions. duplicates: the share of callbacks that come twice."""

    callbacks: float
    replies: float = 0.02
    resolves: float = 0.005
    duplicates: float = 0.03

    def __post_init__(self) -> None:
        if self.callbacks <= 0:
            raise ValueError(f"a rate of {self.callbacks} callbacks a second is no load")


class Load:
    """Posts for so many seconds, as many a second. asked: what was acknowledged."""

    def __init__(self, stack: Stack, seed: int, rates: Rates) -> None:
        self._stack, self._rates = stack, rates
        self._rng = random.Random(f"load:{seed}")
        self._urls = [stack.webhook_url(channel) for channel in stack.channels.channels]
        self._recent: list[str] = []
        self.asked = Asked()

    async def run(self, seconds: float, began: float) -> None:
        """Returns when all is acknowledged. began: time.monotonic() of second 0."""
        timeout = ClientTimeout(total=10)
        async with ClientSession(timeout=timeout, connector=TCPConnector(limit=0)) as http:
            total = int(seconds * self._rates.callbacks)
            async with asyncio.TaskGroup() as tasks:
                for lane in range(LANES):
                    rng = random.Random(self._rng.random())
                    tasks.create_task(self._post_lane(http, range(lane, total, LANES), began, rng))
                tasks.create_task(self._command(http, "reply", self._rates.replies * total, seconds, began))
                tasks.create_task(self._command(http, "resolve", self._rates.resolves * total, seconds, began))

    async def _post_lane(self, http: ClientSession, numbers: range, began: float, rng: random.Random) -> None:
        # A customer's messages are of one lane, which posts the next only when this one is taken: so their order is
        # the numbers' order.
        for number in numbers:
            await asyncio.sleep(max(0.0, began + number / self._rates.callbacks - time.monotonic()))
            channel, key, body = callback(number)
            for _ in range(1 + (rng.random() < self._rates.duplicates)):
                await self._until_taken(http, self._urls[channel], body, 200)
            self.asked.messages[message_id(number)] = key
            self._recent.append(key)
            del self._recent[:-500]

    async def _command(self, http: ClientSession, kind: str, count: float, seconds: float, began: float) -> None:
        asked = self.asked.replies if kind == "reply" else self.asked.resolves
        rng = random.Random(self._rng.random())
        for number in range(int(count)):
            await asyncio.sleep(max(0.0, began + (number + 0.5) * seconds / count - time.monotonic()))
            if not self._recent:
                continue
            key = rng.choice(self._recent)
            channel, _, contact = key.partition(":")
            url = f"{self._stack.control_url}/v1/channels/{channel}/conversations/{contact}/commands"
            id = f"{kind}{number}"
            body = {"type": kind, "id": id, "by": "a1"} | ({"text": "yes"} if kind == "reply" else {})
            await self._until_taken(http, url, body, 202)
            asked[id] = key

    async def _until_taken(self, http: ClientSession, url: str, body: bytes | dict[str, str], wanted: int) -> None:
        while True:
            if await self._taken(http, url, body, wanted):
                return
            await asyncio.sleep(AGAIN_S)

    async def _taken(self, http: ClientSession, url: str, body: bytes | dict[str, str], wanted: int) -> bool:
        json = body if isinstance(body, dict) else None
        data = body if isinstance(body, bytes) else None
        headers = {"Content-Type": "application/json"}
        self.asked.requests += 1
        try:
            async with http.post(url, json=json, data=data, headers=headers) as response:
                if response.status not in (wanted, 503):
                    raise RuntimeError(f"{url.partition('/webhooks')[0]}: answered {response.status}")
                if response.status == wanted:
                    return True
        except (ClientError, TimeoutError, OSError):
            pass
        self.asked.not_taken += 1
        return False


def message_id(number: int) -> str:
    """The channel message id of a numbered callback."""
    return f"m{number}"


def callback(number: int) -> tuple[int, str, bytes]:
    """Channel number, conversation key and body of a numbered callback."""
    lane, turn = number % LANES, number // LANES
    generation, place = turn // (TALKING * MESSAGES), turn % TALKING
    contact = f"346{lane:02d}{generation * TALKING + place:06d}"
    channel = lane % CHANNELS
    business, customer = Business(f"+3460000000{channel}"), Customer(contact, "Eva")
    row = message_row(business, customer, message_id(number), wall_clock(), content("text", f"number {number}"))
    return channel, conversation_key(f"wa{channel}", contact), callback_body([row])

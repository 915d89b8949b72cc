"""New customers who write, and the provider that takes what they are sent and returns receipts: one event loop."""

import asyncio
import statistics
from collections import defaultdict, deque
from collections.abc import Sequence
from types import TracebackType

import orjson
from pydantic import JsonValue

from simulation.sandbox.engagelab.callbacks import Business, callback_body, content, message_row, status_row
from simulation.sandbox.happenings import Customer
from streams.clock import wall_clock
from tests.bench.connection import Connection, Server, connect, post_request
from tests.bench.session import NoResult
from tests.bench.system import phone

CONNECTIONS = 64
RECEIPTS = (("plan", 0.05), ("target_valid", 0.1), ("sent", 0.3), ("delivered", 0.6), ("read", 1.5))
"""What comes back for each message, and how many seconds after it was taken. EngageLab has a callback for each."""
CALLBACKS = 1 + len(RECEIPTS)
"""Of a customer: the message, and the receipts of what is sent in answer."""
AGAIN_S = 0.2
BURST_S = 0.002


class Customers:
    """Customers and provider, inside `async with`. Every customer is new and writes once.

    receipts: whether the provider sends them from now on. posted: contact -> when the callback was handed in
    (loop.time()); called: contact -> when the provider was asked to send to the contact, each time. refused: answers
    that were not 200.
    """

    def __init__(self, *, receipts: bool, first_contact: int = 0) -> None:
        self.receipts, self._next = receipts, first_contact
        self._urls: Sequence[str] = ()
        self._connections: list[Connection] = []
        self._idle: list[Connection] = []
        self._waiting: deque[bytes] = deque()
        self._server: asyncio.Server | None = None
        self._lost = False
        self.posted: dict[str, float] = {}
        self.called: dict[str, list[float]] = defaultdict(list)
        self.acknowledged = self.refused = self._asked = 0
        self.provider_url = ""

    async def __aenter__(self) -> "Customers":
        self._loop = asyncio.get_running_loop()
        self._server = await self._loop.create_server(lambda: Server(self._take), "127.0.0.1", 0)
        self.provider_url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.disconnect()
        if self._server is not None:
            self._server.close()

    async def connect(self, urls: Sequence[str]) -> None:
        """Connect to where the channels' callbacks are posted."""
        self._urls = urls
        self._connections = await connect(urls[0], CONNECTIONS)
        self._idle = list(self._connections)

    def disconnect(self) -> None:
        """Close the connections: what is posted to is about to stop."""
        for connection in self._connections:
            connection.close()
        self._connections, self._idle = [], []

    @property
    def waiting(self) -> int:
        """Callbacks that are not acknowledged yet, receipts that are still to be posted among them."""
        return self._asked - self.acknowledged

    @property
    def unanswered(self) -> int:
        """Customers to whom nothing was sent yet."""
        return len(self.posted) - len(self.called)

    def write(self) -> None:
        """The next customer's callback."""
        number, self._next = self._next, self._next + 1
        channel = number % len(self._urls)
        contact = f"346{number:08d}"
        self.posted[contact] = self._loop.time()
        business, customer = Business(phone(channel)), Customer(contact, "Eva")
        row = message_row(business, customer, f"wamid.{number}", wall_clock(), content("text", f"number {number}"))
        self._asked += 1
        self._ask(post_request(self._urls[channel], callback_body([row])))

    async def steady(self, rate: float, seconds: float) -> None:
        """So many new customers a second, whatever becomes of them."""
        began, written = self._loop.time(), 0
        while (passed := self._loop.time() - began) < seconds:
            self._check()
            while written < passed * rate:
                self.write()
                written += 1
            await asyncio.sleep(max(BURST_S, began + written / rate - self._loop.time()))

    async def answered(self, seconds: float) -> None:
        """Wait until everybody was sent something and every callback is acknowledged. Raises NoResult."""
        deadline = self._loop.time() + seconds
        while self.unanswered or self.waiting:
            self._check()
            if self._loop.time() > deadline:
                left = f"{self.unanswered} customers without an answer, {self.waiting} callbacks without a 200"
                raise NoResult(f"after {seconds:.0f} s there were still {left}")
            await asyncio.sleep(0.05)

    def take_one(self) -> bool:
        """Write if a connection is free."""
        self._check()
        if not self._idle:
            return False
        self.write()
        return True

    def delays(self, since: float = 0.0) -> list[float]:
        """Seconds from a callback to the call that it led to, of those posted since then."""
        return [calls[0] - at for contact, calls in self.called.items() if (at := self.posted[contact]) >= since]

    def _check(self) -> None:
        if self._lost:
            raise NoResult("ingress closed a connection")

    def _ask(self, request: bytes) -> None:
        if not self._idle:
            self._waiting.append(request)
            return
        connection = self._idle.pop()

        def answered(status: int) -> None:
            if status == 0:
                self._lost = True
                return
            self._idle.append(connection)
            if status == 200:
                self.acknowledged += 1
            else:
                self.refused += 1
                self._loop.call_later(AGAIN_S, self._ask, request)
            if self._waiting:
                self._ask(self._waiting.popleft())

        connection.ask(request, answered)

    def _take(self, body: bytes) -> bytes:
        now = self._loop.time()
        message = orjson.loads(body)
        contact = message["to"][0].lstrip("+")
        self.called[contact].append(now)
        id = f"el{contact}.{len(self.called[contact])}"
        if self.receipts:
            self._asked += len(RECEIPTS)
            for status, after in RECEIPTS:
                self._loop.call_later(after, self._receipt, contact, id, status, message.get("custom_args"))
        return orjson.dumps({"message_id": id})

    def _receipt(self, contact: str, id: str, status: str, custom_args: dict[str, JsonValue] | None) -> None:
        channel = int(contact[3:]) % len(self._urls)
        sent = Business(phone(channel)), Customer(contact), id
        row = status_row(*sent, status, wall_clock(), channel_message_id=f"wamid.{id}", custom_args=custom_args)
        self._ask(post_request(self._urls[channel], callback_body([row])))


def percentile(values: Sequence[float], percent: int) -> float:
    """The percentile of seconds, in milliseconds."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1] * 1000

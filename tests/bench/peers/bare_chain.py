"""The bare hops between a callback and the provider: HTTP in, so many transactions one behind the other, HTTP out.

`python -m tests.bench.peers.bare_chain front BOOTSTRAP` takes callbacks and writes each to the first topic,
acknowledged, before it answers; `... hops BOOTSTRAP HOPS PROVIDER_URL` moves them on from topic to topic unchanged, and
asks the provider after the last commit. Receipts leave the way at its first hop, for two more of their own. Both say
READY, the first with the URL to post to.
"""

import asyncio
import sys
from dataclasses import dataclass, replace
from itertools import pairwise

import orjson
from aiohttp import ClientSession, web
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import ConsumerRecord

TOPIC = "hop{}.v1"
RECEIPTS = ("receipts0.v1", "receipts1.v1", "receipts2.v1")
READY = "READY"


def say(*words: str) -> None:
    sys.stdout.write(" ".join((READY, *words)) + "\n")
    sys.stdout.flush()


async def front(bootstrap: str) -> None:
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all") as producer:

        async def post(request: web.Request) -> web.Response:
            body = await request.read()
            contact = contact_of(orjson.loads(body)["rows"][0]).encode()
            await producer.send_and_wait(TOPIC.format(0), body, key=contact)
            return web.Response(body=b"{}", content_type="application/json")

        app = web.Application()
        app.add_routes([web.post("/", post)])
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        say(f"http://127.0.0.1:{runner.addresses[0][1]}/")
        await asyncio.Event().wait()


def contact_of(row: dict[str, str]) -> str:
    """Whom a callback is about."""
    return row["to"] if "status" in row else row["from"]


@dataclass(frozen=True)
class Hop:
    """receipts: where receipts go; None: on, like all else. asks: the provider is asked, once that is committed."""

    source: str
    target: str
    receipts: str | None = None
    asks: bool = False

    def way(self, value: bytes) -> str:
        """The topic that a callback goes to."""
        if self.receipts is not None and "status" in orjson.loads(value)["rows"][0]:
            return self.receipts
        return self.target


async def move(bootstrap: str, hop: Hop, http: ClientSession, provider_url: str, ready: asyncio.Event) -> None:
    """Consume a topic, write to the next one."""
    group = hop.source
    # Back-to-back transactions take 110 ms at the 99th percentile with the default, 100.
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=group, retry_backoff_ms=10)
    consumer = AIOKafkaConsumer(
        hop.source,
        bootstrap_servers=bootstrap,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level="read_committed",
    )
    asking: set[asyncio.Task[None]] = set()
    async with producer, consumer:
        await consumer.getmany(timeout_ms=100)
        ready.set()
        while True:
            fetched = await consumer.getmany(timeout_ms=1000)
            if not fetched:
                continue
            messages = [message for found in fetched.values() for message in found]
            async with producer.transaction():
                await asyncio.gather(*[await producer.send(hop.way(m.value), m.value, key=m.key) for m in messages])
                offsets = {partition: found[-1].offset + 1 for partition, found in fetched.items()}
                await producer.send_offsets_to_transaction(offsets, group)
            if hop.asks:
                for message in messages:
                    task = asyncio.create_task(ask(http, provider_url, message))
                    asking.add(task)
                    task.add_done_callback(asking.discard)


async def ask(http: ClientSession, provider_url: str, message: ConsumerRecord) -> None:
    """Have something sent to the customer who wrote."""
    body = {"to": [message.key.decode()], "body": {"type": "text", "text": {"body": "Hello"}}}
    async with http.post(f"{provider_url}/v1/messages", json=body) as response:
        await response.read()


def chain(count: int) -> list[Hop]:
    """The way of messages, and that of receipts."""
    first, *others = (Hop(TOPIC.format(n), TOPIC.format(n + 1), asks=n == count - 1) for n in range(count))
    receipts = [Hop(source, target) for source, target in pairwise(RECEIPTS)]
    return [replace(first, receipts=RECEIPTS[0]), *others, *receipts]


async def hops(bootstrap: str, count: int, provider_url: str) -> None:
    async with ClientSession() as http, asyncio.TaskGroup() as tasks:
        ready = []
        for hop in chain(count):
            ready.append(asyncio.Event())
            tasks.create_task(move(bootstrap, hop, http, provider_url, ready[-1]))
        for event in ready:
            await event.wait()
        say()


if __name__ == "__main__":
    if sys.argv[1] == "front":
        asyncio.run(front(sys.argv[2]))
    else:
        asyncio.run(hops(sys.argv[2], int(sys.argv[3]), sys.argv[4]))

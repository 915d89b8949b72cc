"""The bare hops between a callback and the provider: HTTP in, so many transactions one behind the other, HTTP out.

`python -m tests.bench.peers.bare_chain front BOOTSTRAP` takes callbacks and writes each to the first topic,
acknowledged, before it answers; `... hops BOOTSTRAP HOPS PROVIDER_URL` moves them on from topic to topic unchanged, and
asks the provider after the last commit. Both say READY, the first with the URL to post to.
"""

import asyncio
import sys

import orjson
from aiohttp import ClientSession, web
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import ConsumerRecord

TOPIC = "hop{}.v1"
READY = "READY"


def say(*words: str) -> None:
    sys.stdout.write(" ".join((READY, *words)) + "\n")
    sys.stdout.flush()


async def front(bootstrap: str) -> None:
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all") as producer:

        async def post(request: web.Request) -> web.Response:
            body = await request.read()
            contact = orjson.loads(body)["rows"][0]["from"].encode()
            await producer.send_and_wait(TOPIC.format(0), body, key=contact)
            return web.Response(body=b"{}", content_type="application/json")

        app = web.Application()
        app.add_routes([web.post("/", post)])
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        say(f"http://127.0.0.1:{runner.addresses[0][1]}/")
        await asyncio.Event().wait()


async def hop(bootstrap: str, number: int, http: ClientSession | None, provider_url: str, ready: asyncio.Event) -> None:
    """Consume topic `number`, write to the next one; http: also ask the provider, once that is committed."""
    group = f"hop{number}"
    # Back-to-back transactions take 110 ms at the 99th percentile with the default, 100.
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=group, retry_backoff_ms=10)
    consumer = AIOKafkaConsumer(
        TOPIC.format(number),
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
                topic = TOPIC.format(number + 1)
                await asyncio.gather(*[await producer.send(topic, m.value, key=m.key) for m in messages])
                offsets = {partition: found[-1].offset + 1 for partition, found in fetched.items()}
                await producer.send_offsets_to_transaction(offsets, group)
            if http is not None:
                for message in messages:
                    task = asyncio.create_task(ask(http, provider_url, message))
                    asking.add(task)
                    task.add_done_callback(asking.discard)


async def ask(http: ClientSession, provider_url: str, message: ConsumerRecord) -> None:
    """Have something sent to the customer who wrote."""
    body = {"to": [message.key.decode()], "body": {"type": "text", "text": {"body": "Hello"}}}
    async with http.post(f"{provider_url}/v1/messages", json=body) as response:
        await response.read()


async def hops(bootstrap: str, count: int, provider_url: str) -> None:
    async with ClientSession() as http, asyncio.TaskGroup() as tasks:
        ready = [asyncio.Event() for _ in range(count)]
        for number, event in enumerate(ready):
            tasks.create_task(hop(bootstrap, number, http if number == count - 1 else None, provider_url, event))
        for event in ready:
            await event.wait()
        say()


if __name__ == "__main__":
    if sys.argv[1] == "front":
        asyncio.run(front(sys.argv[2]))
    else:
        asyncio.run(hops(sys.argv[2], int(sys.argv[3]), sys.argv[4]))

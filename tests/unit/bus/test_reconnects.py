"""A broker that can't be reached is tried at a measured pace, and reported once."""

import asyncio
import logging
import time
from asyncio import StreamReader, StreamWriter

import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.metadata import MetadataResponse_v0

from bus.aiokafka_fixes import RECONNECT_S, calm_reconnects

NODE = 1
CLIENTS = 10
ROUNDS = 3


def client(port: int) -> AIOKafkaClient:
    """One that knows a broker at the port."""
    made = AIOKafkaClient(bootstrap_servers=f"127.0.0.1:{port}")
    made.cluster.update_metadata(MetadataResponse_v0([(NODE, "127.0.0.1", port)], []))
    return made


async def test_clients_try_a_broker_that_is_away_together_and_ever_more_rarely(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calm_reconnects()
    tries: list[float] = []

    async def hang_up(reader: StreamReader, writer: StreamWriter) -> None:
        tries.append(time.monotonic())
        writer.close()

    async def ask(one: AIOKafkaClient) -> None:
        for _ in range(ROUNDS):
            assert not await one.ready(NODE)

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        clients = [client(port) for _ in range(CLIENTS)]
        with caplog.at_level(logging.WARNING):
            await asyncio.gather(*map(ask, clients))
        await asyncio.gather(*(one.close() for one in clients))
    assert len(tries) == CLIENTS * ROUNDS
    # Whoever is slow may still be in the round before: of so many tries, one at least is of the next.
    assert tries[CLIENTS] - tries[0] >= RECONNECT_S
    assert tries[2 * CLIENTS] - tries[0] >= 3 * RECONNECT_S
    why, reported = (record.getMessage() for record in caplog.records)
    assert why.startswith("Unable connect to node with id 1: ")
    assert reported == f"Kafka at 127.0.0.1:{port} can't be reached: trying again until it is"

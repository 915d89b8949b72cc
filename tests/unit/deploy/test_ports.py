"""What a person reads about a port that can't be had."""

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine, Iterator

import pytest
import uvloop
from aiohttp import web

from deploy.errors import LiveDeskError
from deploy.ports import check_port_free, listen

RUN = [asyncio.run, uvloop.run]


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


async def listening(host: str, port: int) -> None:
    runner = web.AppRunner(web.Application())
    await runner.setup()
    try:
        await listen(runner, "The page", host, port, "Choose another --port.")
    finally:
        await runner.cleanup()


def test_a_taken_port_names_who_has_it(taken: int) -> None:
    owner = rf"The page can't listen on 127\.0\.0\.1:{taken}: the port is in use by process {os.getpid()} "
    with pytest.raises(LiveDeskError, match=owner) as caught:
        check_port_free("The page", taken, "Choose another.")
    assert caught.value.hint == "Choose another."


@pytest.mark.parametrize("run", RUN)
def test_listening_on_a_taken_port(run: Callable[[Coroutine[None, None, None]], None], taken: int) -> None:
    with pytest.raises(LiveDeskError, match=f"the port is in use by process {os.getpid()}") as caught:
        run(listening("127.0.0.1", taken))
    assert caught.value.hint == "Choose another --port."


@pytest.mark.parametrize("run", RUN)
@pytest.mark.parametrize(
    ("host", "why"),
    [("192.0.2.1", "this machine has no such address"), ("no such host", "there is no host of that name")],
)
def test_listening_where_nobody_can(run: Callable[[Coroutine[None, None, None]], None], host: str, why: str) -> None:
    with pytest.raises(LiveDeskError, match=f"The page can't listen on {host}:0: {why}"):
        run(listening(host, 0))

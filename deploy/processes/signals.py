"""Ctrl-C and SIGTERM for commands that start other processes: what was started is stopped, whatever comes."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import NoReturn, TypeVar

_SIGNALS = (signal.SIGINT, signal.SIGTERM)

Result = TypeVar("Result")


class Interrupted(Exception):
    """Ctrl-C or SIGTERM ended it."""


def raise_at_sigterm() -> None:
    """SIGTERM raises KeyboardInterrupt, as Ctrl-C does."""
    signal.signal(signal.SIGTERM, _interrupt)


def ignore_signals() -> None:
    """From now on nothing cuts the stopping short."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def run_until_signal(
    work: Coroutine[object, object, Result],
    run: Callable[[Coroutine[object, object, Result]], Result] = asyncio.run,
) -> Result:
    """Run it. The first signal cancels it; later ones are ignored, so that it can clean up. Raises Interrupted.

    run: of the event loop.
    """
    return run(_cancelled_by_signal(work))


async def _cancelled_by_signal(work: Coroutine[object, object, Result]) -> Result:
    task = asyncio.ensure_future(work)
    came = asyncio.Event()

    def interrupt() -> None:
        if not came.is_set():
            came.set()
            task.cancel()

    for number in _SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, interrupt)
    try:
        return await task
    except asyncio.CancelledError:
        if came.is_set():
            raise Interrupted from None
        raise


def _interrupt(_signal: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt

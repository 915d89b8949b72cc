"""Several processes that do the same, as children of this one."""

import asyncio
import logging
import subprocess
import sys
from asyncio.subprocess import Process
from collections.abc import Sequence

from deploy.errors import LiveDeskError
from deploy.processes.guard import Guard

logger = logging.getLogger(__name__)

RESTART_AFTER_S = 1.0
_SAID_WHY = (1, 2)
"""The exit codes of a command that has said what a person has to put right."""


async def run_several(commands: Sequence[Sequence[str]]) -> None:
    """Run each of these commands of `livedesk`, until cancelled: then they get a SIGTERM, and are awaited.

    One that ends by itself is started again. Raises LiveDeskError: one has said what has to be put right.
    """
    running: dict[int, tuple[Process, Guard]] = {}

    async def keep(number: int, arguments: Sequence[str]) -> None:
        while True:
            # A session of its own: Ctrl-C at the terminal is for this process, which stops the others.
            child = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "cli.main", *arguments, stdin=subprocess.DEVNULL, start_new_session=True
            )
            running[number] = child, Guard(child.pid)
            code = await child.wait()
            running.pop(number)[1].release()
            if code in _SAID_WHY:
                raise LiveDeskError(f"Process {number} of {len(commands)} can't run.", "It has said why.")
            logger.warning("process %d of %d ended with %d: it is started again", number, len(commands), code)
            await asyncio.sleep(RESTART_AFTER_S)

    keeping = [asyncio.create_task(keep(number, arguments)) for number, arguments in enumerate(commands, 1)]
    try:
        await asyncio.gather(*keeping)
    finally:
        for task in keeping:
            task.cancel()
        await asyncio.gather(*keeping, return_exceptions=True)
        for child, _ in running.values():
            if child.returncode is None:
                child.terminate()
        for child, guard in running.values():
            await child.wait()
            guard.release()

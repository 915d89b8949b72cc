"""A document's passages, read in a process of its own: what is in a file from outside can't harm this one."""

import asyncio
import sys
from contextlib import suppress
from typing import IO, Final

import orjson

from knowledge.formats import Document
from knowledge.text import Unreadable

MAX_BYTES: Final = 20 << 20
"""Of a document, as it is added."""
WITHIN_S: Final = 60.0
AT_ONCE: Final = 2
_MAX_ANSWER: Final = 32 << 20
_TOO_LONG: Final = "reading it takes too long: split it, or save it as text"


class Extraction:
    """Reads documents, a few at once. within_s: seconds for each, once it is its turn."""

    def __init__(self, *, within_s: float = WITHIN_S) -> None:
        self._within_s = within_s
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def read(self, file: IO[bytes], name: str) -> Document:
        """The document in a file, from its beginning. Raises Unreadable."""
        async with self._slots:
            file.seek(0)
            data = await asyncio.to_thread(file.read, MAX_BYTES + 1)
            if len(data) > MAX_BYTES:
                raise Unreadable(f"it has more than {MAX_BYTES:,} bytes: split it, or leave its pictures out")
            answer = orjson.loads(await self._asked(data, name))
        if "error" in answer:
            raise Unreadable(answer["error"])
        return Document(**answer)

    async def _asked(self, data: bytes, name: str) -> bytes:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-m", "knowledge.child", name),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={},
            limit=_MAX_ANSWER,
        )
        try:
            async with asyncio.timeout(self._within_s):
                answer, _ = await process.communicate(data)
        except TimeoutError:
            raise Unreadable(_TOO_LONG) from None
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        if process.returncode:
            # It was ended by a limit, or the reader itself broke.
            raise Unreadable(_TOO_LONG if process.returncode < 0 else "it can't be read: save it as text")
        return answer

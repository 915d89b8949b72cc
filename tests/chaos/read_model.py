"""The read model at the end of a run: it is, row by row, what a rebuild makes of the topics."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Final

from aiohttp import ClientError, ClientSession, ClientTimeout

from deploy.processes.desk import open_view, rebuild
from deploy.settings import Settings
from tests.chaos.system import System
from tests.chaos.violation import Violation
from tests.support.view import Rows, stored

CAUGHT_UP_S: Final = 120.0
_LOOK_S: Final = 0.2
SHOWN: Final = 20
"""Rows of a table that are told."""


async def check_read_model(system: System) -> list[Violation]:
    """Wait until the desk has read everything, and compare its rows with those of a view that is made anew."""
    if not await _caught_up(f"{system.stack.control_url}/readyz"):
        return [Violation("the read model has not caught up", "", f"within {CAUGHT_UP_S:.0f} s")]
    kept = await _rows(system.settings)
    other = system.settings.model_copy(update={"data_dir": system.folder / "rebuilt"})
    async for _ in rebuild(other):
        pass
    return list(compare(kept, await _rows(other)))


def compare(kept: Mapping[str, Rows], rebuilt: Mapping[str, Rows]) -> Iterator[Violation]:
    """What is in one of them alone, or not the same; and what could not be read at all."""
    for table in sorted(kept.keys() | rebuilt.keys()):
        rows, others = kept.get(table, {}), rebuilt.get(table, {})
        wrong = sorted(
            (place for place in rows.keys() | others.keys() if rows.get(place) != others.get(place)), key=repr
        )
        for place in wrong[:SHOWN]:
            names = _differing(rows.get(place), others.get(place))
            yield Violation("the read model is not what a rebuild makes", "", f"{table} {place}: {names}")
    for place in kept.get("failures", {}):
        yield Violation("a record is not in the read model", "", repr(place))


def _differing(row: Mapping[str, object] | None, other: Mapping[str, object] | None) -> str:
    if row is None or other is None:
        return "only in the rebuilt one" if row is None else "not in the rebuilt one"
    return ", ".join(name for name in row if row[name] != other[name])


async def _caught_up(url: str) -> bool:
    async with ClientSession(timeout=ClientTimeout(total=5)) as http:
        try:
            async with asyncio.timeout(CAUGHT_UP_S):
                while True:
                    if await _is_caught_up(http, url):
                        return True
                    await asyncio.sleep(_LOOK_S)
        except TimeoutError:
            return False


async def _is_caught_up(http: ClientSession, url: str) -> bool:
    try:
        async with http.get(url) as answer:
            return answer.status == 200 and not any((await answer.json())["lag"].values())
    except (ClientError, TimeoutError):
        return False


async def _rows(settings: Settings) -> Mapping[str, Rows]:
    async with open_view(settings) as view:
        return await stored(view.database)

"""What the control API does to the pipeline itself: asks how far it is behind, and gives dead letters back."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from aiokafka.errors import KafkaError

from bus.connection import KafkaConnection
from deploy.dead_letters import Selection, newest_revisions, plan, read_letters, returning
from deploy.errors import LiveDeskError
from deploy.kafka.committed import committed_reader
from desk.journal import Journal
from desk.office import Behind, GivenBack, NotAsked, NotGivenBack
from streams.runtime.metrics import Metrics
from streams.runtime.progress import Offsets, Progress
from streams.topology import TOPOLOGY

ASK_S: Final = 10.0


class PipelineOperations:
    """See Operations. view_lag: records of each topic that the view has still to read. journal: for the audit."""

    def __init__(
        self, connection: KafkaConnection, prefix: str, journal: Journal, view_lag: Callable[[], Mapping[str, int]]
    ) -> None:
        self._connection, self._prefix, self._journal, self._view_lag = connection, prefix, journal, view_lag

    async def lag(self) -> Sequence[Behind]:
        """See Operations."""
        progress = Progress(self._connection, self._prefix, TOPOLOGY, Metrics())
        try:
            await progress.start()
            committed, ends = await self._asked(progress)
        except (KafkaError, OSError, TimeoutError) as error:
            raise NotAsked(type(error).__name__) from error
        finally:
            await progress.stop()
        stages = [
            Behind(
                stage.name,
                stage.input.name,
                sum(max(0, end - committed[stage.name].get(place, 0)) for place, end in ends[stage.name].items()),
            )
            for stage in TOPOLOGY
        ]
        return [*stages, *(Behind("desk", topic, number) for topic, number in self._view_lag().items())]

    async def _asked(self, progress: Progress) -> tuple[Mapping[str, Offsets], Mapping[str, Offsets]]:
        """Committed offsets, and ends. A Kafka that just started has its groups' offsets a moment later."""
        async with asyncio.timeout(ASK_S):
            while True:
                with suppress(KafkaError):
                    # Commits first: what was committed before the ends were read covers at least what it says.
                    return await progress.committed(), await progress.ends()
                await asyncio.sleep(0.1)

    async def replay(self, letter: str, account: str, by: str) -> GivenBack:
        """See Operations."""
        try:
            async with (
                returning(self._connection, self._prefix) as write_back,
                committed_reader(self._connection) as reader,
            ):
                letters = await read_letters(reader, self._prefix)
                named = letters.get(letter)
                selection = Selection(stage=named.event.stage, key=named.key)
                revisions = await newest_revisions(reader, self._prefix)
                returns = plan(letters, letters.chosen(selection), revisions=revisions)
                if not returns:
                    raise NotGivenBack("it was replayed already")
                await write_back(returns)
        except LiveDeskError as error:
            raise NotGivenBack(str(error)) from error
        (one,) = returns
        done = GivenBack(
            one.stage.name,
            one.key,
            tuple(letter.id for letter, _ in one.records),
            tuple(letter.id for letter in one.unreadable),
        )
        await self._journal.write(
            lambda change: change.audit(by, "replay_letter", f"dead-letters/{letter}", None, None, account)
        )
        return done

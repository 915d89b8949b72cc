"""The channels' settings in a worker: a record waits until the revision that it is stamped with has been read."""

import asyncio
import logging
from collections.abc import Callable

from schemas.settings.channel import ChannelSettings
from schemas.settings.memory import SettingsMemory

logger = logging.getLogger(__name__)


class SettingsStore(SettingsMemory):
    """Settings by channel and revision. Fed by a TopicFollower in a process, by hand in the driver."""

    def __init__(self, decrypt: Callable[[str], str]) -> None:
        super().__init__(decrypt)
        self._added = asyncio.Event()

    def add(self, settings: ChannelSettings) -> None:
        """Store one revision, and wake those that wait for it."""
        super().add(settings)
        self._added.set()

    async def wait_for(self, channel: str | None, revision: int) -> None:
        """Wait until that revision has been read: whoever stamped a record with it wrote it before."""
        if channel is None or not revision:
            return
        while (channel, revision) not in self._revisions:
            self._added.clear()
            try:
                async with asyncio.timeout(5):
                    await self._added.wait()
            except TimeoutError:
                logger.warning("waiting for revision %d of the settings of channel %s", revision, channel)

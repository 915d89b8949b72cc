"""Every revision of every channel's settings, read from the channels topic (docs/design.md, 4.6)."""

import asyncio
import logging
from collections.abc import Callable

from schemas.settings.channel import ChannelSettings
from schemas.settings.records import read_channel

logger = logging.getLogger(__name__)


class SettingsStore:
    """Settings by channel and revision. Fed by a TopicFollower in a process, by hand in the driver."""

    def __init__(self, decrypt: Callable[[str], str]) -> None:
        self._decrypt = decrypt
        self._revisions: dict[tuple[str, int], ChannelSettings] = {}
        self._newest: dict[str, ChannelSettings] = {}
        self._added = asyncio.Event()

    def apply(self, key: bytes, value: bytes | None) -> None:
        """Take in one record of the channels topic."""
        settings = read_channel(key, value, self._decrypt)
        if settings is not None:
            self.add(settings)

    def add(self, settings: ChannelSettings) -> None:
        """Keep one revision."""
        self._revisions[settings.id, settings.revision] = settings
        newest = self._newest.get(settings.id)
        if newest is None or settings.revision >= newest.revision:
            self._newest[settings.id] = settings
        self._added.set()

    def lookup(self, channel: str, revision: int) -> ChannelSettings:
        """The channel's settings at that revision. Raises LookupError when they have not been read."""
        return self._revisions[channel, revision]

    def newest(self, channel: str) -> ChannelSettings:
        """The channel's newest settings: what credentials are taken from. Raises LookupError."""
        return self._newest[channel]

    def channels(self) -> list[ChannelSettings]:
        """The newest settings of every channel."""
        return list(self._newest.values())

    async def wait_for(self, channel: str | None, revision: int) -> None:
        """Wait until that revision has been read: whoever stamped a record with it wrote it before."""
        if channel is None or not revision:
            return
        while (channel, revision) not in self._revisions:
            self._added.clear()
            try:
                await asyncio.wait_for(self._added.wait(), 5)
            except TimeoutError:
                logger.warning("waiting for revision %d of the settings of channel %s", revision, channel)

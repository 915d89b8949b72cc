"""The channels' settings as a process knows them, from the records of the channels topic (docs/design.md, 4.6)."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from schemas.events.channels import ChannelSaved
from schemas.record import UndecodableRecord, decode
from schemas.settings.channel import ChannelSettings, from_stored
from schemas.settings.credentials import OtherKey
from schemas.topics import CHANNELS

logger = logging.getLogger(__name__)


class SettingsMemory:
    """Every revision of every channel's settings. decrypt: of stored credentials.

    What was encrypted with a key that is gone was written anew with another one (livedesk keys rotate); Kafka may still
    have it, before that. So it is an error only where nothing has replaced it when the topic is read to its end.
    """

    def __init__(self, decrypt: Callable[[str], str]) -> None:
        self._decrypt = decrypt
        self._revisions: dict[tuple[str, int], ChannelSettings] = {}
        self._newest: dict[str, ChannelSettings] = {}
        self._unreadable: dict[bytes, OtherKey] = {}
        self._loaded = False

    def apply(self, key: bytes, value: bytes | None) -> None:
        """Take in one record of the channels topic. One that can't be read is left out, with a line in the log.

        Raises OtherKey, once it is loaded.
        """
        if value is None:
            return
        try:
            event = decode(value, CHANNELS.types).event
        except UndecodableRecord as error:
            logger.error("a record of the channels topic was left out (key %s): %s", key.decode(), error)
            return
        if isinstance(event, ChannelSaved):
            with self._perhaps_replaced(key):
                self.add(from_stored(event.settings, self._decrypt))

    @contextmanager
    def _perhaps_replaced(self, key: bytes) -> Iterator[None]:
        """Note under the record's key that it needs another one of ours, or no more. Raises OtherKey, once loaded."""
        try:
            yield
        except OtherKey as error:
            self._unreadable[key] = error
            if self._loaded:
                raise
        else:
            self._unreadable.pop(key, None)

    def loaded(self) -> None:
        """All is read to its end. Raises OtherKey: something of it can't be read."""
        self._loaded = True
        if self._unreadable:
            raise next(iter(self._unreadable.values()))

    def add(self, settings: ChannelSettings) -> None:
        """Store one revision."""
        self._revisions[settings.id, settings.revision] = settings
        newest = self._newest.get(settings.id)
        if newest is None or settings.revision >= newest.revision:
            self._newest[settings.id] = settings

    def lookup(self, channel: str, revision: int) -> ChannelSettings:
        """The channel's settings at that revision. Raises LookupError: they have not been read."""
        return self._revisions[channel, revision]

    def find(self, channel: str) -> ChannelSettings | None:
        """The channel's newest settings."""
        return self._newest.get(channel)

    def newest(self, channel: str) -> ChannelSettings:
        """The channel's newest settings. Raises LookupError: there is no such channel."""
        return self._newest[channel]

    def channels(self, account: str | None = None) -> list[ChannelSettings]:
        """The newest settings of every channel, or of an account's, by id."""
        found = (channel for channel in self._newest.values() if account in (None, channel.account))
        return sorted(found, key=lambda channel: channel.id)

"""Writing channel settings: every revision is a record of the channels topic, known here before the call returns."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime

from ingress.directory import ChannelDirectory
from ingress.publisher import NotDurable, Publish
from schemas.channel import ChannelSettings, apply_change, check_channel, to_stored
from schemas.channels_file import ChannelsFile
from schemas.codec import to_kafka
from schemas.invalid_settings import FieldError, InvalidSettings
from schemas.record import Record
from schemas.system import ChannelSaved
from schemas.topics import CHANNELS

APPLY_SECONDS = 5.0


class UnknownChannel(LookupError):
    """There is no channel of that id."""


class ChannelWriter:
    """Saves revisions, one at a time for each channel.

    catch_up: waits until the directory has read all that was written before the call. prefix: of the topics' names.
    """

    def __init__(
        self,
        directory: ChannelDirectory,
        publisher: Publish,
        catch_up: Callable[[], Awaitable[None]],
        *,
        prefix: str,
        encrypt: Callable[[str], str],
        clock: Callable[[], datetime],
        new_id: Callable[[], str],
    ) -> None:
        self._directory, self._publisher, self._catch_up = directory, publisher, catch_up
        self._topic = CHANNELS.full_name(prefix)
        self._encrypt, self._clock, self._new_id = encrypt, clock, new_id
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def change(self, channel_id: str, change: Mapping[str, object]) -> ChannelSettings:
        """Save the next revision. Raises UnknownChannel, InvalidSettings, NotDurable."""
        if self._directory.find(channel_id) is None:
            raise UnknownChannel(channel_id)
        async with self._locks[channel_id]:
            # A write that was not acknowledged may have happened: its revision must not be used again.
            await self._read_on()
            current = self._directory.find(channel_id)
            assert current is not None
            changed = apply_change(current, change)
            check_channel(changed, self._directory.people, current)
            await self._save(changed)
            return changed

    async def save_file(self, file: ChannelsFile) -> list[ChannelSettings]:
        """Save the file's channels that are new, or whose settings differ. Raises InvalidSettings, NotDurable."""
        saved = []
        for index, settings in enumerate(file.channels):
            async with self._locks[settings.id]:
                await self._read_on()
                current = self._directory.find(settings.id)
                revision = 1 if current is None else current.revision
                if current == settings.model_copy(update={"revision": revision}):
                    continue
                if current is not None:
                    _refuse_fixed(f"channels[{index}]", current, settings)
                    revision += 1
                saved.append(settings.model_copy(update={"revision": revision}))
                await self._save(saved[-1])
        return saved

    async def _save(self, settings: ChannelSettings) -> None:
        key = f"{settings.id}/{settings.revision}"
        event = ChannelSaved.model_validate({"settings": to_stored(settings, self._encrypt)})
        record = Record(self._new_id(), "/livedesk/ingress", self._clock(), key, event, settings.id, settings.revision)
        value, headers = to_kafka(CHANNELS, record)
        await self._publisher.publish(self._topic, key.encode(), value, headers)
        await self._read_on()

    async def _read_on(self) -> None:
        try:
            async with asyncio.timeout(APPLY_SECONDS):
                await self._catch_up()
        except Exception as error:
            raise NotDurable(f"the channels can't be read up to their end: {type(error).__name__}") from error


def _refuse_fixed(path: str, current: ChannelSettings, settings: ChannelSettings) -> None:
    fixed = tuple(
        FieldError(f"{path}.{name}", f"can't be changed: it is {getattr(current, name)!r}")
        for name in ("account", "provider")
        if getattr(settings, name) != getattr(current, name)
    )
    if fixed:
        raise InvalidSettings(fixed)

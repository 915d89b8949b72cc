"""The channels that ingress knows: fed from the channels topic, looked up by id and by webhook token."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from ingress.tokens import token_hash
from schemas.channel import ChannelSettings, Directory, from_stored
from schemas.record import UndecodableRecord, decode
from schemas.system import ChannelSaved
from schemas.topics import CHANNELS

logger = logging.getLogger(__name__)


class ChannelDirectory:
    """The newest settings of every channel.

    people: the account's human agents and teams, where they are known. token_of: channel id -> webhook token.
    """

    def __init__(
        self, decrypt: Callable[[str], str], token_of: Callable[[str], str], people: Directory | None = None
    ) -> None:
        self._decrypt = decrypt
        self.token_of = token_of
        self.people = people
        self._newest: dict[str, ChannelSettings] = {}
        self._by_token: dict[bytes, str] = {}

    def apply(self, key: bytes, value: bytes | None) -> None:
        """Take in one record of the channels topic. Raises what decrypt raises."""
        if value is None:
            return
        try:
            event = decode(value, CHANNELS.types).event
        except UndecodableRecord as error:
            logger.error("a record of the channels topic was left out (key %s): %s", key.decode(), error)
            return
        if isinstance(event, ChannelSaved):
            self._add(from_stored(event.settings, self._decrypt))

    def find(self, channel_id: str) -> ChannelSettings | None:
        """The channel's newest settings."""
        return self._newest.get(channel_id)

    def find_by_token(self, provider: str, token: str) -> ChannelSettings | None:
        """The provider's channel that the webhook token belongs to."""
        settings = self._newest.get(self._by_token.get(token_hash(token), ""))
        return settings if settings is not None and settings.provider == provider else None

    def channels(self) -> list[ChannelSettings]:
        """The newest settings of every channel, by id."""
        return [self._newest[channel_id] for channel_id in sorted(self._newest)]

    def has_agent(self, channel: ChannelSettings, agent_id: str) -> bool:
        """Whether the channel's account has the human agent: by `people`, or as a member of one of its channels."""
        return (self.people is not None and agent_id in self.people.human_agents) or any(
            agent_id in other.human_agents for other in self._newest.values() if other.account == channel.account
        )

    def _add(self, settings: ChannelSettings) -> None:
        known = self._newest.get(settings.id)
        if known is None:
            self._by_token[token_hash(self.token_of(settings.id))] = settings.id
        if known is None or settings.revision >= known.revision:
            self._newest[settings.id] = settings


class Recheck:
    """Brings the directory up to date before a token is called unknown: another process may have just saved it.

    All who ask share one look at Kafka every `interval` seconds, so that guessing tokens costs next to nothing.
    """

    def __init__(
        self, catch_up: Callable[[], Awaitable[None]], *, interval: float = 0.25, deadline: float = 1.0
    ) -> None:
        self._catch_up, self._interval, self._deadline = catch_up, interval, deadline
        self._last = float("-inf")
        self._next: asyncio.Task[bool] | None = None

    async def __call__(self) -> bool:
        """Wait until all that was written before the call has been read; False when that can't be told in time."""
        if self._next is None:
            self._next = asyncio.create_task(self._run())
        return await asyncio.shield(self._next)

    async def _run(self) -> bool:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self._last + self._interval - loop.time())
        # From here on whoever asks needs a later look than this one.
        self._next, self._last = None, loop.time()
        try:
            async with asyncio.timeout(self._deadline - self._interval):
                await self._catch_up()
        except Exception as error:  # noqa: BLE001 - whatever keeps the channels from being read, the token is not known to be wrong
            logger.warning("the channels can't be read up to their end: %s", type(error).__name__)
            return False
        return True

"""The channels that ingress knows: fed from the channels topic."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator

from providers.address import token_hash
from providers.provider import Provider, WebhookRequest
from providers.registry import PROVIDERS
from schemas.settings.channel import ChannelSettings
from schemas.settings.memory import SettingsMemory

logger = logging.getLogger(__name__)

SAY_EVERY_SECONDS = 60.0


class ChannelDirectory(SettingsMemory):
    """The newest settings of every active channel, by webhook token and by what callbacks are about.

    tokens_of: the tokens of a channel after so many replacements, one of each key.
    """

    def __init__(self, decrypt: Callable[[str], str], tokens_of: Callable[[str, int], Iterable[str]]) -> None:
        super().__init__(decrypt)
        self._tokens_of = tokens_of
        self._by_token: dict[bytes, str] = {}
        self._by_address: defaultdict[tuple[str, str], set[str]] = defaultdict(set)

    def add(self, settings: ChannelSettings) -> None:
        """Store one revision; the channel's tokens lead to it from its first one on."""
        before = self.find(settings.id)
        super().add(settings)
        now = self._newest[settings.id]
        if before is not None:
            for address in _addresses(before):
                self._by_address[address].discard(before.id)
            for token in self._tokens(before):
                self._by_token.pop(token, None)
        if now.state == "active":
            for address in _addresses(now):
                self._by_address[address].add(now.id)
            self._by_token |= dict.fromkeys(self._tokens(now), now.id)

    def _tokens(self, settings: ChannelSettings) -> Iterator[bytes]:
        rotation = settings.webhook_rotation
        tokens = [*self._tokens_of(settings.id, rotation), *settings.kept_tokens]
        if settings.webhook_previous and rotation:
            tokens += self._tokens_of(settings.id, rotation - 1)
        yield from map(token_hash, tokens)

    def find_by_token(self, provider: str, token: str) -> ChannelSettings | None:
        """The provider's channel that the webhook token belongs to."""
        settings = self._newest.get(self._by_token.get(token_hash(token), ""))
        return settings if settings is not None and settings.provider == provider else None

    def addressed(
        self, provider: Provider, channel: ChannelSettings, request: WebhookRequest
    ) -> list[tuple[ChannelSettings, frozenset[str]]]:
        """The channels that a callback of the channel's address is about, each with what is another's of it.

        One that the provider did not sign for, too, gets nothing: it is somebody else's.
        """
        named = provider.addressees(request.body)
        if not named:
            return [(channel, frozenset())]
        ids = set[str]().union(*(self._by_address.get((provider.name, one), ()) for one in named)) - {channel.id}
        others = [one for id in sorted(ids) if provider.screen(request, one := self._newest[id]) is None]
        known = named & frozenset[str]().union(*map(provider.addresses, others))
        found = [(channel, known - provider.addresses(channel))]
        return found + [(other, named - provider.addresses(other)) for other in others]


def _addresses(settings: ChannelSettings) -> list[tuple[str, str]]:
    return [(settings.provider, address) for address in PROVIDERS[settings.provider].addresses(settings)]


class Recheck:
    """Brings the directory up to date before a token is called unknown: another process may have just saved it.

    All who ask share one look at Kafka every `interval` seconds, so that guessing tokens costs next to nothing.
    """

    def __init__(
        self, catch_up: Callable[[], Awaitable[None]], *, interval: float = 0.25, deadline: float = 1.0
    ) -> None:
        self._catch_up, self._interval, self._deadline = catch_up, interval, deadline
        self._last = self._said = float("-inf")
        self._next: asyncio.Task[bool] | None = None

    async def __call__(self) -> bool:
        """Wait until all that was written before the call has been read; False when that is not known in time."""
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
            if loop.time() - self._said >= SAY_EVERY_SECONDS:
                self._said = loop.time()
                logger.warning("the channels can't be read up to their end: %s", type(error).__name__)
            return False
        return True

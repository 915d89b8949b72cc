"""What is known of each account's message templates: read as a whole, kept, and read again when it may have changed."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

import orjson

from providers.provider import Answer, Call, ListedTemplate, Provider, TemplatePage
from providers.registry import PROVIDERS
from schemas.effects import SendResult
from schemas.events.template import Template
from schemas.settings.channel import ChannelSettings
from streams.effects.http import NoAnswer, NotSent, Transport

logger = logging.getLogger(__name__)

FRESH_S: Final = 900.0
"""Seconds for which a list counts as what is."""
AGAIN_S: Final = 60.0
"""Seconds between two calls for an account's list, on average, whatever happens: Meta allows 200 an hour."""
LIST_S: Final = 4.0
"""Seconds for all pages of a list: an attempt that takes longer is not made any more."""
MAX_PAGES: Final = 20

UNREACHABLE: Final = SendResult(answer="template_unavailable", message="the list of templates can't be reached")


@dataclass
class _Account:
    """What is known of an account's templates. listed: the last list that could be read; None: none could.

    read_at, next_at: when it was, and from when on it may be read again. notices: how often it may have changed;
    heeded: how many of them came before the last reading. why: it could not be read the last time.
    """

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    listed: tuple[ListedTemplate, ...] | None = None
    read_at: float = 0.0
    next_at: float = float("-inf")
    notices: int = 0
    heeded: int = 0
    why: SendResult = UNREACHABLE


class TemplateCache:
    """The templates of every account that a channel here sends with. One call at a time for each, for all who wait.

    An account is known by the first call for its list, credentials included. now: seconds.
    """

    def __init__(
        self, transport: Transport, base_url: Callable[[Provider, Call], str], now: Callable[[], float]
    ) -> None:
        self._transport, self._base_url, self._now = transport, base_url, now
        self._accounts: dict[object, _Account] = {}
        self._channels: dict[str, _Account] = {}

    async def why_unusable(
        self, provider: Provider, settings: ChannelSettings, template: Template, within_s: float = LIST_S
    ) -> SendResult | None:
        """Why the template can't be sent; None if it can, as far as the list that was last read says.

        within_s: seconds for all pages of a list.
        """
        first = provider.plan_templates(settings, None)
        if isinstance(first, SendResult):
            return first
        account = self._account(provider, first)
        self._channels[settings.id] = account
        async with account.lock:
            if self._may_have_changed(provider, account, template):
                await self._read(provider, settings, account, first, within_s)
        if account.listed is None:
            return account.why
        if _is_approved(provider, account, template):
            return None
        return SendResult(answer="template_unavailable", message="the template is not approved", http_status=200)

    def known(self, settings: ChannelSettings, template: Template) -> ListedTemplate | None:
        """The template as the list has it that was last read for the channel; None: there is none, or not in it."""
        account = self._channels.get(settings.id)
        provider = PROVIDERS[settings.provider]
        return None if account is None else next(_of_name(provider, account, template), None)

    def invalidate(self, channel: str) -> None:
        """The templates of the channel's account may have changed: they are read again before the next use."""
        account = self._channels.get(channel)
        if account is not None:
            account.notices += 1

    def apply(self, key: bytes, value: bytes | None) -> None:
        """A record of the notifications topic: a notice about templates invalidates the list."""
        event = orjson.loads(value or b"{}").get("data", {}).get("event")
        if "template" in str(event):
            self.invalidate(key.decode(errors="replace"))

    def _account(self, provider: Provider, first: Call) -> _Account:
        identity = (provider.name, first.path, *sorted(first.headers.items()))
        return self._accounts.setdefault(identity, _Account())

    def _may_have_changed(self, provider: Provider, account: _Account, template: Template) -> bool:
        now = self._now()
        if now < account.next_at:
            return False
        old = account.listed is None or account.heeded < account.notices or now - account.read_at >= FRESH_S
        # What is not approved may be by now: people wait for it.
        return old or not _is_approved(provider, account, template)

    async def _read(
        self, provider: Provider, settings: ChannelSettings, account: _Account, first: Call, within_s: float
    ) -> None:
        account.next_at = self._now() + AGAIN_S
        notices = account.notices  # those that come meanwhile count
        listed: list[ListedTemplate] = []
        call: Call | SendResult = first
        until = time.monotonic() + within_s
        cursors: set[str] = set()
        while isinstance(call, Call):
            page = await self._page(provider, call, until - time.monotonic())
            if isinstance(page, SendResult):
                logger.warning(
                    "channel %s: the list of templates can't be read (code %d, HTTP %d)",
                    settings.id,
                    page.code,
                    page.http_status,
                )
                account.why = page
                return
            listed += page.templates
            if page.next is None or page.next in cursors or len(cursors) == MAX_PAGES - 1:
                break
            cursors.add(page.next)
            account.next_at += AGAIN_S
            call = provider.plan_templates(settings, page.next)
        account.listed, account.read_at, account.heeded = tuple(listed), self._now(), notices

    async def _page(self, provider: Provider, call: Call, total_s: float) -> TemplatePage | SendResult:
        if total_s <= 0:
            return UNREACHABLE
        try:
            answer: Answer = await self._transport(self._base_url(provider, call), call, total_s)
        except (NotSent, NoAnswer):
            return UNREACHABLE
        return provider.read_templates(answer)


def _is_approved(provider: Provider, account: _Account, template: Template) -> bool:
    return any(one.status == "APPROVED" for one in _of_name(provider, account, template))


def _of_name(provider: Provider, account: _Account, template: Template) -> Iterator[ListedTemplate]:
    for one in account.listed or ():
        if one.name == template.name and (one.language == template.language or provider.one_language):
            yield one

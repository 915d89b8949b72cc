"""Performs sends: one client for all providers. A Provider plans the calls and reads the answers."""

import logging
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from providers.provider import Call, Provider
from providers.registry import PROVIDERS
from schemas.effects import SendRequest, SendResult
from schemas.events.conversation import Template
from schemas.settings.channel import ChannelSettings
from streams.clock import Clock
from streams.effects.attachments import Attachments
from streams.effects.contract import Done, Outcome, Postponed, Unknown
from streams.effects.http import NoAnswer, NotSent, Transport
from streams.effects.runner import START_WITHIN

logger = logging.getLogger(__name__)

LOOKUP_S: Final = 3.0
TOTAL_S: Final = 9.5
"""Less than the runtime gives an effect: a call that it cuts off is unknown, even where nothing was sent."""

UNREACHABLE: Final = SendResult(answer="retry", message="the provider can't be reached")
WINDOW_CLOSED: Final = SendResult(answer="window_closed", message="the 24-hour window closed before the call")
LIST_UNREACHABLE: Final = SendResult(answer="template_unavailable", message="the list of templates can't be reached")


class Sender:
    """Sends through the channel's provider.

    newest: a channel's newest settings; raises LookupError. clock: what a message's not_after is judged by. base_urls:
    of the REST APIs, by provider, and by provider/service. webhook_url: a channel's, as its provider reaches it; None:
    it can't. attachments: None: there is no media store. total_s: seconds for all that one send takes, but for uploads.
    """

    def __init__(
        self,
        transport: Transport,
        newest: Callable[[str], ChannelSettings],
        clock: Clock,
        base_urls: Mapping[str, str],
        *,
        webhook_url: Callable[[ChannelSettings], str | None] = lambda _settings: None,
        attachments: Attachments | None = None,
        total_s: float = TOTAL_S,
    ) -> None:
        self._webhook_url, self._attachments = webhook_url, attachments
        self._transport, self._newest, self._clock = transport, newest, clock
        self._base_urls, self._total_s = base_urls, total_s

    async def perform(self, request: SendRequest) -> Outcome:
        """Send the message once. Done holds a SendResult; Unknown: it may have gone; Postponed: it was not tried."""
        started = time.monotonic()
        try:
            settings = self._newest(request.channel)
            provider = PROVIDERS[settings.provider]
        except LookupError:
            return Postponed()
        if self._attachments is not None:
            ready = await self._attachments.prepare(request, provider, settings, self._base_urls[provider.name])
            if isinstance(ready, Postponed):
                return ready
            if isinstance(ready, SendResult):
                return _done(request, ready)
            request = ready
        call = provider.plan_send(request, settings, self._webhook_url(settings))
        if isinstance(call, SendResult):
            return _done(request, call)
        if _is_too_late(request, self._clock()):
            return _done(request, WINDOW_CLOSED)
        if request.check_template and request.template is not None:
            missing = await self._missing(provider, request.template, settings)
            if missing is not None:
                return _done(request, missing)
        # A process that was stopped and resumed is so late: its successor may have taken the key over. A file that took
        # longer to upload is there the next time.
        if time.monotonic() - started > START_WITHIN:
            return Postponed()
        try:
            answer = await self._transport(
                self._base_url(provider, call), call, self._total_s - (time.monotonic() - started)
            )
        except NotSent:
            return _done(request, UNREACHABLE)
        except NoAnswer as error:
            logger.warning("channel %s: a send ended unknown: %s", request.channel, error)
            return Unknown()
        result = provider.read_send(answer)
        if result is None:
            logger.warning("channel %s: a send ended unknown: an answer that can't be read", request.channel)
            return Unknown()
        return _done(request, result)

    async def _missing(self, provider: Provider, template: Template, settings: ChannelSettings) -> SendResult | None:
        """Why the template can't be used; None if it can."""
        call = provider.plan_lookup(template, settings)
        if isinstance(call, SendResult):
            return call
        try:
            answer = await self._transport(self._base_url(provider, call), call, min(LOOKUP_S, self._total_s / 2))
        except (NotSent, NoAnswer):
            return LIST_UNREACHABLE
        return provider.read_lookup(template, answer)

    def _base_url(self, provider: Provider, call: Call) -> str:
        return self._base_urls[f"{provider.name}/{call.service}" if call.service else provider.name]


def _is_too_late(request: SendRequest, now: datetime) -> bool:
    """Whether the text would go outside the session window. At its end to the second it does."""
    return request.not_after is not None and now >= request.not_after


def _done(request: SendRequest, result: SendResult) -> Done:
    if result.answer != "accepted":
        logger.warning(
            "channel %s: a send was answered %s (code %d, HTTP %d)",
            request.channel,
            result.answer,
            result.code,
            result.http_status,
        )
    return Done(result.model_dump(mode="json", exclude_defaults=True))

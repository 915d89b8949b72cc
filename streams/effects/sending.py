"""Performs sends: one client for all providers. A Provider plans the calls and reads the answers."""

import logging
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from providers.meta import OPTED_OUT, OTHER_FORMAT
from providers.provider import Call, Provider
from providers.registry import PROVIDERS
from schemas.effects import ListRequest, SendRequest, SendResult, SettleRequest, SettleResult, SignalRequest
from schemas.events.template import Template
from schemas.settings.channel import ChannelSettings
from streams.clock import Clock
from streams.effects.attachments import Attachments
from streams.effects.contract import Done, Outcome, Postponed, Unknown
from streams.effects.http import NoAnswer, NotSent, Transport
from streams.effects.runner import START_WITHIN
from streams.effects.templates import LIST_S, TemplateCache

logger = logging.getLogger(__name__)

TOTAL_S: Final = 9.5
"""Less than the runtime gives an effect: a call that it cuts off is unknown, even where nothing was sent."""

SIGNAL_S: Final = 4.0

UNREACHABLE: Final = SendResult(answer="retry", message="the provider can't be reached")
WINDOW_CLOSED: Final = SendResult(answer="window_closed", message="the 24-hour window closed before the call")
UNCLEAR: Final = SettleResult(answer="unclear")


class Sender:
    """Sends through the channel's provider.

    newest: a channel's newest settings; raises LookupError. clock: what a message's not_after is judged by. base_urls:
    of the REST APIs, by provider, and by provider/service. webhook_url: a channel's, as its provider reaches it; None:
    it can't. attachments: None: there is no media store. total_s: seconds for all that one send takes, but for uploads.
    templates: what is known of the accounts' templates.
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
        self.templates = TemplateCache(transport, self._base_url, lambda: clock().timestamp())

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
        if request.template is not None:
            refused = await self._why_no_template(request, request.template, provider, settings)
            if refused is not None:
                return _done(request, refused)
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
        if result.answer == "template_unavailable":
            self.templates.invalidate(request.channel)
        return _done(request, result)

    async def _why_no_template(
        self, request: SendRequest, template: Template, provider: Provider, settings: ChannelSettings
    ) -> SendResult | None:
        """Why the template is not sent, as far as the account's list says. It is read where that must be known."""
        if request.check_template or (request.no_marketing and template.category is None):
            unusable = await self.templates.why_unusable(provider, settings, template, min(LIST_S, self._total_s / 2))
            if unusable is not None and request.check_template:
                return unusable
        listed = self.templates.known(settings, template)
        category = template.category or ("" if listed is None else listed.category.lower())
        if request.no_marketing and category == "marketing":
            return SendResult(answer="refused", code=OPTED_OUT, message="the customer wants no marketing")
        unlike = {"NAMED": template.parameters, "POSITIONAL": template.named}
        if listed is not None and unlike.get(listed.parameter_format):
            message = f"the template's parameters are {listed.parameter_format.lower()}"
            return SendResult(answer="refused", code=OTHER_FORMAT, message=message)
        return None

    async def settle(self, request: SettleRequest) -> Outcome:
        """Ask the provider once whether it took a message. Done holds a SettleResult."""
        return Done((await self._settled(request)).model_dump(mode="json", exclude_defaults=True))

    async def _settled(self, request: SettleRequest) -> SettleResult:
        try:
            settings = self._newest(request.channel)
        except LookupError:
            return UNCLEAR
        provider = PROVIDERS[settings.provider]
        call = None if provider.settling is None else provider.settling.plan(request, settings)
        if provider.settling is None or call is None:
            return UNCLEAR
        try:
            answer = await self._transport(self._base_url(provider, call), call, self._total_s)
        except (NotSent, NoAnswer):
            return UNCLEAR
        result = provider.settling.read(request, answer)
        logger.warning("channel %s: a send that ended unknown was looked up: %s", request.channel, result.answer)
        return result

    async def list_messages(self, request: ListRequest) -> Outcome:
        """Read a page of what customers wrote, as the provider has it. Done holds a ListResult."""
        try:
            settings = self._newest(request.channel)
        except LookupError:
            return Postponed()
        provider = PROVIDERS[settings.provider]
        call = None if provider.listing is None else provider.listing.plan(request, settings)
        if provider.listing is None or call is None:
            return Postponed()
        try:
            answer = await self._transport(self._base_url(provider, call), call, self._total_s)
        except (NotSent, NoAnswer):
            return Postponed()
        result = provider.listing.read(request, answer)
        if result.answer == "unreadable":
            logger.warning("channel %s: the list of messages can't be read (HTTP %d)", request.channel, answer.status)
        return Done(result.model_dump(mode="json", exclude_defaults=True))

    async def signal(self, request: SignalRequest) -> Outcome:
        """Show that a message was read, if that is possible now. Whatever comes of it changes nothing."""
        try:
            settings = self._newest(request.channel)
        except LookupError:
            return Postponed()
        provider = PROVIDERS[settings.provider]
        call = provider.plan_signal(request, settings)
        if call is not None:
            try:
                await self._transport(self._base_url(provider, call), call, SIGNAL_S)
            except (NotSent, NoAnswer):
                return Unknown()
        return Done()

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

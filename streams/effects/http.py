"""EngageLab's client: performs one send, and says honestly how it ended."""

import base64
import logging
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from aiohttp import (
    ClientConnectorError,
    ClientError,
    ClientSession,
    ClientTimeout,
    ConnectionTimeoutError,
)
from pydantic import JsonValue

from providers.engagelab.sending import (
    Accepted,
    Envelope,
    Refused,
    Unreadable,
    classify,
    read_send_response,
    read_templates_response,
    render_template,
    render_text,
)
from schemas.effects import SendRequest, SendResult
from schemas.events.conversation import Template
from schemas.settings.channel import ChannelSettings
from streams.clock import Clock, wall_clock
from streams.effects.contract import Done, Outcome, Postponed, Unknown
from streams.effects.runner import START_WITHIN

logger = logging.getLogger(__name__)

BASE_URL: Final = "https://wa.api.engagelab.cc"

CONNECT_S: Final = 3.0
LOOKUP_S: Final = 3.0
TOTAL_S: Final = 9.5
"""Less than the runtime gives an effect: a call that it cuts off is unknown, even where nothing was sent."""

MAX_RETRY_AFTER_S: Final = 3_600

_NOT_APPROVED: Final = 4001
_BAD_PARAMETERS: Final = 3002

NO_CREDENTIALS: Final = SendResult(answer="credentials", message="the channel has no usable credentials")
UNREACHABLE: Final = SendResult(answer="retry", message="the provider can't be reached")
WINDOW_CLOSED: Final = SendResult(answer="window_closed", message="the 24-hour window closed before the call")
LIST_UNREACHABLE: Final = SendResult(answer="template_unavailable", message="the list of templates can't be reached")


class EngageLabClient:
    """Sends through EngageLab's REST API.

    session: as opened by `ClientSession()`; its idle connections are dropped after 15 s, before servers drop theirs (a
    request on a connection that the server just closed ends unknown). newest: a channel's newest settings; raises
    LookupError. clock: what a message's not_after is judged by. total_s: seconds for all that one send takes.
    """

    def __init__(
        self,
        session: ClientSession,
        newest: Callable[[str], ChannelSettings],
        *,
        clock: Clock = wall_clock,
        base_url: str = BASE_URL,
        total_s: float = TOTAL_S,
    ) -> None:
        self._session, self._newest, self._clock = session, newest, clock
        self._base_url, self._total_s = base_url.rstrip("/"), total_s

    async def perform(self, request: SendRequest) -> Outcome:
        """Send the message once. Done holds a SendResult; Unknown: it may have gone; Postponed: it was not tried."""
        started = time.monotonic()
        try:
            settings = self._newest(request.channel)
        except LookupError:
            return Postponed()
        auth = _auth(settings)
        if auth is None:
            return _done(request, NO_CREDENTIALS)
        body = send_body(request, settings.phone_number)
        if isinstance(body, SendResult):
            return _done(request, body)
        if is_too_late(request, self._clock()):
            return _done(request, WINDOW_CLOSED)
        if request.check_template and request.template is not None:
            missing = await self._missing(request.template, auth)
            if missing is not None:
                return _done(request, missing)
            # Only a process that was stopped and resumed is so late: its successor may have taken the key over.
            if time.monotonic() - started > START_WITHIN:
                return Postponed()
        return await self._send(request, body, auth, self._total_s - (time.monotonic() - started))

    async def _send(
        self, request: SendRequest, body: dict[str, JsonValue], auth: Mapping[str, str], within_s: float
    ) -> Outcome:
        timeout = ClientTimeout(total=within_s, connect=min(CONNECT_S, within_s / 2))
        try:
            async with self._session.post(
                f"{self._base_url}/v1/messages",
                json=body,
                headers=auth,
                timeout=timeout,
                # A redirect would be a second request, and a failure to reach its target proves nothing of the first.
                allow_redirects=False,
            ) as response:
                result = read_answer(response.status, await response.read(), response.headers.get("Retry-After", ""))
        except (ClientConnectorError, ConnectionTimeoutError):
            # DNS, TCP, TLS: there was no connection on which anything could have been written.
            return _done(request, UNREACHABLE)
        except (ClientError, TimeoutError) as error:
            logger.warning("channel %s: a send ended unknown: %s", request.channel, type(error).__name__)
            return Unknown()
        if result is None:
            logger.warning("channel %s: a send ended unknown: an answer that can't be read", request.channel)
            return Unknown()
        return _done(request, result)

    async def _missing(self, template: Template, auth: Mapping[str, str]) -> SendResult | None:
        """Why the template can't be used; None if it can."""
        try:
            async with self._session.get(
                f"{self._base_url}/v1/templates",
                params={"name": template.name, "language_code": template.language},
                headers=auth,
                timeout=ClientTimeout(total=min(LOOKUP_S, self._total_s / 2)),
                allow_redirects=False,
            ) as response:
                return why_not_approved(template, response.status, await response.read())
        except (ClientError, TimeoutError):
            return LIST_UNREACHABLE


def is_too_late(request: SendRequest, now: datetime) -> bool:
    """Whether the text would go outside the session window. At its end to the second it does."""
    return request.not_after is not None and now >= request.not_after


def send_body(request: SendRequest, sender: str) -> dict[str, JsonValue] | SendResult:
    """What is posted to send the message; a refusal where it can't be written."""
    envelope = Envelope(sender, request.contact, request.message_id, request.conversation)
    try:
        if request.template is None:
            return render_text(envelope, request.text or "")
        template = request.template
        return render_template(envelope, template.name, template.language, parameters=template.parameters)
    except ValueError as error:  # providers.engagelab.sending names the field, never its content
        return SendResult(answer="refused", code=_BAD_PARAMETERS, message=str(error))


def read_answer(status: int, body: bytes, retry_after: str = "") -> SendResult | None:
    """What the answer to a send means; None: whether the message was taken is unknown. retry_after: the header."""
    match read_send_response(status, body):
        case Accepted(provider_message_id=provider_id):
            return SendResult(answer="accepted", provider_message_id=provider_id, http_status=status)
        case Refused(code=0, http_status=504):
            # A gateway gave up waiting; what it waited for may still have happened.
            return None
        case Refused(code=code, message=message) as refused:
            verdict = classify(refused)
            return SendResult(
                answer="refused" if verdict == "final" else verdict,
                code=code,
                message=message,
                retry_after_s=_seconds(retry_after) if verdict == "retry" else None,
                http_status=status,
            )
        case Unreadable():
            return None


def why_not_approved(template: Template, status: int, body: bytes) -> SendResult | None:
    """Why the template can't be used, by the answer to the list of templates; None if it can."""
    answer = read_templates_response(status, body)
    if isinstance(answer, Refused) and classify(answer) == "credentials":
        return SendResult(answer="credentials", code=answer.code, message=answer.message, http_status=status)
    if isinstance(answer, Refused | Unreadable):
        code = answer.code if isinstance(answer, Refused) else 0
        message = "the list of templates can't be read"
        return SendResult(answer="template_unavailable", code=code, message=message, http_status=status)
    wanted = (template.name, template.language, "APPROVED")
    if any((known.name, known.language, known.status.upper()) == wanted for known in answer):
        return None
    message = "the template is not approved"
    return SendResult(answer="template_unavailable", code=_NOT_APPROVED, message=message, http_status=status)


def _auth(settings: ChannelSettings) -> Mapping[str, str] | None:
    # Written out, as aiohttp 3.14 deprecates its BasicAuth and 3.13 has nothing else.
    if settings.dev_key is None or settings.dev_secret is None or ":" in settings.dev_key:
        return None
    credentials = f"{settings.dev_key}:{settings.dev_secret.get_secret_value()}".encode()
    return {"Authorization": "Basic " + base64.b64encode(credentials).decode()}


def _seconds(retry_after: str) -> float | None:
    value = retry_after.strip()
    return float(min(int(value), MAX_RETRY_AFTER_S)) if value.isascii() and value.isdigit() else None


def done(result: SendResult) -> Done:
    """An attempt that is over, whatever it was answered."""
    return Done(result.model_dump(mode="json", exclude_defaults=True))


def _done(request: SendRequest, result: SendResult) -> Done:
    if result.answer != "accepted":
        logger.warning(
            "channel %s: a send was answered %s (code %d, HTTP %d)",
            request.channel,
            result.answer,
            result.code,
            result.http_status,
        )
    return done(result)

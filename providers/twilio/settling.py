"""Whether Twilio took a message whose send ended unknown: its list of messages tells (Twilio docs, confirmed)."""

from datetime import timedelta
from typing import Final

from providers.provider import Answer, Call
from providers.reading import object_in, objects_in, string
from providers.twilio.sending import address, instant, sign_in
from schemas.effects import SettleRequest, SettleResult
from schemas.settings.channel import ChannelSettings

PAGE: Final = 200
SKEW: Final = timedelta(minutes=1)
"""What Twilio's clock may be behind ours. Its times are whole seconds."""
_UNCLEAR: Final = SettleResult(answer="unclear")


def plan_settle(request: SettleRequest, settings: ChannelSettings) -> Call | None:
    """The call that lists what the contact was sent, newest first; None: the channel has no credentials.

    Not by DateSent: a message that waits in Twilio's queue has none.
    """
    headers = sign_in(settings)
    if headers is None:
        return None
    params = {"To": address(request.contact), "From": f"whatsapp:{settings.phone_number}", "PageSize": str(PAGE)}
    return Call("GET", f"/2010-04-01/Accounts/{settings.account_sid}/Messages.json", headers, params)


def read_settle(request: SettleRequest, answer: Answer) -> SettleResult:
    """Whether the message is on the list: one of its text, made since it was commanded, that is no other of ours.

    A template's text is not known here: that something else is there proves nothing.
    """
    body = object_in(answer.body)
    if answer.status != 200 or not isinstance(body.get("messages"), list):
        return _UNCLEAR
    since, listed = request.since - SKEW, objects_in(body, "messages")
    made = [(one, instant(one.get("date_created"))) for one in listed]
    ours = [one for one, at in made if (at is None or at >= since) and one.get("sid") not in request.known]
    if request.text is not None:
        ours = [one for one in ours if (string(one.get("body")) or "").strip() == request.text.strip()]
    if not ours:
        whole = string(body.get("next_page_uri")) is None or any(at is not None and at < since for _, at in made)
        return SettleResult(answer="absent") if whole else _UNCLEAR
    sid = string(ours[0].get("sid"))
    if len(ours) > 1 or request.text is None or sid is None:
        return _UNCLEAR
    return SettleResult(answer="taken", provider_message_id=sid)

"""Setting a channel up at Twilio: trying its credentials, and what to do there (Twilio docs, confirmed)."""

from typing import Final

from providers.provider import Answer, Call, Checked, Checking, SetUp
from providers.reading import Json, number_from, object_in, string, whole
from providers.twilio.sending import sign_in
from schemas.contact import canonical_number
from schemas.settings.channel import ChannelSettings

MESSAGING: Final = "messaging"
"""The service, on a host of its own, that has the senders."""

_UNKNOWN: Final = 20404
_SENDER_UNKNOWN: Final = "Twilio's list of senders can't be read with these credentials: the number was not checked."


def check(settings: ChannelSettings) -> Checking:
    """Reads the account, then whether the number is a WhatsApp sender of it."""
    headers = sign_in(settings)
    if headers is None:
        return Checked("wrong_credentials", "account_sid", "give account_sid and auth_token")
    answer: Answer = yield Call("GET", f"/2010-04-01/Accounts/{settings.account_sid}.json", headers)
    account = object_in(answer.body)
    if answer.status != 200:
        return _refused(answer, account, settings)
    if account.get("status") != "active":
        return Checked("inactive", "account_sid", f"the account is {string(account.get('status')) or 'not active'}")
    answer = yield Call(
        "GET", "/v2/Channels/Senders", headers, {"Channel": "whatsapp", "PageSize": "100"}, service=MESSAGING
    )
    senders = object_in(answer.body).get("senders")
    if answer.status != 200 or not isinstance(senders, list):
        return Checked(notes=(_SENDER_UNKNOWN,))
    own = canonical_number(settings.phone_number)
    sender = next((one for one in senders if isinstance(one, dict) and _number(one) == own), None)
    if sender is None:
        return Checked("wrong_number", "phone_number", "the account has no WhatsApp sender of this number")
    status = string(sender.get("status")) or "unknown"
    return Checked(notes=() if status.startswith("ONLINE") else (f"The sender is {status}: it may not send yet.",))


def set_up(_settings: ChannelSettings, webhook_url: str) -> SetUp:
    """A sender, or its Messaging Service, has addresses for messages and for what could not be delivered."""
    return SetUp(
        callbacks=("Incoming message", "Status callback", "Fallback"),
        steps=(
            "In Twilio's console, open the WhatsApp sender (or its Messaging Service) and paste "
            f"{webhook_url}#rc=5&rp=all as the webhook URL for incoming messages, method POST.",
            f"Paste {webhook_url}/fallback as the fallback URL and {webhook_url}/status as the status callback URL.",
        ),
    )


def _refused(answer: Answer, body: Json, settings: ChannelSettings) -> Checked:
    code = whole(body.get("code"))
    said = f"(code {code})" if code is not None else f"(HTTP {answer.status})"
    if code == _UNKNOWN or answer.status == 404:
        return Checked("wrong_credentials", "account_sid", f"Twilio knows no such account {said}")
    if answer.status in (401, 403):
        field = "auth_token" if settings.api_key is None else "api_key_secret"
        return Checked("wrong_credentials", field, f"Twilio refused them {said}: copy them anew from its console")
    return Checked("unreadable", "", f"Twilio answered {said}, which says nothing of the credentials")


def _number(sender: Json) -> str | None:
    return number_from((string(sender.get("sender_id")) or "").removeprefix("whatsapp:"))

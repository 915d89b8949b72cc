"""Setting a channel up at EngageLab: trying its credentials, and what to do there (EngageLab docs, confirmed)."""

from typing import Final

from providers.engagelab.sending import Refused, classify, read_templates_response, sign_in
from providers.provider import Answer, Call, Checked, Checking, SetUp
from schemas.settings.channel import ChannelSettings

_NUMBER: Final = "EngageLab has no call that says whose number it is: send a message to yourself to be sure of it."


def check(settings: ChannelSettings) -> Checking:
    """Reads the account's templates, which needs the credentials only."""
    headers = sign_in(settings)
    if headers is None:
        return Checked("wrong_credentials", "dev_key", "give dev_key and dev_secret: the channel can't send without")
    answer: Answer = yield Call("GET", "/v1/templates", headers)
    found = read_templates_response(answer.status, answer.body)
    if isinstance(found, tuple):
        return Checked(notes=(_NUMBER,))
    if isinstance(found, Refused) and (classify(found) == "credentials" or answer.status in (401, 403)):
        message = f"EngageLab refused them (code {found.code}): copy DevKey and DevSecret anew from its console"
        return Checked("wrong_credentials", "dev_secret", message)
    return Checked("unreadable", "", f"EngageLab answered HTTP {answer.status}, which says nothing of the credentials")


def set_up(_settings: ChannelSettings, webhook_url: str) -> SetUp:
    """EngageLab keeps one callback address, with events to tick."""
    return SetUp(
        callbacks=("Message status", "Message response", "Notifications"),
        steps=(
            f"In EngageLab's console, open WhatsApp > Callback settings, paste {webhook_url} and tick the callbacks.",
        ),
    )

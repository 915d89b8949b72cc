"""Setting a channel up at Meta: trying its credentials, subscribing, and what to do there (Meta docs, confirmed)."""

from collections.abc import Iterator
from typing import Final

import orjson

from providers.provider import Answer, Call, Checked, Checking, SetUp
from providers.reading import Json, number_from, object_in, part_of, string, whole
from providers.whatsapp_cloud.codes import classify
from providers.whatsapp_cloud.sending import sign_in
from schemas.contact import canonical_number
from schemas.settings.channel import ChannelSettings

MAX_OVERRIDE: Final = 200
"""Characters of an address that one account's callbacks may be sent to in place of the app's."""

_UNKNOWN_ID: Final = (33, 100, 803)
_NO_ACCOUNT: Final = (
    "Without business_account_id the number's account, its templates and its subscription are not checked.",
    "Account and template notices come only to the app's own callback address.",
)
_NOT_SUBSCRIBED: Final = "No app is subscribed to the account's callbacks yet: nothing a customer writes will come."


def check(settings: ChannelSettings) -> Checking:
    """Reads the number, then whether the account has it and an app listens."""
    headers = sign_in(settings)
    if headers is None:
        missing = "give phone_number_id, access_token, app_secret and verify_token"
        return Checked("wrong_credentials", "access_token", missing)
    fields = {"fields": "display_phone_number,status"}
    answer: Answer = yield Call("GET", f"/{settings.api_version}/{settings.phone_number_id}", headers, fields)
    number = object_in(answer.body)
    if "error" in number or answer.status != 200:
        return _refused(answer, number, "phone_number_id", "the access token sees no number of this id")
    shown = number_from(string(number.get("display_phone_number")) or "")
    if shown != canonical_number(settings.phone_number):
        return Checked("wrong_number", "phone_number", "phone_number_id belongs to another number than phone_number")
    account = settings.business_account_id
    if account is None:
        return Checked(notes=_NO_ACCOUNT)
    answer = yield Call("GET", f"/{settings.api_version}/{account}/phone_numbers", headers, {"limit": "100"})
    listed = object_in(answer.body)
    if "error" in listed or answer.status != 200:
        return _refused(answer, listed, "business_account_id", "the access token sees no account of this id")
    if settings.phone_number_id not in {string(one.get("id")) for one in _data(listed)}:
        return Checked("wrong_number", "business_account_id", "the account has no number of this phone_number_id")
    answer = yield Call("GET", f"/{settings.api_version}/{account}/subscribed_apps", headers)
    subscribed = list(_data(object_in(answer.body)))
    return Checked(notes=() if subscribed or answer.status != 200 else (_NOT_SUBSCRIBED,))


def subscribe(settings: ChannelSettings, webhook_url: str) -> Checking:
    """Has the account's callbacks sent to the channel's address. Meta tries it out at once, by the handshake."""
    headers, token = sign_in(settings), settings.verify_token
    if headers is None or token is None or settings.business_account_id is None:
        return Checked("wrong_credentials", "business_account_id", "to subscribe, Meta needs the account's id")
    if len(webhook_url) > MAX_OVERRIDE:
        return Checked("not_permitted", "", f"the webhook address is longer than {MAX_OVERRIDE} characters")
    body = orjson.dumps({"override_callback_uri": webhook_url, "verify_token": token.get_secret_value()})
    path = f"/{settings.api_version}/{settings.business_account_id}/subscribed_apps"
    answer: Answer = yield Call("POST", path, {**headers, "Content-Type": "application/json"}, body=body)
    found = object_in(answer.body)
    if answer.status == 200 and found.get("success") is True:
        return Checked()
    return _refused(
        answer, found, "business_account_id", "Meta could not reach the address, or the app may not subscribe"
    )


def set_up(settings: ChannelSettings, webhook_url: str) -> SetUp:
    """The app's own callback address, with fields to tick."""
    token = "the channel's verify_token" if settings.verify_token is None else "the verify_token that you chose"
    return SetUp(
        callbacks=("messages", "message_template_status_update", "account_update", "phone_number_quality_update",
                   "user_preferences", "smb_message_echoes"),
        steps=(
            f"In Meta's app dashboard, open WhatsApp > Configuration, paste {webhook_url} as callback URL and {token}.",
            "Subscribe to the fields named.",
            "Subscribe the app to the account (POST /{account}/subscribed_apps), or let this API do it.",
        ),
    )  # fmt: skip


def _refused(answer: Answer, body: Json, field: str, unknown: str) -> Checked:
    error = part_of(body, "error")
    code = whole(error.get("code"))
    if code in _UNKNOWN_ID or answer.status == 404:
        return Checked("wrong_number", field, unknown)
    said = f"(code {code})" if code is not None else f"(HTTP {answer.status})"
    match classify(-1 if code is None else code, answer.status):
        case "credentials" if code in (10, *range(200, 300)):
            return Checked("not_permitted", "access_token", f"the access token lacks a permission {said}")
        case "credentials":
            return Checked("wrong_credentials", "access_token", f"Meta refused the access token {said}: make a new one")
        case "account":
            return Checked("inactive", field, f"Meta has restricted the account {said}")
    return Checked("unreadable", "", f"Meta answered {said}, which says nothing of the credentials")


def _data(body: Json) -> Iterator[Json]:
    found = body.get("data")
    return (one for one in found if isinstance(one, dict)) if isinstance(found, list) else iter(())

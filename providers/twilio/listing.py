"""Twilio's list of what customers wrote, in which a message is found whose callback never came (docs, confirmed).

It has neither names, places, the payloads of buttons, ads nor quotes: such a message is what its text says.
"""

from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from providers.provider import Answer, Call
from providers.reading import Json, object_in, objects_in, string, whole
from providers.twilio.media import API
from providers.twilio.sending import instant, sign_in
from schemas.effects import FoundMessage, ListRequest, ListResult
from schemas.settings.channel import ChannelSettings

PAGE: Final = 100
_UNREADABLE: Final = ListResult(answer="unreadable")


def plan_list(request: ListRequest, settings: ChannelSettings) -> Call | None:
    """The call for a page, newest first, or for a message's files; None: the channel has no credentials.

    cursor: the query of the next page's address.
    """
    headers = sign_in(settings)
    if headers is None:
        return None
    path = f"/2010-04-01/Accounts/{settings.account_sid}/Messages"
    if request.message is not None:
        return Call("GET", f"{path}/{request.message.id}/Media.json", headers)
    if request.cursor is not None:
        return Call("GET", f"{path}.json", headers, dict(parse_qsl(request.cursor)))
    between = {"DateSent>": _written(request.since), "DateSent<": _written(request.until)}
    params = {"To": f"whatsapp:{settings.phone_number}", **between, "PageSize": str(PAGE)}
    return Call("GET", f"{path}.json", headers, params)


def read_list(request: ListRequest, answer: Answer) -> ListResult:
    """The page's messages from the time asked for, whatever Twilio makes of it, or the message with its files."""
    body = object_in(answer.body)
    found, name = request.message, "messages" if request.message is None else "media_list"
    if answer.status != 200 or not isinstance(body.get(name), list):
        return _UNREADABLE
    listed = objects_in(body, name)
    if found is not None:
        return ListResult(answer="listed", messages=(FoundMessage(id=found.id, body=_with_files(found, listed)),))
    sent = [(instant(one.get("date_sent")), one) for one in listed]
    messages = [_found(one) for at, one in sent if at is not None and request.since <= at <= request.until]
    following = urlsplit(string(body.get("next_page_uri")) or "").query
    is_last = any(at is not None and at < request.since for at, _ in sent)
    return ListResult(
        answer="listed",
        messages=tuple(one for one in messages if one is not None),
        next=None if is_last else following or None,
    )


def _found(message: Json) -> FoundMessage | None:
    sid = string(message.get("sid"))
    if sid is None or message.get("direction") != "inbound":
        return None
    names = {"AccountSid": "account_sid", "From": "from", "To": "to", "Body": "body", "DateSent": "date_sent"}
    form = {"MessageSid": sid} | {field: string(message.get(name)) or "" for field, name in names.items()}
    return FoundMessage(id=sid, body=urlencode(form), files=max(0, whole(message.get("num_media")) or 0))


def _with_files(found: FoundMessage, listed: list[Json]) -> str:
    form = dict(parse_qsl(found.body, keep_blank_values=True))
    path = f"{API}/2010-04-01/Accounts/{form['AccountSid']}/Messages/{found.id}/Media"
    for number, file in enumerate(listed):
        form[f"MediaUrl{number}"] = f"{path}/{string(file.get('sid')) or ''}"
        form[f"MediaContentType{number}"] = string(file.get("content_type")) or ""
    return urlencode(form)


def _written(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

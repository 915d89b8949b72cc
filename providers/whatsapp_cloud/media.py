"""The Cloud API's files (Meta docs, confirmed): a customer's by its id, ours uploaded before the message."""

import re
from typing import Final
from urllib.parse import quote

from providers.media import FORBIDDEN_NOW, NOT_FOUND, UNREACHABLE, UNSUPPORTED, hex_sha256, read_failure
from providers.provider import NO_CREDENTIALS, Answer, Call, ErrorClass, Fetch, Fetching, Uploading
from providers.reading import MAX_ID, object_in, part_of, string, text_of, whole
from providers.whatsapp_cloud.codes import classify
from providers.whatsapp_cloud.sending import read_refusal, sign_in
from schemas.effects import MediaResult, SendResult
from schemas.events.content import Attachment
from schemas.events.conversation import Media
from schemas.ids import derived_id
from schemas.settings.channel import ChannelSettings

_SIGNED_IN: Final = re.compile(
    r"https://(?:graph\.facebook\.com|(?:[a-z0-9-]+\.)*(?:fbsbx\.com|fbcdn\.net))(?::443)?/.*", re.DOTALL
)
"""Meta's hosts for files: lookaside.fbsbx.com (docs, confirmed), perhaps *.fbcdn.net (a practice)."""
_MAX_LINK: Final = 4_096
_LATER: Final[frozenset[ErrorClass]] = frozenset({"retry", "throttled"})
_DENIED: Final[frozenset[ErrorClass]] = frozenset({"credentials", "account"})


def plan_fetch(media: Media, settings: ChannelSettings, base_url: str) -> Fetch | MediaResult:
    """Asks where the file is: the link in a webhook lives 5 minutes only, the id 7 days.

    Without the parameter phone_number_id, which was refused for customers' files (a practice).
    """
    headers = sign_in(settings)
    if headers is None:
        return FORBIDDEN_NOW
    if media.id is not None:
        url = f"{base_url.rstrip('/')}/{settings.api_version}/{quote(media.id, safe='')}"
        return Fetch(url, headers, is_lookup=True, sha256=media.sha256)
    if media.link is None:
        return UNSUPPORTED
    return _fetch(media.link, settings, base_url, media.sha256)


def read_lookup(answer: Answer, settings: ChannelSettings, base_url: str) -> Fetch | MediaResult:
    """Where the file is, with its hash."""
    body = object_in(answer.body)
    url = text_of(body, "url", _MAX_LINK)
    if url is None:
        return NOT_FOUND
    return _fetch(url, settings, base_url, hex_sha256(string(body.get("sha256"))))


def read_refusal_to_fetch(answer: Answer) -> MediaResult:
    """By Meta's code, where there is one; an id that has expired is not found, nor is a link: it is looked up anew."""
    code = whole(part_of(object_in(answer.body), "error").get("code"))
    if code is None:
        return read_failure(answer)
    meaning = classify(code, answer.status, transient=False)
    if meaning in _DENIED:
        return FORBIDDEN_NOW
    return UNREACHABLE if meaning in _LATER else NOT_FOUND


def _fetch(url: str, settings: ChannelSettings, base_url: str, sha256: str | None) -> Fetch:
    """Credentials go to Meta's hosts alone, and to the API that the operator set."""
    is_ours = url.startswith(base_url.rstrip("/") + "/") or _SIGNED_IN.fullmatch(url) is not None
    return Fetch(url, (sign_in(settings) or {}) if is_ours else {}, sha256=sha256)


FETCHING: Final = Fetching(plan_fetch, read_lookup, read_refusal_to_fetch)


# --- ours -----------------------------------------------------------------------------------------------------------


def plan_upload(attachment: Attachment, data: bytes, settings: ChannelSettings) -> Call | SendResult:
    """The call that hands the file over, with its type from its bytes. Meta keeps it for 30 days."""
    headers = sign_in(settings)
    if headers is None:
        return NO_CREDENTIALS
    type_ = attachment.mime_type or "application/octet-stream"
    # Any boundary will do that the file does not hold.
    boundary = derived_id("boundary", attachment.file)
    head = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n{value}'
        for name, more, value in (
            ("messaging_product", "", "whatsapp\r\n"),
            ("type", "", f"{type_}\r\n"),
            ("file", f'; filename="file"\r\nContent-Type: {type_}', ""),
        )
    )
    body = head.encode() + data + f"\r\n--{boundary}--\r\n".encode()
    path = f"/{settings.api_version}/{settings.phone_number_id}/media"
    content_type = f"multipart/form-data; boundary={boundary}"
    return Call("POST", path, {**headers, "Content-Type": content_type}, body=body)


def read_upload(answer: Answer) -> str | SendResult:
    """The file's id; else why it was not taken. Nothing was sent in either case."""
    body = object_in(answer.body)
    if 200 <= answer.status < 300 and "error" not in body:
        id = text_of(body, "id", MAX_ID)
        return id or SendResult(answer="retry", message="the upload's answer can't be read", http_status=answer.status)
    return read_refusal(body, answer)


UPLOADING: Final = Uploading(plan_upload, read_upload)

"""Twilio's list of an account's Content with its approvals: the calls, and their answers (Twilio docs, confirmed)."""

from typing import Final
from urllib.parse import parse_qsl, urlsplit

from providers.provider import NO_CREDENTIALS, Answer, Call, ListedTemplate, TemplatePage
from providers.reading import object_in, objects_in, part_of, string, whole, word
from providers.twilio.sending import sign_in
from schemas.effects import SendResult
from schemas.settings.channel import ChannelSettings

CONTENT: Final = "content"
"""The service, on a host of its own, that has the templates."""
PAGE: Final = 500


def plan_templates(settings: ChannelSettings, cursor: str | None) -> Call | SendResult:
    """The call that lists the account's templates, from the cursor on: the query of the next page's address."""
    headers = sign_in(settings)
    if headers is None:
        return NO_CREDENTIALS
    params = {"PageSize": str(PAGE)} if cursor is None else dict(parse_qsl(cursor))
    return Call("GET", "/v1/ContentAndApprovals", headers, params, service=CONTENT)


def read_templates(answer: Answer) -> TemplatePage | SendResult:
    """A page of the list. A template's name is its ContentSid."""
    body = object_in(answer.body)
    if answer.status != 200 or not isinstance(body.get("contents"), list):
        code = max(0, whole(body.get("code")) or 0)
        message = "the list of templates can't be read"
        return SendResult(answer="template_unavailable", code=code, message=message, http_status=answer.status)
    templates = []
    for one in objects_in(body, "contents"):
        approval = part_of(one, "approval_requests")
        sid = string(one.get("sid"))
        if sid is not None:
            language = string(one.get("language")) or ""
            templates.append(ListedTemplate(sid, language, word(approval, "status"), word(approval, "category")))
    url = string(part_of(body, "meta").get("next_page_url"))
    return TemplatePage(tuple(templates), None if url is None else urlsplit(url).query or None)

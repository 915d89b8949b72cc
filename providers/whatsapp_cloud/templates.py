"""The Cloud API's list of an account's templates: the calls, and their answers (Meta docs, confirmed)."""

from typing import Final
from urllib.parse import parse_qs, urlsplit

from providers.provider import NO_CREDENTIALS, Answer, Call, ListedTemplate, TemplatePage
from providers.reading import object_in, objects_in, part_of, string, whole, word
from providers.whatsapp_cloud.sending import sign_in
from schemas.effects import SendResult
from schemas.settings.channel import ChannelSettings

PAGE: Final = 250
"""Templates on a page (a practice: the limit is documented nowhere)."""
_FIELDS: Final = "name,language,status,category,parameter_format"
_NO_ACCOUNT: Final = 132001


def plan_templates(settings: ChannelSettings, cursor: str | None) -> Call | SendResult:
    """The call that lists the account's templates, from the cursor on."""
    headers = sign_in(settings)
    if headers is None:
        return NO_CREDENTIALS
    if settings.business_account_id is None:
        # What can be sent without it, is: it must not pause the channel.
        message = "the channel has no business_account_id, in which its templates are"
        return SendResult(answer="template_unavailable", code=_NO_ACCOUNT, message=message)
    path = f"/{settings.api_version}/{settings.business_account_id}/message_templates"
    params = {"fields": _FIELDS, "limit": str(PAGE)}
    return Call("GET", path, headers, params if cursor is None else {**params, "after": cursor})


def read_templates(answer: Answer) -> TemplatePage | SendResult:
    """A page of the list. One that is refused says nothing of the channel's sends, which may work."""
    body = object_in(answer.body)
    listed = body.get("data")
    if answer.status != 200 or not isinstance(listed, list):
        code = max(0, whole(part_of(body, "error").get("code")) or 0)
        message = "the list of templates can't be read"
        return SendResult(answer="template_unavailable", code=code, message=message, http_status=answer.status)
    templates = tuple(
        ListedTemplate(name, language, word(one, "status"), word(one, "category"), word(one, "parameter_format"))
        for one in objects_in(body, "data")
        if (name := string(one.get("name"))) and (language := string(one.get("language")))
    )
    return TemplatePage(templates, _next(string(part_of(body, "paging").get("next"))))


def _next(url: str | None) -> str | None:
    """The cursor in the address of the next page: the address itself is no place to take credentials to."""
    return None if url is None else parse_qs(urlsplit(url).query).get("after", [None])[0]

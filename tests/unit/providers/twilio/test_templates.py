"""Twilio's list of templates, a page at a time."""

import orjson
import pytest

from providers.provider import Answer, Call, ListedTemplate, TemplatePage
from providers.twilio.templates import CONTENT, plan_templates, read_templates
from schemas.effects import SendResult
from tests.unit.providers.twilio.test_callbacks import CHANNEL

SID = "HX" + "a" * 32


def test_the_account_s_contents_are_listed_page_by_page() -> None:
    first = plan_templates(CHANNEL, None)
    second = plan_templates(CHANNEL, "PageSize=500&Page=1&PageToken=DNHX1")
    assert isinstance(first, Call)
    assert isinstance(second, Call)
    assert (first.service, first.path) == (second.service, second.path) == (CONTENT, "/v1/ContentAndApprovals")
    assert second.params == {"PageSize": "500", "Page": "1", "PageToken": "DNHX1"}


def test_a_page_says_what_is_approved_and_where_the_next_one_is() -> None:
    approved = {"sid": SID, "language": "es", "approval_requests": {"status": "approved", "category": "UTILITY"}}
    unsubmitted = {"sid": "HX2", "language": "es", "approval_requests": None}
    following = "https://content.example/v1/ContentAndApprovals?PageSize=500&Page=1&PageToken=DNHX1"
    body = {"contents": [approved, unsubmitted, "HX3", {}], "meta": {"next_page_url": following}}
    assert read_templates(Answer(200, orjson.dumps(body))) == TemplatePage(
        (ListedTemplate(SID, "es", "APPROVED", "UTILITY"), ListedTemplate("HX2", "es", "")),
        "PageSize=500&Page=1&PageToken=DNHX1",
    )
    last = read_templates(Answer(200, b'{"contents":[],"meta":{"next_page_url":null}}'))
    assert last == TemplatePage(())


@pytest.mark.parametrize("answer", [Answer(401, b'{"code":20003}'), Answer(404, b""), Answer(200, b"[]")])
def test_a_list_that_is_refused_says_nothing_of_the_channel_s_sends(answer: Answer) -> None:
    refused = read_templates(answer)
    assert isinstance(refused, SendResult)
    assert refused.answer == "template_unavailable"

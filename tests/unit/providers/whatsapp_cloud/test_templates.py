"""The Cloud API's list of templates, a page at a time."""

import orjson
import pytest

from providers.provider import Answer, Call, ListedTemplate, TemplatePage
from providers.whatsapp_cloud.templates import plan_templates, read_templates
from schemas.effects import SendResult
from tests.unit.providers.whatsapp_cloud.test_callbacks import ACCOUNT, CHANNEL

HOURS = {"name": "hours", "language": "es", "status": "APPROVED", "category": "UTILITY", "parameter_format": "NAMED"}


def test_the_account_s_templates_are_listed_page_by_page() -> None:
    first, second = plan_templates(CHANNEL, None), plan_templates(CHANNEL, "QVFI")
    assert isinstance(first, Call)
    assert isinstance(second, Call)
    assert first.path == second.path == f"/v25.0/{ACCOUNT}/message_templates"
    assert second.params == {**first.params, "after": "QVFI"}


def test_a_page_says_what_is_on_it_and_where_the_next_one_is() -> None:
    listed = [HOURS, {"name": "hours", "language": "en", "status": "paused"}, {"language": "en"}, "hours"]
    following = f"https://graph.example/v25.0/{ACCOUNT}/message_templates?access_token=t&limit=2&after=QVFI"
    cursors = {"before": "x", "after": "QVFI"}
    body = {"data": listed, "paging": {"cursors": cursors, "next": following}}
    assert read_templates(Answer(200, orjson.dumps(body))) == TemplatePage(
        (ListedTemplate("hours", "es", "APPROVED", "UTILITY", "NAMED"), ListedTemplate("hours", "en", "PAUSED")), "QVFI"
    )
    last = read_templates(Answer(200, orjson.dumps({"data": [], "paging": {"cursors": cursors}})))
    assert last == TemplatePage(())


@pytest.mark.parametrize("answer", [Answer(403, b'{"error":{"code":200}}'), Answer(401, b""), Answer(200, b"[]")])
def test_a_list_that_is_refused_says_nothing_of_the_channel_s_sends(answer: Answer) -> None:
    refused = read_templates(answer)
    assert isinstance(refused, SendResult)
    assert (refused.answer, refused.http_status) == ("template_unavailable", answer.status)


def test_a_channel_that_does_not_say_its_account_has_no_list_and_is_not_paused() -> None:
    refused = plan_templates(CHANNEL.model_copy(update={"business_account_id": None}), None)
    assert isinstance(refused, SendResult)
    assert refused.answer == "template_unavailable"

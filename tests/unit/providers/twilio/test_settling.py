"""What Twilio's list of messages says of one whose send ended unknown."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import orjson
import pytest

from providers.provider import Answer, Call
from providers.twilio.settling import SKEW, plan_settle, read_settle
from providers.twilio.signals import MESSAGING, plan_signal
from schemas.effects import SettleRequest, SettleResult, SignalRequest
from schemas.settings.channel import ChannelSettings
from tests.unit.providers.twilio.test_callbacks import CHANNEL

NOON = datetime(2026, 9, 21, 12, 0, tzinfo=UTC)
REQUEST = SettleRequest(
    effect_id="e", message_id="m1", channel="c", contact="34655000001", text="Hola", since=NOON, known=("SM1",)
)
ABSENT, UNCLEAR = SettleResult(answer="absent"), SettleResult(answer="unclear")


def listed(sid: str, seconds: float = 1, body: str = "Hola") -> dict[str, Any]:
    return {"sid": sid, "body": body, "date_created": format_datetime(NOON + timedelta(seconds=seconds))}


def answer(*messages: Any, more: bool = False) -> Answer:
    page = "/2010-04-01/Accounts/AC1/Messages.json?Page=1" if more else None
    return Answer(200, orjson.dumps({"messages": messages, "next_page_uri": page}))


def test_what_the_contact_was_sent_from_this_number_is_listed() -> None:
    call = plan_settle(REQUEST, CHANNEL)
    assert isinstance(call, Call)
    assert (call.method, call.path) == ("GET", f"/2010-04-01/Accounts/{CHANNEL.account_sid}/Messages.json")
    assert call.params["To"] == "whatsapp:+34655000001"
    assert call.params["From"] == f"whatsapp:{CHANNEL.phone_number}"
    by_id = plan_settle(REQUEST.model_copy(update={"contact": "ES.77"}), CHANNEL)
    assert isinstance(by_id, Call)
    assert by_id.params["To"] == "whatsapp:ES.77"
    assert plan_settle(REQUEST, ChannelSettings(id="c", phone_number="+34600000001", provider="twilio")) is None


@pytest.mark.parametrize(
    "messages",
    [
        [listed("SM2")],
        [listed("SM2", body=" Hola\n")],
        [listed("SM2", -30)],  # its clock is behind
        [listed("SM2"), listed("SM1"), listed("SM3", 2, "Adiós"), listed("SM0", -3600)],
        [{**listed("SM2"), "date_created": None}],
    ],
)
def test_the_one_message_of_that_text_is_it(messages: list[Any]) -> None:
    assert read_settle(REQUEST, answer(*messages)) == SettleResult(answer="taken", provider_message_id="SM2")


@pytest.mark.parametrize(
    "given",
    [
        answer(),
        answer(listed("SM1")),
        answer(listed("SM3", 2, "Adiós")),
        answer(listed("SM0", -SKEW.total_seconds() - 1)),
        answer(listed("SM0", -3600), more=True),
        answer("SM2", listed("SM1")),
    ],
)
def test_what_is_on_no_list_that_goes_back_far_enough_was_not_taken(given: Answer) -> None:
    assert read_settle(REQUEST, given) == ABSENT


@pytest.mark.parametrize(
    "given",
    [
        answer(listed("SM2"), listed("SM3")),
        answer(listed("SM1"), more=True),
        Answer(500, b""),
        Answer(200, b"<html>"),
        Answer(401, b'{"code":20003}'),
    ],
)
def test_a_list_that_proves_nothing_leaves_it_open(given: Answer) -> None:
    assert read_settle(REQUEST, given) == UNCLEAR


def test_typing_is_shown_and_nothing_else_can_be() -> None:
    signal = SignalRequest(effect_id="e", channel="c", provider_message_id="SM1", typing=True)
    call = plan_signal(signal, CHANNEL)
    assert isinstance(call, Call)
    assert (call.method, call.service, call.path) == ("POST", MESSAGING, "/v2/Indicators/Typing.json")
    assert call.body == b"channel=whatsapp&messageId=SM1"
    assert plan_signal(signal.model_copy(update={"typing": False}), CHANNEL) is None


def test_of_a_template_only_its_absence_can_be_known() -> None:
    template = REQUEST.model_copy(update={"text": None})
    assert read_settle(template, answer(listed("SM1"), listed("SM0", -3600))) == ABSENT
    assert read_settle(template, answer(listed("SM2"))) == UNCLEAR

"""Each provider's shapes, one a row of its fixtures: a callback, a send or an answer, and what it must become."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

import pytest
from pydantic import BaseModel

from providers.provider import Answer, Call
from providers.registry import PROVIDERS
from providers.rows import Callback
from schemas.effects import SendResult
from schemas.settings.channel import ChannelSettings, parse_channel
from tests.unit.providers.twilio.test_callbacks import BASE, SID
from tests.unit.providers.twilio.test_callbacks import CHANNEL as TWILIO
from tests.unit.providers.whatsapp_cloud.test_callbacks import CHANNEL as CLOUD
from tests.unit.providers.whatsapp_cloud.test_callbacks import body as cloud_body
from tests.unit.providers.whatsapp_cloud.test_callbacks import change
from tests.unit.providers.whatsapp_cloud.test_sending import request

Row = dict[str, Any]

FIXTURES: Final = Path(__file__).parents[2] / "fixtures"
WEBHOOK: Final = "https://desk.example/webhooks/twilio/TOK"
ENGAGELAB: Final = parse_channel({"id": "c", "phone_number": "+34600000001", "dev_key": "k", "dev_secret": "s"})
CHANNELS: Final[dict[str, ChannelSettings]] = {channel.provider: channel for channel in (ENGAGELAB, CLOUD, TWILIO)}
OF_BOTH: Final = {"AccountSid": SID, "NumSegments": "1", "ApiVersion": "2010-04-01", "SomethingNew": "x"}
OF_A_MESSAGE: Final = {**OF_BOTH, **BASE, "ExternalUserId": "whatsapp:ES.77", "SmsStatus": "received"}
OF_A_STATUS: Final = {
    **OF_BOTH,
    "MessageSid": "SM9",
    "From": BASE["To"],
    "To": BASE["From"],
    "ChannelToAddress": "+34X",
}
"""What Twilio sends in each, beside what the row says (None: not this)."""
OF_THE_ACCOUNT: Final = ("account_update", "phone_number_quality_update", "message_template_status_update")


def fixtures(name: str) -> list[tuple[ChannelSettings, Row]]:
    """The rows of that file, of each provider that has one, with a channel of its own."""
    files = sorted(FIXTURES.glob(f"*/{name}.jsonl"))
    return [(CHANNELS[file.parent.name], json.loads(line)) for file in files for line in file.read_text().splitlines()]


def rows(name: str) -> list[Any]:
    return [pytest.param(channel, row, id=f"{channel.provider} {row['shape']}") for channel, row in fixtures(name)]


def cloud_callback(row: Row) -> Callback:
    if row["field"] in OF_THE_ACCOUNT:
        return Callback(cloud_body({"field": row["field"], "value": row["value"]}))
    return Callback(cloud_body(change(row["value"], field=row["field"])))


def twilio_callback(row: Row) -> Callback:
    is_status = "MessageStatus" in row["form"]
    fields = {**(OF_A_STATUS if is_status else OF_A_MESSAGE), **row["form"]}
    form = urlencode({name: value for name, value in fields.items() if value is not None}).encode()
    return Callback(form, "id=out-1&conversation=c%3A34655000001" if is_status else "")


CALLBACKS: Final[dict[str, Callable[[Row], Callback]]] = {
    "whatsapp_cloud": cloud_callback,
    "twilio": twilio_callback,
}
"""EngageLab's have a file each, and tests of their own."""


def plain(value: object) -> object:
    """What a row holds, as JSON has it: without what is not said, where a model says so."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_defaults=True)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return value


def holds(actual: object, expected: object) -> bool:
    """Whether everything that is expected is there."""
    if isinstance(expected, dict):
        return isinstance(actual, dict) and all(holds(actual.get(key), part) for key, part in expected.items())
    return actual == expected


@pytest.mark.parametrize(("channel", "row"), rows("callbacks"))
def test_a_callback_becomes(channel: ChannelSettings, row: Row) -> None:
    found = PROVIDERS[channel.provider].parse(CALLBACKS[channel.provider](row), channel).rows
    assert [type(one).__name__ for one in found] == [one.pop("is") for one in row["becomes"]]
    for one, expected in zip(found, row["becomes"], strict=True):
        actual = plain(one)
        assert holds(actual, expected), actual


@pytest.mark.parametrize(("channel", "row"), rows("sends"))
def test_a_message_is_sent_as(channel: ChannelSettings, row: Row) -> None:
    call = PROVIDERS[channel.provider].plan_send(request(**row["request"]), channel, WEBHOOK)
    assert isinstance(call, Call), call
    body = (call.body or b"").decode()
    assert (dict(parse_qsl(body)) if channel.provider == "twilio" else json.loads(body)) == row["body"]


@pytest.mark.parametrize(("channel", "row"), rows("answers"))
def test_an_answer_means(channel: ChannelSettings, row: Row) -> None:
    result = PROVIDERS[channel.provider].read_send(Answer(row["status"], json.dumps(row["body"]).encode()))
    assert isinstance(result, SendResult)
    assert holds(plain(result), row["means"]), result

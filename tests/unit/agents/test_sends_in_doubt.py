"""Sends whose answer is lost, at a provider that can be asked what it took."""

from datetime import timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qsl

import orjson
import pytest

from providers.provider import Answer, Call
from schemas.events.conversation import ConversationMessageSent
from schemas.events.inbox import MessageReceived
from streams.effects.http import NoAnswer
from tests.support.sends import NOON, Desk, Json


class TwilioDesk(Desk):
    """A channel at Twilio. lost: answers to sends that get lost; those messages are taken all the same if taking."""

    def __init__(self, **settings: Any) -> None:
        account = {"account_sid": "AC" + "0" * 32, "auth_token": "t", "human_agents": ["mia"]}
        super().__init__(**{"id": "line", "provider": "twilio", "phone_number": "+12025550100", **account, **settings})
        self.lost, self.taking = 0, True
        self.taken: list[Json] = []

    async def call(self, call: Call) -> Answer:
        if call.method == "GET":
            to = call.params["To"]
            return Answer(200, orjson.dumps({"messages": [one for one in self.taken if one["to"] == to]}))
        form = dict(parse_qsl((call.body or b"").decode()))
        message = {"sid": f"SM{len(self.taken)}", "to": form["To"], "body": form["Body"], "date_created": self.stamp}
        if not self.lost or self.taking:
            self.taken.append(message)
        if self.lost:
            self.lost -= 1
            raise NoAnswer("lost")
        return Answer(201, orjson.dumps({"sid": message["sid"]}))

    @property
    def stamp(self) -> str:
        return format_datetime(NOON + timedelta(seconds=self.now))


@pytest.mark.parametrize("taking", [True, False])
def test_a_send_whose_answer_is_lost_is_settled_by_the_provider_s_list_and_reaches_the_customer_once(
    taking: bool,
) -> None:
    desk = TwilioDesk(greeting={"enabled": True, "text": "Welcome"})
    desk.lost, desk.taking = 1, taking
    desk.ask(MessageReceived(message_id="a", text="hi"))
    desk.reply("r1")
    desk.at(70)
    assert [one["body"] for one in desk.taken] == ["Welcome", "Hello"]
    sent = [(event.kind, event.repeat) for event in desk.events(ConversationMessageSent)]
    assert sent == [("greeting", False), ("reply", False)]


def test_two_equal_texts_are_two_messages_even_if_one_of_them_is_in_doubt() -> None:
    desk = TwilioDesk()
    desk.ask(MessageReceived(message_id="a", text="hi"))
    desk.reply("r1")
    desk.lost, desk.taking = 1, False
    desk.reply("r2")
    desk.at(70)
    assert [one["body"] for one in desk.taken] == ["Hello", "Hello"]
    assert [event.message_id for event in desk.events(ConversationMessageSent)] == ["r1", "r2"]

from datetime import UTC, datetime

import pytest

from agents.hours import HOURS
from schemas.channel import ChannelSettings
from schemas.conversation import (
    ConversationCommandRefused,
    ConversationEvent,
    ConversationGated,
    ConversationMessageReceived,
    ConversationRouted,
    Header,
    Status,
)
from schemas.topics import GATED
from tests.unit.stage_bench import Emitted, StageBench

KEY = "kiosk:4915112345678"
AT = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
HEADER = Header(
    conversation_id="c1",
    channel="kiosk",
    contact="4915112345678",
    opened_at=AT,
    revision=1,
    status=Status.OPEN,
    last_customer_at=AT,
)


def bench() -> StageBench:
    return StageBench(HOURS, ChannelSettings(id="kiosk", phone_number="+4930901820"))


@pytest.mark.parametrize(
    "event",
    [
        ConversationRouted(header=HEADER, first=True, explanation={"decision": "nobody"}),
        ConversationMessageReceived(header=HEADER, message_id="m1", at=AT, kind="text", text="Moin"),
    ],
)
def test_every_event_of_a_conversation_gets_its_verdict(event: ConversationEvent) -> None:
    gated = ConversationGated(event_type=event.type, data=event.model_dump(mode="json"), open=True)
    assert bench().feed(event, at=AT, key=KEY) == [Emitted(GATED, KEY, gated)]
    assert type(event).model_validate(gated.data) == event


def test_events_keep_their_place() -> None:
    stage = bench()
    events = [ConversationMessageReceived(header=HEADER, message_id=f"m{n}", at=AT, kind="text") for n in range(5)]
    gated = [stage.feed(event, at=AT, key=KEY)[0].event for event in events]
    assert [event.data["message_id"] for event in gated if isinstance(event, ConversationGated)] == [
        "m0",
        "m1",
        "m2",
        "m3",
        "m4",
    ]


def test_a_refused_command_is_no_event_of_a_conversation() -> None:
    refused = ConversationCommandRefused(command_id="o1", command="command.reply", code="blocked", reason="…")
    assert bench().feed(refused, at=AT, key=KEY) == []

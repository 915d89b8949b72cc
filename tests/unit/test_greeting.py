from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest

from agents.greeting import GREETING
from agents.hours import HOURS
from agents.templates import render
from schemas.channel import ChannelSettings, Greeting
from schemas.conversation import (
    ConversationEvent,
    ConversationMessageReceived,
    ConversationOpened,
    ConversationRouted,
    Header,
    Status,
)
from schemas.messaging import SendGreeting
from schemas.topics import OUTBOUND
from tests.unit.stage_bench import Emitted, StageBench

KEY = "kiosk:4915112345678"
AT = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


def channel(text: str = "Moin {contact.name}", *, enabled: bool = True) -> ChannelSettings:
    greeting = Greeting(enabled=enabled, text=text)
    return ChannelSettings(id="kiosk", name="Kiosk Nord", phone_number="+4930901820", greeting=greeting)


def header(
    *,
    name: str | None = "Jo",
    status: Status = Status.OPEN,
    opened_by: Literal["customer", "agent"] = "customer",
    messages_out: int = 0,
) -> Header:
    return Header(
        conversation_id="c1",
        channel="kiosk",
        contact="4915112345678",
        contact_name=name,
        opened_at=AT,
        opened_by=opened_by,
        revision=1,
        status=status,
        routed=True,
        messages_in=1,
        messages_out=messages_out,
        last_customer_at=AT - timedelta(minutes=1),
    )


def greet(event: ConversationEvent, settings: ChannelSettings) -> list[Emitted]:
    """Through hours, as it comes."""
    [gated] = StageBench(HOURS, settings).feed(event, at=AT, key=KEY)
    return StageBench(GREETING, settings).feed(gated.event, at=AT, key=KEY)


def test_the_first_routing_of_a_customer_s_conversation_is_greeted() -> None:
    [emitted] = greet(ConversationRouted(header=header(), first=True), channel())
    assert (emitted.topic, emitted.key) == (OUTBOUND, KEY)
    assert isinstance(emitted.event, SendGreeting)
    assert emitted.event == SendGreeting(
        message_id=emitted.event.message_id,
        conversation_id="c1",
        kind="greeting",
        text="Moin Jo",
        not_after=AT + timedelta(hours=24) - timedelta(minutes=1),
    )


def test_the_same_routing_gives_the_same_message_id() -> None:
    routed = ConversationRouted(header=header(), first=True)
    [once], [again] = greet(routed, channel()), greet(routed, channel())
    assert once == again


@pytest.mark.parametrize(
    ("event", "settings"),
    [
        (ConversationRouted(header=header(), first=False), channel()),
        (ConversationRouted(header=header(opened_by="agent"), first=True), channel()),
        (ConversationRouted(header=header(messages_out=1), first=True), channel()),
        (ConversationRouted(header=header(status=Status.AI_REPLYING), first=True), channel()),
        (ConversationRouted(header=header(), first=True), channel(enabled=False)),
        (ConversationRouted(header=header(), first=True), channel("")),
        (ConversationRouted(header=header(), first=True), channel(" \n ")),
        (ConversationRouted(header=header(name=None), first=True), channel("{contact.name}")),
        (ConversationOpened(header=header()), channel()),
        (ConversationMessageReceived(header=header(), message_id="m1", at=AT, kind="text"), channel()),
    ],
    ids=[
        "a later routing",
        "an agent began",
        "an agent was faster",
        "the AI agent holds it",
        "switched off",
        "empty text",
        "blank text",
        "blank once rendered",
        "an opening",
        "a message",
    ],
)
def test_there_is_no_greeting_for(event: ConversationEvent, settings: ChannelSettings) -> None:
    assert greet(event, settings) == []


def test_nothing_is_remembered() -> None:
    bench = StageBench(GREETING, channel())
    [gated] = StageBench(HOURS, channel()).feed(ConversationRouted(header=header(), first=True), at=AT, key=KEY)
    bench.feed(gated.event, at=AT, key=KEY)
    assert len(bench.state) == 0


@pytest.mark.parametrize(
    ("text", "name", "rendered"),
    [
        ("Moin {contact.name}, hier {channel.name}", "Jo", "Moin Jo, hier Kiosk Nord"),
        ("{contact.phone}", "Jo", "4915112345678"),
        ("Moin {contact.name}", "{channel.name}", "Moin {channel.name}"),
        ("{contact.email} {contact.name} {}", "Jo", "{contact.email} Jo {}"),
        ("{{contact.name}}", "Jo", "{Jo}"),
        ("Moin {contact.name}, na", None, "Moin, na"),
        ("Moin {contact.name} na", None, "Moin na"),
        ("Moin {contact.name}{contact.name} na", None, "Moin na"),
        ("Moin {contact.name} {contact.name} na", None, "Moin na"),
        ("{contact.name} na", None, "na"),
        ("Moin\n{contact.name}\nna", None, "Moin\n\nna"),
        ("Moin {contact.name}", "  ", "Moin"),
        ("Moin  {contact.name}", " Jo ", "Moin  Jo"),
        (" a  b ", None, "a  b"),
        ("{contact.name}" * 100, "x" * 250, "x" * 4096),
    ],
)
def test_a_text_is_rendered(text: str, name: str | None, rendered: str) -> None:
    assert render(text, header(name=name), channel()) == rendered

"""Who is greeted, when, and with what."""

from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest

from agents.greeting import GREETING
from agents.templates import render
from schemas.events.conversation import (
    ConversationEvent,
    ConversationGated,
    ConversationMessageReceived,
    ConversationOpened,
    ConversationRouted,
    Header,
    Status,
)
from schemas.events.sending import SendGreeting
from schemas.settings.business_hours import BusinessHours
from schemas.settings.channel import ChannelSettings, Greeting
from schemas.topics import OUTBOUND
from tests.support.stage import Emitted, StageBench

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
    messages_automatic: int = 0,
    blocked: bool = False,
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
        messages_automatic=messages_automatic,
        blocked=blocked,
        last_customer_at=AT - timedelta(minutes=1),
    )


def greet(event: ConversationEvent, settings: ChannelSettings) -> list[Emitted]:
    """As it comes from hours, while open."""
    return greet_with_verdict(event, settings, open=True)


def greet_with_verdict(event: ConversationEvent, settings: ChannelSettings, *, open: bool) -> list[Emitted]:
    gated = ConversationGated(event_type=event.type, data=event.model_dump(mode="json"), open=open)
    return StageBench(GREETING, settings).feed(gated, at=AT, key=KEY)


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
        (ConversationRouted(header=header(messages_automatic=1), first=True), channel()),
        (ConversationRouted(header=header(blocked=True), first=True), channel()),
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
        "the automat wrote before",
        "a blocked contact",
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


@pytest.mark.parametrize(
    ("unavailable", "open", "greetings"),
    [
        ("Closed", True, 1),
        ("Closed", False, 0),
        ("", False, 1),
        (" \n", False, 1),
        ("{contact.name}", False, 0),
    ],
)
def test_while_closed_the_unavailable_message_goes_instead(unavailable: str, open: bool, greetings: int) -> None:
    settings = channel().model_copy(update={"business_hours": BusinessHours(unavailable_message=unavailable)})
    assert len(greet_with_verdict(ConversationRouted(header=header(), first=True), settings, open=open)) == greetings


def test_the_greeting_goes_where_the_unavailable_message_is_blank_for_this_customer() -> None:
    hours = BusinessHours(unavailable_message="{contact.name}")
    settings = channel().model_copy(update={"business_hours": hours})
    assert len(greet_with_verdict(ConversationRouted(header=header(name=None), first=True), settings, open=False)) == 1


def test_greeting_keeps_no_rows() -> None:
    bench = StageBench(GREETING, channel())
    routed = ConversationRouted(header=header(), first=True)
    bench.feed(
        ConversationGated(event_type=routed.type, data=routed.model_dump(mode="json"), open=True), at=AT, key=KEY
    )
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

"""What holds for every callback of WhatsApp Cloud and Twilio, however it is damaged."""

import copy
import json
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.registry import PROVIDERS
from providers.rows import BadRow, Callback, CallbackRow, InboundMessage, InboundNotice, Notification, Receipt
from providers.whatsapp_cloud.callbacks import parse_callback
from schemas.contact import contact_id
from schemas.settings.channel import ChannelSettings
from tests.unit.providers.test_contract import CALLBACKS, fixtures, plain
from tests.unit.providers.whatsapp_cloud.test_callbacks import CHANNEL, body, change

Json = Any

LAW = settings(max_examples=200, deadline=None)
ROWS = fixtures("callbacks")
CLOUD = [row for channel, row in ROWS if channel.provider == "whatsapp_cloud"]
ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=6)
    | st.sampled_from(["34655000001", "ES.77", "text", "sent", "\ud800", "x" * 300, [], {}]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "type", "body"]), inner),
    max_leaves=6,
)


def parse(channel: ChannelSettings, row: Json) -> tuple[CallbackRow, ...]:
    return PROVIDERS[channel.provider].parse(CALLBACKS[channel.provider](row), channel).rows


def places(value: Json, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something stands in it, at any depth."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [*([at] if at else []), *(place for key, part in inner for place in places(part, (*at, key)))]


@st.composite
def damaged(draw: st.DrawFn, value: Json) -> Json:
    """The value in which one thing, at any depth, is missing or something else."""
    value = copy.deepcopy(value)
    *parents, last = draw(st.sampled_from(places(value)))
    target = value
    for parent in parents:
        target = target[parent]
    if draw(st.booleans()):
        del target[last]
    else:
        target[last] = draw(ODD)
    return value


@st.composite
def damaged_rows(draw: st.DrawFn) -> tuple[ChannelSettings, Json]:
    channel, row = draw(st.sampled_from(ROWS))
    part = "value" if "value" in row else "form"
    other = draw(damaged(row[part]))
    if part == "form":
        # A form holds texts alone.
        other = {name: text if isinstance(text, str) else json.dumps(text) for name, text in other.items()}
        other = {name: text.encode(errors="replace").decode() for name, text in other.items()}
    return channel, row | {part: other}


@LAW
@given(damaged_rows())
def test_every_result_keeps_its_promises(case: tuple[ChannelSettings, Json]) -> None:
    for result in parse(*case):
        match result:
            case InboundMessage() | InboundNotice() as inbound:
                assert contact_id(inbound.contact) == inbound.contact
                assert 0 < len(inbound.message_id) <= 256
            case Receipt() as receipt:
                assert 0 < len(receipt.provider_message_id) <= 256
                assert receipt.status
                assert receipt.contact is None or contact_id(receipt.contact) == receipt.contact
            case Notification() as news:
                assert news.event
            case BadRow() as refused:
                assert refused.reason
                assert refused.row


@LAW
@given(damaged_rows())
def test_every_result_can_be_written_as_json(case: tuple[ChannelSettings, Json]) -> None:
    for result in parse(*case):
        if not isinstance(result, BadRow):
            orjson.dumps(plain(result), default=plain)


@LAW
@given(st.sampled_from(CLOUD).flatmap(lambda row: damaged(row["value"])))
def test_a_damaged_value_costs_its_neighbours_nothing(bad: Json) -> None:
    good = change(CLOUD[0]["value"])
    first, *_, last = parse_callback(Callback(body(good, change(bad), good)), CHANNEL).rows
    assert parse_callback(Callback(body(good)), CHANNEL).rows == (first,) == (last,)

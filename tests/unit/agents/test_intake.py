"""Intake: each row of a callback on its topic; what can't be used is a dead letter."""

import json
from datetime import UTC, datetime

import orjson
import pytest

from agents.intake import INTAKE, MAX_RECORD_BYTES
from deploy.kafka.topics import MAX_MESSAGE_BYTES
from schemas.events.callbacks import NotificationReceived, WebhookReceived
from schemas.events.content import Content, Reaction
from schemas.events.inbox import MessageReceived, NoticeReceived
from schemas.events.operations import DeadLettered
from schemas.events.receipts import ReceiptReceived
from schemas.settings.channel import ChannelSettings
from schemas.topics import DEAD_LETTERS, INBOX, NOTIFICATIONS, RECEIPTS
from tests.support.sandbox import Played
from tests.support.stage import Emitted, StageBench

T = 1_773_144_000
AT = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
OWN = "4930901820"
CUSTOMER = "4915112345678"
KEY = f"kiosk:{CUSTOMER}"

Json = dict[str, object]


def feed(*rows: object, provider: str = "engagelab", body: bytes | None = None) -> list[Emitted]:
    bench = StageBench(INTAKE, ChannelSettings(id="kiosk", phone_number="+" + OWN))
    if body is None:
        body = json.dumps({"total": len(rows), "rows": rows}).encode()
    return bench.feed(WebhookReceived(provider=provider, body=body), at=AT, key="kiosk")


def inbound(message: Json, event: str = "received", **data: object) -> Json:
    content = {
        "channel_message_id": "wamid.A1",
        "contact": {"profile": {"name": "Jo"}, "wa_id": CUSTOMER},
        "message": message,
        **data,
    }
    return {
        "server": "whatsapp",
        "itime": T,
        "message_id": "778",
        "from": CUSTOMER,
        "to": OWN,
        "response": {"event": event, "response_data": content},
    }


def text(body: str) -> Json:
    return {"type": "text", "text": {"body": body}}


def status(to: str | None = CUSTOMER, args: Json | None = None) -> Json:
    row: Json = {
        "server": "whatsapp",
        "itime": T,
        "message_id": "901",
        "from": OWN,
        "status": {"message_status": "sent_failed", "error_code": 470, "error_detail": {"message": "late"}},
    }
    return row | ({"to": to} if to else {}) | ({"custom_args": args} if args else {})


def test_a_message_goes_to_its_conversation_in_inbox() -> None:
    context = {"origin_message_id": "12", "origin_channel_message_id": "wamid.Z9"}
    [emitted] = feed(inbound(text("Moin"), event="reply", message_context=context))
    received = MessageReceived(
        message_id="wamid.A1",
        provider_message_id="778",
        event="reply",
        name="Jo",
        kind="text",
        text="Moin",
        sent_at=AT,
        quotes="wamid.Z9",
        quotes_provider_message_id="12",
        content=Content(quotes="wamid.Z9"),
    )
    assert emitted == Emitted(INBOX, KEY, received)


def test_a_message_without_an_id_of_metas_goes_by_the_providers() -> None:
    [emitted] = feed(inbound(text("Moin"), channel_message_id=None))
    assert isinstance(emitted.event, MessageReceived)
    assert emitted.event.message_id == emitted.event.provider_message_id == "778"


def test_a_file_keeps_what_it_needs_to_be_fetched() -> None:
    image: Json = {
        "type": "image",
        "image": {"link": "https://files.example/1", "mime_type": "image/png", "caption": "so"},
    }
    [emitted] = feed(inbound(image))
    assert isinstance(emitted.event, MessageReceived)
    assert emitted.event.media is not None
    assert (emitted.event.kind, emitted.event.text) == ("image", "so")
    assert (emitted.event.media.link, emitted.event.media.mime_type) == ("https://files.example/1", "image/png")


def test_a_reaction_is_a_notice() -> None:
    reaction: Json = {"type": "reaction", "reaction": {"message_id": "wamid.Z9", "emoji": "👍"}}
    [emitted] = feed(inbound(reaction))
    content = Content(reaction=Reaction(emoji="👍"))
    notice = NoticeReceived(kind="reaction", message_id="wamid.A1", refers_to="wamid.Z9", sent_at=AT, content=content)
    assert emitted == Emitted(INBOX, KEY, notice)


@pytest.mark.parametrize(
    ("to", "args", "key", "message_id"),
    [
        (CUSTOMER, None, KEY, None),
        (CUSTOMER, {"id": "o5"}, KEY, "o5"),
        ("+49 151 99999999", {"id": "o5", "conversation": KEY}, KEY, "o5"),
        (None, {"id": "o5", "conversation": KEY}, KEY, "o5"),
        (CUSTOMER, {"id": "o5", "conversation": "other:4915100000000"}, KEY, None),
        (CUSTOMER, {"id": "o5", "conversation": "kiosk:somebody"}, KEY, None),
    ],
    ids=["nothing of ours", "our id", "our key before `to`", "our key alone", "another channel's key", "no key"],
)
def test_a_receipt_goes_to_its_message_s_conversation(
    to: str | None, args: Json | None, key: str, message_id: str | None
) -> None:
    receipt = ReceiptReceived(
        provider_message_id="901",
        message_id=message_id,
        status="sent_failed",
        at=AT,
        error_code=470,
        error_message="late",
    )
    assert feed(status(to, args)) == [Emitted(RECEIPTS, key, receipt)]


def test_a_receipt_that_nobody_can_be_found_for_is_a_dead_letter() -> None:
    [emitted] = feed(status(None, {"conversation": "kiosk:somebody"}))
    assert isinstance(emitted.event, DeadLettered)
    assert (emitted.event.reason, emitted.event.detail) == ("missing_contact", "to")


def test_a_receipt_that_names_nobody_at_all_is_news_of_the_number_and_no_failure() -> None:
    channel = Played.at("whatsapp_cloud").channel
    metadata = {"phone_number_id": channel.phone_number_id}
    value = {"metadata": metadata, "statuses": [{"id": "wamid.O3", "status": "read", "timestamp": str(T)}]}
    entry = {"id": channel.business_account_id, "changes": [{"field": "messages", "value": value}]}
    body = orjson.dumps({"object": "whatsapp_business_account", "entry": [entry]})
    callback = WebhookReceived(provider="whatsapp_cloud", body=body)
    news = NotificationReceived(event="unmatched_receipt", data={"message_id": "wamid.O3", "status": "read"}, at=AT)
    emitted = StageBench(INTAKE, channel).feed(callback, at=AT, key=channel.id)
    assert emitted == [Emitted(NOTIFICATIONS, channel.id, news)]


def test_a_notification_is_the_channel_s() -> None:
    row = {"itime": T, "notification": {"event": "low_balance", "notification_data": {"left": 3}}}
    notification = NotificationReceived(event="low_balance", data={"left": 3}, at=AT)
    assert feed(row) == [Emitted(NOTIFICATIONS, "kiosk", notification)]


def test_a_bad_row_is_a_dead_letter_and_its_neighbours_go_on() -> None:
    stray: Json = {"server": "whatsapp", "surprise": {}}
    emitted = feed(inbound(text("one")), stray, status())
    letter = DeadLettered(
        reason="unknown_row_kind",
        detail="row",
        stage="intake",
        topic="webhooks",
        body=json.dumps(stray, separators=(",", ":")),
        headers={"provider": "engagelab"},
    )
    assert [entry.topic for entry in emitted] == [INBOX, DEAD_LETTERS, RECEIPTS]
    assert emitted[1] == Emitted(DEAD_LETTERS, "kiosk", letter)


def test_a_body_that_is_no_text_is_kept_in_base64() -> None:
    [emitted] = feed(body=b"\xff\x00")
    assert isinstance(emitted.event, DeadLettered)
    assert (emitted.event.reason, emitted.event.body, emitted.event.encoding) == ("invalid_json", "/wA=", "base64")


def test_another_provider_s_callback_is_a_dead_letter() -> None:
    [emitted] = feed(provider="pigeon", body=b"Body=hi")
    assert isinstance(emitted.event, DeadLettered)
    assert (emitted.key, emitted.event.reason, emitted.event.body) == ("kiosk", "unknown_provider", "Body=hi")


def test_an_absent_time_stays_absent() -> None:
    row = inbound(text("Moin"))
    del row["itime"]
    [emitted] = feed(row)
    assert isinstance(emitted.event, MessageReceived)
    assert emitted.event.sent_at is None


HUGE = 3 * 2**20 - 1_000


def padded(row: bytes, times: int) -> bytes:
    return b'{"rows":[' + b",".join([row] * times) + b'],"pad":"' + b"x" * (HUGE - times * (len(row) + 1)) + b'"}'


TOO_DEEP = b'{"response":' + b'{"a":' * 300 + b"1" + b"}" * 300 + b"}"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(padded(TOO_DEEP, 400), id="rows too deep to be written one by one"),
        pytest.param(padded(json.dumps(status(to=None, args={"conversation": "other:"})).encode(), 900), id="nobody's"),
        pytest.param(b'{"rows":[{"x":"' + b"\x01" * HUGE + b'"}]}', id="control characters in a bad row"),
        pytest.param(
            b'{"rows":[{"notification":{"event":"x","notification_data":{"x":"' + b"\x01" * 2**20 + b'"}}}]}',
            id="control characters in a notification",
        ),
        pytest.param(
            json.dumps({"rows": [inbound(text("@"))]}).encode().replace(b"@", b"\x01" * HUGE),
            id="control characters in a text",
        ),
        pytest.param(
            json.dumps({"rows": [inbound(text("@"))]}).encode().replace(b"@", b"\xff" * HUGE),
            id="bytes that are no text",
        ),
    ],
)
def test_a_callback_becomes_no_more_than_one_transaction_holds(body: bytes) -> None:
    assert len(body) < 3 * 2**20
    emitted = feed(body=body)
    (letter,) = emitted
    assert isinstance(letter.event, DeadLettered)
    assert len(letter.event.model_dump_json().encode()) <= MAX_RECORD_BYTES < MAX_MESSAGE_BYTES - 100_000


def test_a_callback_of_three_mebibytes_with_a_thousand_updates_is_taken() -> None:
    good = inbound(text("x" * 2_680))
    # What can't be used grows most, as it is kept whole.
    bad = {**good, "server": "sms"}
    body = json.dumps({"rows": [bad] * 900 + [good] * 100}).encode()
    emitted = feed(body=body)
    assert [entry.topic for entry in emitted] == [DEAD_LETTERS] * 900 + [INBOX] * 100
    assert len(body) < 3 * 2**20 < sum(len(one.event.model_dump_json()) for one in emitted)


def test_intake_keeps_no_state() -> None:
    bench = StageBench(INTAKE, ChannelSettings(id="kiosk", phone_number="+" + OWN))
    bench.feed(WebhookReceived(provider="engagelab", body=b"{}"), at=AT, key="kiosk")
    assert len(bench.state) == 0
    assert not INTAKE.parks

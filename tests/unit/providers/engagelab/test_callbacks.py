"""EngageLab's callbacks: what each row becomes."""

import json
from pathlib import Path

import orjson
import pytest

from providers.engagelab.callbacks import parse_callback
from providers.rows import (
    BadRow,
    BadRowReason,
    CallbackRow,
    InboundMessage,
    InboundNotice,
    Media,
    Notification,
    Quote,
    Receipt,
)
from schemas.events.content import Content, Reaction
from schemas.settings.phone import InvalidPhoneNumber

STATUSES = [
    "plan",
    "target_valid",
    "target_invalid",
    "sent",
    "sent_failed",
    "delivered",
    "delivered_failed",
    "delivered_timeout",
    "read",
]
"""Every `message_status` that the documentation names."""
FIXTURES = Path(__file__).parents[3] / "fixtures" / "engagelab"
NUMBER = "+34 910 000 777"
CONTACT = "34611222333"
T = 1780300800
QUOTE = Quote("d7k2mno4t6q9abcdefg0", "wamid.out-7001")

Json = dict[str, object]


def parse(body: bytes) -> tuple[CallbackRow, ...]:
    return parse_callback(body, phone_number=NUMBER).rows


def parse_row(row: object) -> CallbackRow:
    (result,) = parse(json.dumps({"rows": [row]}).encode())
    return result


def fixture_row(name: str) -> Json:
    row: Json = orjson.loads((FIXTURES / f"{name}.json").read_bytes())["rows"][0]
    return row


def changed(name: str, path: str, value: object) -> Json:
    """The fixture's row with the value at a dotted path replaced."""
    row = fixture_row(name)
    *parents, last = path.split(".")
    target = row
    for parent in parents:
        inner = target[parent]
        assert isinstance(inner, dict)
        target = inner
    target[last] = value
    return row


def message(name: str, path: str = "itime", value: object = T) -> InboundMessage:
    result = parse_row(changed(name, path, value))
    assert isinstance(result, InboundMessage)
    return result


def receipt(name: str, path: str = "itime", value: object = T) -> Receipt:
    result = parse_row(changed(name, path, value))
    assert isinstance(result, Receipt)
    return result


def bad(name: str, path: str, value: object) -> tuple[BadRowReason, str]:
    row = changed(name, path, value)
    result = parse_row(row)
    assert isinstance(result, BadRow)
    assert orjson.loads(result.row) == row
    return result.reason, result.detail


# --- what each kind of row becomes ----------------------------------------------------------------


def test_a_received_text_is_read_whole() -> None:
    assert parse_row(fixture_row("received_text")) == InboundMessage(
        event="received",
        message_id="wamid.in-9001",
        provider_message_id="19001",
        contact=CONTACT,
        name="Lucía Prado",
        type="text",
        text="¿Abrís hoy? 😀",
        media=None,
        sent_at=T,
        quotes=None,
    )


@pytest.mark.parametrize(
    ("name", "event", "type_", "text", "quotes"),
    [
        ("received_image", "received", "image", "la avería", None),
        ("received_document", "received", "document", None, None),
        ("received_location", "received", "location", None, None),
        ("received_unknown", "received", "unknown", None, None),
        ("reply_text", "reply", "text", "5", QUOTE),
        ("reply_button", "reply", "button", "Sí, gracias", QUOTE),
        ("reply_interactive", "reply", "interactive", "Facturación", QUOTE),
        ("order", "order", "order", None, None),
    ],
)
def test_every_type_of_message_is_one(
    name: str, event: str, type_: str, text: str | None, quotes: Quote | None
) -> None:
    got = message(name)
    assert (got.event, got.type, got.text, got.quotes) == (event, type_, text, quotes)


def test_a_file_keeps_its_link_id_type_and_name() -> None:
    assert message("received_image").media == Media("https://files.example/55501.jpg", "55501", "image/jpeg", None)
    assert message("received_document").media == Media(
        "https://files.example/55502.pdf", None, "application/pdf", "factura.pdf"
    )


def test_the_choice_from_a_set_of_buttons_is_its_title() -> None:
    choice = {"type": "button_reply", "button_reply": {"id": "b1", "title": "Ventas"}}
    assert message("reply_interactive", "response.response_data.message.interactive", choice).text == "Ventas"


@pytest.mark.parametrize("type_", ["poll", "unsupported", "x" * 256])
def test_a_message_of_a_type_nobody_knows_is_kept_as_a_placeholder(type_: str) -> None:
    got = message("received_text", "response.response_data.message", {"type": type_, type_: {"a": 1}})
    assert (got.type, got.text, got.media) == (type_, None, None)


@pytest.mark.parametrize("content", [None, {}, {"type": ""}])
def test_a_message_without_content_is_kept_as_a_placeholder(content: object) -> None:
    assert message("received_text", "response.response_data.message", content).type == "unknown"
    assert message("order", "response.response_data.message", content).type == "order"


def test_a_reaction_is_a_notice_about_the_message_it_is_on() -> None:
    assert parse_row(fixture_row("received_reaction")) == InboundNotice(
        "reaction", CONTACT, "wamid.in-9006", "wamid.out-7001", T + 5, Content(reaction=Reaction(emoji="👍"))
    )


def test_a_deletion_is_a_notice_about_the_deleted_message() -> None:
    assert parse_row(fixture_row("deleted")) == InboundNotice(
        "deleted", CONTACT, "wamid.in-9001", "wamid.in-9001", T + 10
    )


def test_an_event_nobody_knows_is_a_notice() -> None:
    got = parse_row(changed("reply_text", "response.event", "edited"))
    assert got == InboundNotice("edited", CONTACT, "wamid.in-9007", "wamid.out-7001", T + 6)


def test_a_receipt_is_read_whole() -> None:
    assert parse_row(fixture_row("status_sent_failed")) == Receipt(
        provider_message_id="d7k2mno4t6q9abcdefg0",
        status="sent_failed",
        at=T + 1,
        contact=CONTACT,
        ref_id="5b0c7a52-11aa-5f3e-8a44-0c9d1e2f3a4b",
        ref_key="wa-support:34611222333",
        error_code=131047,
        error_message="More than 24 hours have passed",
        channel_message_id="wamid.out-7001",
        loss_step=2,
        loss_source="meta",
    )


def test_a_receipt_without_trouble_has_no_error_and_no_loss() -> None:
    got = receipt("status_delivered")
    assert (got.status, got.error_code, got.error_message, got.loss_step, got.loss_source) == (
        "delivered",
        0,
        None,
        None,
        None,
    )


def test_a_code_that_comes_as_text_is_read() -> None:
    got = receipt("status_delivered_failed")
    assert (got.error_code, got.loss_step) == (131026, 3)


def test_custom_args_of_others_are_ignored() -> None:
    got = receipt("status_delivered_timeout")
    assert (got.ref_id, got.ref_key, got.contact) == (None, None, CONTACT)


def test_a_receipt_without_a_number_takes_its_contact_from_our_own_reference() -> None:
    assert receipt("status_without_numbers").contact == CONTACT
    unlike = receipt("status_without_numbers", "custom_args.conversation", "wa-support:someone")
    assert (unlike.contact, unlike.ref_key) == (None, "wa-support:someone")


@pytest.mark.parametrize("status", [*STATUSES, "played"])
def test_every_status_is_kept_known_or_not(status: str) -> None:
    assert receipt("status_delivered", "status.message_status", status).status == status


def test_a_notification_keeps_its_data() -> None:
    assert parse_row(fixture_row("notification_template_update")) == Notification(
        "template_update", {"template_name": "csat_es", "language": "es", "status": "APPROVED"}, T + 12
    )
    assert parse_row({"notification": {"event": "phone_number_update"}}) == Notification(
        "phone_number_update", {}, None
    )


def test_a_batch_gives_one_result_per_row_in_order() -> None:
    rows = parse((FIXTURES / "batch_mixed.json").read_bytes())
    assert [type(row) for row in rows] == [InboundMessage, Receipt, BadRow, Notification]
    assert parse(b'{"total": 9, "rows": []}') == ()


# --- leniency -------------------------------------------------------------------------------------


def test_the_identity_is_metas_id_or_else_engagelabs() -> None:
    for missing in (None, "", "0", 0):
        assert message("received_text", "response.response_data.channel_message_id", missing).message_id == "19001"
    assert message("received_text", "message_id", "").provider_message_id is None


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("response.response_data.contact.wa_id", "+34 611-222-333"),
        ("response.response_data.contact.wa_id", "0034611222333"),
        ("response.response_data.contact.wa_id", 34611222333),
        ("response.response_data.contact.wa_id", ""),
        ("response.response_data.contact", None),
        ("from", ""),
        ("to", ""),
        ("to", " "),
        ("to", "0034910000777"),
        ("to", 34910000777),
        ("server", None),
        ("server", "WhatsApp"),
        ("status", None),
    ],
)
def test_the_contact_is_found_however_the_numbers_are_written(path: str, value: object) -> None:
    assert message("received_text", path, value).contact == CONTACT


def test_an_id_may_be_a_number() -> None:
    assert receipt("status_delivered", "message_id", 1666165485030094861).provider_message_id == "1666165485030094861"


@pytest.mark.parametrize(
    ("itime", "sent_at"),
    [
        (T, T),
        (str(T), T),
        (T + 0.9, T),
        (978_307_200, 978_307_200),
        (4_133_980_799, 4_133_980_799),
        (978_307_199, None),
        (4_133_980_800, None),
        (T * 1000, None),
        (-T, None),
        (0, None),
        (True, None),
        (None, None),
        ("", None),
        ("now", None),
        ("nan", None),
        ("1e400", None),
        ("9" * 5000, None),
        ([T], None),
    ],
)
def test_a_time_is_unix_seconds_of_this_century_or_none(itime: object, sent_at: int | None) -> None:
    assert message("received_text", "itime", itime).sent_at == sent_at


def test_fields_that_are_not_needed_may_have_any_type() -> None:
    for path in ("contact.profile", "message_context", "whatsapp_business_account_id"):
        assert message("received_text", f"response.response_data.{path}", [1]).text == "¿Abrís hoy? 😀"
    for path in ("custom_args", "status.status_data", "status.error_code", "status.error_detail", "status.loss"):
        assert receipt("status_delivered", path, [1]).status == "delivered"
    assert message("received_image", "response.response_data.message.image", "x").media is None


def test_long_texts_beside_the_message_are_cut_and_long_references_left_out() -> None:
    assert message("received_text", "response.response_data.contact.profile.name", "n" * 999).name == "n" * 256
    assert receipt("status_delivered", "custom_args.id", "i" * 257).ref_id is None
    assert receipt("status_sent_failed", "status.error_detail.message", "e" * 9999).error_message == "e" * 1024


# --- broken rows ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "path", "value", "reason", "detail"),
    [
        ("received_text", "server", "otp", "wrong_server", "server"),
        ("received_text", "server", 7, "wrong_server", "server"),
        ("received_text", "response", None, "unknown_row_kind", "row"),
        ("received_text", "response", [], "wrong_type", "response"),
        ("received_text", "status", {}, "ambiguous_row_kind", "status+response"),
        ("received_text", "to", "34910000778", "foreign_number", "to"),
        ("received_text", "to", "support", "foreign_number", "to"),
        ("received_text", "to", [], "wrong_type", "to"),
        ("received_text", "response.event", None, "missing_event", "event"),
        ("received_text", "response.event", {}, "wrong_type", "event"),
        ("received_text", "response.response_data", "x", "wrong_type", "response_data"),
        ("received_text", "response.response_data.message", [], "wrong_type", "message"),
        ("received_text", "response.response_data.message.type", {}, "wrong_type", "type"),
        ("received_text", "response.response_data.message.type", "t" * 257, "wrong_type", "type"),
        ("received_text", "response.response_data.message.text.body", {}, "wrong_type", "body"),
        ("received_text", "response.response_data.channel_message_id", {}, "wrong_type", "channel_message_id"),
        ("received_text", "response.response_data.channel_message_id", 1.5, "wrong_type", "channel_message_id"),
        ("received_text", "response.response_data.channel_message_id", "w" * 257, "wrong_type", "channel_message_id"),
        ("status_delivered", "from", "34910000778", "foreign_number", "from"),
        ("status_delivered", "message_id", None, "missing_message_id", "message_id"),
        ("status_delivered", "message_id", " ", "missing_message_id", "message_id"),
        ("status_delivered", "message_id", "m" * 257, "wrong_type", "message_id"),
        ("status_delivered", "status.message_status", None, "missing_status", "message_status"),
        ("status_delivered", "status.message_status", True, "wrong_type", "message_status"),
        ("status_delivered_timeout", "to", "", "missing_contact", "to"),
        ("status_delivered_timeout", "to", "someone", "wrong_type", "to"),
        ("status_without_numbers", "custom_args", {"id": "m-1"}, "missing_contact", "to"),
        ("notification_template_update", "notification.event", "", "missing_event", "event"),
        ("notification_template_update", "notification.notification_data", [], "wrong_type", "notification_data"),
    ],
)
def test_a_row_that_cannot_be_used_says_why(name: str, path: str, value: object, reason: str, detail: str) -> None:
    assert bad(name, path, value) == (reason, detail)


def test_a_message_from_nobody_is_refused() -> None:
    row = changed("received_text", "from", "")
    assert isinstance(row["response"], dict)
    customer = row["response"]["response_data"]["contact"]
    for wa_id, reason in (
        ("", "missing_contact"),
        (None, "missing_contact"),
        ("somebody", "wrong_type"),
        ([], "wrong_type"),
    ):
        customer["wa_id"] = wa_id
        result = parse_row(row)
        assert isinstance(result, BadRow)
        assert (result.reason, result.detail) == (reason, "wa_id")


def test_a_message_without_any_id_is_refused() -> None:
    row = changed("received_text", "message_id", "0")
    assert isinstance(row["response"], dict)
    row["response"]["response_data"]["channel_message_id"] = ""
    result = parse_row(row)
    assert isinstance(result, BadRow)
    assert result.reason == "missing_message_id"


@pytest.mark.parametrize("row", [None, 7, "x", [], True])
def test_a_row_that_is_no_object_is_kept_as_it_is(row: object) -> None:
    assert parse_row(row) == BadRow(BadRowReason.ROW_NOT_AN_OBJECT, "row", orjson.dumps(row))


# --- broken bodies --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "invalid_json"),
        (b"\xff\xfe{\x00}\x00", "invalid_json"),
        (b'{"rows": [', "invalid_json"),
        (b"[" * 200_000, "invalid_json"),
        (b'{"rows":' * 50_000 + b"1" + b"}" * 50_000, "invalid_json"),
        (b"[]", "not_an_object"),
        (b"null", "not_an_object"),
        (b"NaN", "not_an_object"),
        (b"{}", "rows_missing"),
        (b'{"rows": null}', "rows_missing"),
        (b'{"echostr": "81726"}', "rows_missing"),
        (b'{"rows": {}}', "wrong_type"),
    ],
)
def test_a_body_without_rows_gives_one_bad_row_that_holds_it(body: bytes, reason: str) -> None:
    (result,) = parse(body)
    assert isinstance(result, BadRow)
    assert (result.reason, result.row) == (reason, body)


def test_a_row_that_looks_like_a_body_is_none() -> None:
    (result,) = parse(json.dumps(fixture_row("received_text")).encode())
    assert isinstance(result, BadRow)
    assert result.reason == "rows_missing"


def with_text(escaped: bytes) -> bytes:
    """A callback of two messages, the first one's text replaced by raw bytes."""
    rows = [changed("received_text", "response.response_data.message.text.body", "@"), fixture_row("reply_text")]
    return json.dumps({"rows": rows}).encode().replace(b'"@"', b'"' + escaped + b'"')


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (rb"a \ud83d", "a \ufffd"),
        (rb"\ude00 b", "\ufffd b"),
        (rb"\ud83d\ud83d\ude00", "\ufffd😀"),
        (rb"\ud83d\ude00", "😀"),
        (rb"\\ud83d", "\\ud83d"),
        (rb"\\\ud83d", "\\\ufffd"),
        (rb"\ud83d\n", "\ufffd\n"),
        (b"a\xf0\x9f\x98", "a\ufffd"),
        (b"a\x00b\tc", "a\x00b\tc"),
        (rb"a\u0000b", "a\x00b"),
    ],
)
def test_a_broken_character_costs_neither_its_message_nor_its_neighbour(raw: bytes, text: str) -> None:
    first, second = parse(with_text(raw))
    assert isinstance(first, InboundMessage)
    assert first.text == text
    assert second == parse_row(fixture_row("reply_text"))


def test_a_byte_order_mark_is_skipped() -> None:
    body = (FIXTURES / "received_text.json").read_bytes()
    assert parse(b"\xef\xbb\xbf" + body) == parse(body)


@pytest.mark.parametrize("number", [b"NaN", b"-Infinity", b"1e999", b"9" * 5000, b"-" + b"9" * 30])
def test_a_number_that_is_none_harms_nothing(number: bytes) -> None:
    body = (FIXTURES / "received_text.json").read_bytes().replace(b'"itime": %d' % T, b'"itime": ' + number)
    (result,) = parse(body)
    assert isinstance(result, InboundMessage)
    assert result.sent_at is None


def test_of_duplicate_keys_the_last_one_counts() -> None:
    first, _ = parse(with_text(b'old", "body": "new'))
    assert isinstance(first, InboundMessage)
    assert first.text == "new"
    assert parse(b'{"rows": [1, 2], "rows": []}') == ()


@pytest.mark.parametrize("depth", [100, 600, 1000])
def test_nesting_that_nobody_could_write_again_is_refused(depth: int) -> None:
    deep = b'{"a":' * depth + b"1" + b"}" * depth
    body = b'{"rows":[{"notification":{"event":"e","notification_data":%s}},{"notification":{"event":"f"}}]}' % deep
    first, second = parse(body)
    assert isinstance(first, BadRow)
    assert first.reason == "too_deep"
    assert deep in first.row
    assert second == Notification("f", {}, None)


@pytest.mark.parametrize("field", ["server", "from", "to", "itime", "message_id", "custom_args", "response", "status"])
@pytest.mark.parametrize("name", ["received_text", "status_delivered"])
def test_a_field_nested_deeply_raises_nothing(name: str, field: str) -> None:
    body = json.dumps({"rows": [changed(name, field, "@"), fixture_row("reply_text")]}).encode()
    for depth in (300, 980):
        _, second = parse(body.replace(b'"@"', b"[" * depth + b"]" * depth))
        assert second == parse_row(fixture_row("reply_text"))


def test_a_number_keeps_its_digits_beside_a_broken_character() -> None:
    body = (FIXTURES / "status_delivered.json").read_bytes().replace(b'"d7k2mno4t6q9abcdefg0"', b"18446744073709551615")
    (result,) = parse(body.replace(b"Europe/Madrid", rb"\ud800"))
    assert isinstance(result, Receipt)
    assert result.provider_message_id == "18446744073709551615"


def test_the_channels_own_number_must_be_one() -> None:
    with pytest.raises(InvalidPhoneNumber):
        parse_callback(b"", phone_number="support")


def test_a_callback_with_too_many_rows_is_one_bad_row_whole() -> None:
    body = b'{"rows":[' + b",".join([b"1"] * 1_001) + b"]}"
    (row,) = parse_callback(body, NUMBER).rows
    assert isinstance(row, BadRow)
    assert (row.reason, row.row) == ("too_many_rows", body)
    assert len(parse_callback(body.replace(b"1,1,", b"1,", 1), NUMBER).rows) == 1_000

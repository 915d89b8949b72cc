"""Callback bodies have the published shapes."""

from __future__ import annotations

from datetime import UTC, datetime

import orjson
import pytest
from pydantic import JsonValue

from simulation.sandbox.engagelab.callbacks import (
    Business,
    Quote,
    callback_body,
    content,
    deleted_row,
    message_row,
    notification_row,
    reply_row,
    signature_header,
    status_row,
)
from simulation.sandbox.happenings import Customer

AT = datetime(2026, 6, 1, 10, 0, 0, 700_000, tzinfo=UTC)
SECONDS = 1780308000
BUSINESS = Business("+34600700001", "waba-7")
CUSTOMER = Customer("+34 611 222 333", "Berta")


def test_a_text_message() -> None:
    row = message_row(BUSINESS, CUSTOMER, "wamid.A", AT, content(text="hola"))
    message_id = row.pop("message_id")
    assert isinstance(message_id, str)
    assert message_id.isdigit()
    assert row == {
        "from": "+34611222333",
        "to": "+34600700001",
        "server": "whatsapp",
        "channel": "whatsapp",
        "itime": SECONDS,
        "response": {
            "event": "received",
            "response_data": {
                "channel_message_id": "wamid.A",
                "whatsapp_business_account_id": "waba-7",
                "contact": {"wa_id": "34611222333", "profile": {"name": "Berta"}},
                "message": {"type": "text", "text": {"body": "hola"}},
            },
        },
    }


def test_a_reply_says_what_it_quotes() -> None:
    quote = Quote("el1", "wamid.B", BUSINESS.phone_number)
    row = reply_row(BUSINESS, CUSTOMER, "wamid.A", AT, content(text="4"), quote)
    response = row["response"]
    assert isinstance(response, dict)
    assert response["event"] == "reply"
    data = response["response_data"]
    assert isinstance(data, dict)
    assert data["message_context"] == {
        "origin_message_id": "el1",
        "origin_channel_message_id": "wamid.B",
        "origin_from_phone": "34600700001",
        "origin_from_phone_id": BUSINESS.phone_number_id,
    }


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            content("image", "mira", link="https://x/1.jpg"),
            {"type": "image", "image": {"link": "https://x/1.jpg", "caption": "mira", "mime_type": "image/jpeg"}},
        ),
        (
            content("document", link="https://x/a.pdf", filename="a.pdf"),
            {
                "type": "document",
                "document": {"link": "https://x/a.pdf", "filename": "a.pdf", "mime_type": "application/pdf"},
            },
        ),
        (content("button", "Sí"), {"type": "button", "button": {"payload": "Sí", "text": "Sí"}}),
        (
            content("interactive", "Sí", target="b1"),
            {
                "type": "interactive",
                "interactive": {"type": "button_reply", "button_reply": {"id": "b1", "title": "Sí"}},
            },
        ),
        (
            content("reaction", "👍", target="wamid.B"),
            {"type": "reaction", "reaction": {"message_id": "wamid.B", "emoji": "👍"}},
        ),
        (content("text"), {"type": "text", "text": {"body": None}}),
        (content("unknown"), {"type": "unknown"}),
    ],
)
def test_contents(given: dict[str, JsonValue], expected: dict[str, JsonValue]) -> None:
    assert given == expected


def test_a_deleted_notice_has_no_message() -> None:
    response = deleted_row(BUSINESS, CUSTOMER, "wamid.A", AT)["response"]
    assert isinstance(response, dict)
    assert response["event"] == "deleted"
    data = response["response_data"]
    assert isinstance(data, dict)
    assert (data["channel_message_id"], "message" in data) == ("wamid.A", False)


def test_a_receipt_echoes_custom_args_and_goes_the_other_way() -> None:
    args: dict[str, JsonValue] = {"id": "o1", "conversation": "wa1:34611222333"}
    row = status_row(BUSINESS, CUSTOMER, "el1", "delivered", AT, channel_message_id="wamid.B", custom_args=args)
    assert (row["from"], row["to"], row["message_id"]) == ("+34600700001", "+34611222333", "el1")
    assert (row["itime"], row["custom_args"]) == (SECONDS, args)
    assert row["status"] == {
        "message_status": "delivered",
        "error_code": 0,
        "status_data": {
            "msg_time": SECONDS,
            "whatsapp_business_account_id": "waba-7",
            "from_phone_id": BUSINESS.phone_number_id,
            "channel_message_id": "wamid.B",
        },
    }


def test_a_failure_carries_its_reason_and_where_it_was_lost() -> None:
    row = status_row(BUSINESS, CUSTOMER, "el1", "sent_failed", AT, error_code=131047, error_message="too late")
    status = row["status"]
    assert isinstance(status, dict)
    assert (status["error_code"], status["error_detail"]) == (131047, {"message": "too late"})
    assert status["loss"] == {"loss_step": 2, "loss_source": "meta"}
    assert "custom_args" not in row


def test_metas_id_is_unknown_before_the_message_is_sent() -> None:
    for status in ("plan", "target_valid", "target_invalid"):
        row = status_row(BUSINESS, CUSTOMER, "el1", status, AT, channel_message_id="wamid.B")
        assert b"wamid" not in callback_body([row])


def test_a_notification_is_nobodys_message() -> None:
    row = notification_row("insufficient_balance", {"remain_balance": 2.5}, AT)
    assert set(row) == {"server", "channel", "itime", "notification"}


def test_a_body_counts_its_rows() -> None:
    rows = [notification_row("template_update", {}, AT)] * 3
    assert orjson.loads(callback_body(rows)) == {"total": 3, "rows": rows}


def test_the_signature_of_the_sibling_products() -> None:
    header = signature_header("shh", "u", 1700000000, "n1")
    assert header == (
        "timestamp=1700000000;nonce=n1;username=u;"
        "signature=5f8f88bf23880d5771a5a1d247161f2e5136e554b3ae5ea70606f65b956f969f"
    )

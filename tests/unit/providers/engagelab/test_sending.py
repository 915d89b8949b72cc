"""EngageLab's send requests, and what its answers mean."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.engagelab import ENGAGELAB
from providers.engagelab.sending import (
    MAX_TEXT,
    Accepted,
    Envelope,
    MediaKind,
    Refused,
    Unreadable,
    classify,
    read_send_response,
    read_templates,
    read_templates_response,
    render_media,
    render_template,
    render_text,
)
from providers.provider import Answer, ListedTemplate, TemplatePage
from schemas.effects import SendResult
from schemas.events.template import Template

ENVELOPE = Envelope(sender="0034 910 000 777", to="+34611222333", message_id="m-1", conversation="wa1:34611222333")
ADDRESS = {
    "from": "+34910000777",
    "to": ["34611222333"],
    "request_id": "m-1",
    "custom_args": {"id": "m-1", "conversation": "wa1:34611222333"},
}


def test_a_text_carries_both_numbers_normalised_and_our_ids() -> None:
    assert render_text(ENVELOPE, "hola") == {**ADDRESS, "body": {"type": "text", "text": {"body": "hola"}}}


def test_a_link_preview_is_asked_for_only_when_wanted() -> None:
    body = render_text(ENVELOPE, "https://example.com", preview_url=True)["body"]
    assert body == {"type": "text", "text": {"body": "https://example.com", "preview_url": True}}


def test_a_text_may_have_4096_characters_of_any_kind_and_no_more() -> None:
    render_text(ENVELOPE, "😀" * MAX_TEXT)
    with pytest.raises(ValueError, match=r"^text: more than 4096"):
        render_text(ENVELOPE, "x" * (MAX_TEXT + 1))


@pytest.mark.parametrize("text", ["", " \n"])
def test_a_blank_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^text: empty"):
        render_text(ENVELOPE, text)


def test_a_number_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="not digits"):
        render_text(Envelope("+34910000777", "someone", "m-1", "wa1:x"), "hola")


@pytest.mark.parametrize("field", ["message_id", "conversation"])
def test_an_envelope_without_our_ids_is_refused(field: str) -> None:
    ids = {"message_id": "m-1", "conversation": "wa1:34611222333", field: ""}
    with pytest.raises(ValueError, match=f"^{field}: empty"):
        render_text(Envelope("+34910000777", "+34611222333", **ids), "hola")


def test_a_template_names_its_language_as_plain_text_and_fills_the_body_in_order() -> None:
    assert render_template(ENVELOPE, Template(name="csat_es", language="es", parameters=("Lucía", "A-7")))["body"] == {
        "type": "template",
        "template": {
            "name": "csat_es",
            "language": "es",
            "components": [
                {"type": "body", "parameters": [{"type": "text", "text": "Lucía"}, {"type": "text", "text": "A-7"}]}
            ],
        },
    }


def test_a_template_without_parameters_has_no_components() -> None:
    body = render_template(ENVELOPE, Template(name="hello", language="en"))["body"]
    assert body == {"type": "template", "template": {"name": "hello", "language": "en", "components": []}}


@pytest.mark.parametrize(
    ("name", "language", "parameter", "field"),
    [("", "en", "a", "name"), ("hello", " ", "a", "language"), ("hello", "en", "", r"parameters\[0\]")],
)
def test_a_template_with_a_blank_part_is_refused(name: str, language: str, parameter: str, field: str) -> None:
    with pytest.raises(ValueError, match=f"^{field}: empty"):
        render_template(ENVELOPE, Template(name=name, language=language, parameters=(parameter,)))


@pytest.mark.parametrize("kind", ["image", "video", "audio", "document", "sticker"])
def test_every_kind_of_file_is_sent_by_its_link(kind: MediaKind) -> None:
    body = render_media(ENVELOPE, kind, "https://files.example/1")["body"]
    assert body == {"type": kind, kind: {"link": "https://files.example/1"}}


def test_a_document_may_have_a_caption_and_a_filename() -> None:
    body = render_media(ENVELOPE, "document", "https://files.example/1", caption="Factura", filename="f.pdf")["body"]
    assert body == {
        "type": "document",
        "document": {"link": "https://files.example/1", "caption": "Factura", "filename": "f.pdf"},
    }


@pytest.mark.parametrize("kind", ["audio", "sticker"])
def test_a_caption_is_refused_where_the_kind_has_none(kind: MediaKind) -> None:
    with pytest.raises(ValueError, match=r"^caption"):
        render_media(ENVELOPE, kind, "https://files.example/1", caption="x")


def test_a_filename_is_for_documents_only() -> None:
    with pytest.raises(ValueError, match=r"^filename"):
        render_media(ENVELOPE, "image", "https://files.example/1", filename="f.jpg")


@pytest.mark.parametrize("link", ["", "ftp://files.example/1", "files.example/1"])
def test_a_link_that_is_no_web_address_is_refused(link: str) -> None:
    with pytest.raises(ValueError, match=r"^link"):
        render_media(ENVELOPE, "image", link)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, {"message_id": "d7k2", "request_id": "m-1"}, Accepted("d7k2", "m-1")),
        (200, {"message_id": "d7k2"}, Accepted("d7k2", None)),
        (200, {"message_id": 7001, "code": 0}, Accepted("7001", None)),
        (200, {"code": 3003, "message": "window"}, Refused(3003, "window", 200)),
        (400, {"code": 3002, "message": "to"}, Refused(3002, "to", 400)),
        (400, {"code": "3002"}, Refused(3002, "", 400)),
        (400, {"code": True, "message": ["x"]}, Refused(0, "", 400)),
        (502, [], Refused(0, "", 502)),
        (200, {"message_id": ""}, Unreadable(200)),
        (200, {"message_id": "x" * 257}, Unreadable(200)),
        (200, {"code": 0, "message": "success"}, Unreadable(200)),
        (200, [], Unreadable(200)),
    ],
)
def test_an_answer_to_a_send_is_read_by_its_code(
    status: int, body: object, expected: Accepted | Refused | Unreadable
) -> None:
    assert read_send_response(status, json.dumps(body).encode()) == expected


def test_a_success_that_is_no_json_is_unreadable_and_a_failure_is_a_refusal() -> None:
    assert read_send_response(200, b"<html>") == Unreadable(200)
    assert read_send_response(502, b"<html>") == Refused(0, "", 502)


@pytest.mark.parametrize(
    ("code", "http_status", "verdict"),
    [
        (1000, 500, "retry"),
        (1000, 400, "retry"),
        (0, 500, "retry"),
        (0, 504, "retry"),
        (9999, 503, "retry"),
        (0, 408, "retry"),
        (0, 429, "retry"),
        (3003, 429, "retry"),
        (2001, 401, "credentials"),
        (2002, 401, "credentials"),
        (2004, 403, "credentials"),
        (2001, 500, "credentials"),
        (0, 401, "credentials"),
        (0, 403, "credentials"),
        (2003, 400, "final"),
        (3001, 400, "final"),
        (3002, 400, "final"),
        (3002, 500, "final"),
        (3003, 400, "final"),
        (4001, 400, "final"),
        (5002, 400, "final"),
        (9999, 400, "final"),
        (9999, 401, "final"),
        (0, 404, "final"),
        (0, 302, "final"),
    ],
)
def test_a_refusal_s_code_says_what_to_do(code: int, http_status: int, verdict: str) -> None:
    assert classify(Refused(code, "", http_status)) == verdict


def test_templates_are_read_and_entries_without_a_name_left_out() -> None:
    body = [
        {
            "id": "71",
            "name": "csat_es",
            "language": "es",
            "status": "APPROVED",
            "category": "UTILITY",
            "components": [],
        },
        {"id": "72", "name": "hello", "language": "en"},
        {"id": "73", "language": "en"},
        "hello",
    ]
    assert read_templates_response(200, json.dumps(body).encode()) == (
        ListedTemplate("csat_es", "es", "APPROVED", "UTILITY"),
        ListedTemplate("hello", "en", "", ""),
    )


def test_an_account_without_templates_is_no_error() -> None:
    assert read_templates_response(200, b"[]") == ()


def test_a_template_list_that_is_refused_or_no_list_says_so() -> None:
    refused = read_templates_response(401, b'{"code":2001,"message":"token"}')
    assert refused == Refused(2001, "token", 401)
    assert classify(refused) == "credentials"
    assert read_templates_response(200, b'{"code":2001,"message":"token"}') == Refused(2001, "token", 200)
    assert read_templates_response(200, b"{}") == Unreadable(200)


def test_a_list_that_can_not_be_read_pauses_a_channel_only_for_credentials_that_are_those_of_its_sends() -> None:
    assert read_templates(Answer(200, b"[]")) == TemplatePage(())
    for status, body, answer in (
        (401, b'{"code":2001}', "credentials"),
        (500, b'{"code":1000}', "template_unavailable"),
        (200, b"<html>", "template_unavailable"),
    ):
        refused = read_templates(Answer(status, body))
        assert isinstance(refused, SendResult)
        assert refused.answer == answer


@pytest.mark.parametrize(
    ("code", "meaning"),
    [(1000, "retry"), (2002, "credentials"), (4001, "template"), (3003, "request"), (131047, "window_closed")],
)
def test_a_receipt_s_code_is_ours_or_meta_s(code: int, meaning: str) -> None:
    assert ENGAGELAB.classify(code) == meaning


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["code", "message", "message_id", "request_id", "name", "language"]), inner)
    ),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(st.integers(200, 599), st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_no_answer_raises(status: int, body: bytes) -> None:
    sent = read_send_response(status, body)
    listed = read_templates_response(status, body)
    for answer in (sent, listed):
        if isinstance(answer, Refused):
            assert classify(answer) in ("retry", "credentials", "final")
    if status >= 300:
        assert isinstance(sent, Refused)
        assert isinstance(listed, Refused)

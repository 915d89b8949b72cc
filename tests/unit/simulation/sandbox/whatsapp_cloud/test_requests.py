"""Which sends the Cloud stand-in takes, and what it says to the others."""

from datetime import timedelta

import orjson
import pytest
from pydantic import JsonValue

from schemas.settings.credentials import Credentials
from simulation.sandbox.accounts import Behaviour, Template
from simulation.sandbox.calls import CallbackRequest, Reply
from simulation.sandbox.whatsapp_cloud.callbacks import sign
from tests.support.sandbox import CONTACT, NOW, Played, json_of

Body = dict[str, JsonValue]

BUTTON: Body = {"type": "reply", "reply": {"id": "b1", "title": "Great"}}
ROW: Body = {"id": "r1", "title": "Bills"}
CARD: Body = {"name": {"formatted_name": "Bo"}, "phones": [{"phone": "+34600"}]}
TEMPLATE: Body = {"name": "hello", "language": {"code": "es"}, "components": []}


@pytest.fixture
def cloud() -> Played:
    templates = (
        Template(name="hello", language="es"),
        Template(name="old", language="es", status="PAUSED"),
        Template(name="login", language="es", category="AUTHENTICATION"),
    )
    played = Played.at("whatsapp_cloud", templates=templates)
    played.providers.state.files.put(b"bytes", "image/jpeg")
    return played


def post(cloud: Played, type_: str, content: JsonValue, **more: JsonValue) -> Reply:
    body: Body = {"messaging_product": "whatsapp", "to": f"+{CONTACT}", "type": type_, type_: content}
    return post_raw(cloud, orjson.dumps(body | more))


def post_raw(cloud: Played, body: bytes) -> Reply:
    return cloud.ask("POST", f"/v25.0/{cloud.channel.phone_number_id}/messages", body=body)


def interactive(kind: str, action: JsonValue, text: str = "How was it?") -> Body:
    return {"type": kind, "body": {"text": text}, "action": action}


FILE = "900000000000001"


@pytest.mark.parametrize(
    ("type_", "content"),
    [
        ("text", {"body": "Hello", "preview_url": False}),
        ("image", {"id": FILE, "caption": "Here"}),
        ("image", {"link": "https://media.example/1.jpg"}),
        ("video", {"id": FILE, "caption": "How to"}),
        ("document", {"id": FILE, "filename": "bill.pdf", "caption": "Bill"}),
        ("audio", {"id": FILE, "voice": True}),
        ("sticker", {"id": FILE}),
        ("location", {"latitude": "52.52", "longitude": "13.405", "name": "Shop"}),
        ("contacts", [CARD]),
        ("reaction", {"message_id": "wamid.A", "emoji": "👍"}),
        ("reaction", {"message_id": "wamid.A", "emoji": ""}),
        ("template", TEMPLATE),
        ("interactive", interactive("button", {"buttons": [BUTTON]})),
        ("interactive", interactive("list", {"button": "Rate", "sections": [{"title": "All", "rows": [ROW]}]})),
        ("interactive", interactive("request_contact_info", {"name": "request_contact_info"})),
    ],
)
def test_a_message_of_each_type_is_taken(cloud: Played, type_: str, content: JsonValue) -> None:
    reply = post(cloud, type_, content, context={"message_id": "wamid.A"})
    assert reply.status == 200, reply.body
    assert (cloud.providers.log[0].type, cloud.providers.log[0].outcome) == (type_, "accepted")


@pytest.mark.parametrize(
    ("type_", "content", "code"),
    [
        ("text", {"body": " "}, 131008),
        ("text", {"body": "x" * 4_097}, 131009),
        ("text", None, 131008),
        ("poll", {}, 131051),
        ("image", {}, 131008),
        ("image", {"id": FILE, "link": "https://x"}, 131008),
        ("image", {"id": "1"}, 100),
        ("image", {"link": "ftp://x"}, 131009),
        ("image", {"id": FILE, "caption": "x" * 1_025}, 131009),
        ("audio", {"id": FILE, "caption": "no"}, 131009),
        ("image", {"id": FILE, "filename": "x.jpg"}, 131009),
        ("location", {"latitude": "north", "longitude": "1"}, 131008),
        ("location", {"latitude": "91", "longitude": "1"}, 131009),
        ("contacts", [], 131008),
        ("contacts", [{"phones": []}], 131009),
        ("reaction", {"emoji": "👍"}, 131008),
        ("template", {"name": "hello", "language": "es"}, 131008),
        ("template", TEMPLATE | {"components": [{"type": "footer"}]}, 132000),
        ("template", TEMPLATE | {"language": {"code": "en"}}, 132001),
        ("template", TEMPLATE | {"name": "old"}, 132015),
        ("interactive", interactive("button", {"buttons": []}), 131009),
        ("interactive", interactive("button", {"buttons": [BUTTON] * 4}), 131009),
        ("interactive", interactive("button", {"buttons": [BUTTON] * 2}), 131009),
        ("interactive", interactive("button", {"buttons": [BUTTON]}, "x" * 1_025), 131009),
        ("interactive", interactive("list", {"button": "Rate", "sections": []}), 131009),
        (
            "interactive",
            interactive("list", {"button": "Rate", "sections": [{"rows": [ROW | {"title": "x" * 25}]}]}),
            131009,
        ),
        ("interactive", interactive("dance", {}), 131009),
        ("interactive", {"type": "button"}, 131008),
    ],
)
def test_what_meta_would_not_take_has_its_code(cloud: Played, type_: str, content: JsonValue, code: int) -> None:
    reply = post(cloud, type_, content)
    assert cloud.code(reply) == code
    assert cloud.providers.log[0].code == code


@pytest.mark.parametrize("body", [b"{", b"[]", b"{}", b'{"messaging_product": "sms"}'])
def test_what_is_no_message_is_100(cloud: Played, body: bytes) -> None:
    assert cloud.code(post_raw(cloud, body)) == 100


def test_of_a_number_and_a_user_id_the_number_wins(cloud: Played) -> None:
    reply = post(cloud, "text", {"body": "x"}, recipient="ES.1")
    assert json_of(reply)["contacts"] == [{"input": f"+{CONTACT}", "wa_id": CONTACT}]
    assert json_of(post(cloud, "text", {"body": "x"}, to=None, recipient="ES.1"))["contacts"] == [
        {"input": "ES.1", "user_id": "ES.1"}
    ]
    assert cloud.code(post(cloud, "text", {"body": "x"}, to=None)) == 131008
    assert cloud.code(post(cloud, "template", TEMPLATE | {"name": "login"}, to=None, recipient="ES.1")) == 131062


def test_another_number_s_path_is_refused(cloud: Played) -> None:
    reply = cloud.ask("POST", "/v25.0/1/messages", body=b'{"messaging_product": "whatsapp"}')
    assert cloud.code(reply) == 33


def test_a_message_is_marked_as_read_and_somebody_types(cloud: Played) -> None:
    mark: Body = {"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.A"}
    assert json_of(post_raw(cloud, orjson.dumps(mark))) == {"success": True}
    assert post_raw(cloud, orjson.dumps(mark | {"typing_indicator": {"type": "text"}})).status == 200
    assert cloud.code(post_raw(cloud, orjson.dumps(mark | {"message_id": ""}))) == 131009
    assert [(one.message_id, one.typing) for one in cloud.providers.state.marks] == [
        ("wamid.A", False),
        ("wamid.A", True),
    ]
    assert [entry.code for entry in cloud.providers.log] == [131009]


def test_a_recipient_has_a_burst_on_credit_and_then_one_in_six_seconds(cloud: Played) -> None:
    cloud.providers.set_behaviour(Behaviour(pair_seconds=6, pair_burst=3))
    results = [cloud.send(f"o{number}") for number in range(4)]
    assert [result and result.code for result in results] == [0, 0, 0, 131056]
    other = cloud.send("o9", to="34699000111")
    assert other is not None
    assert other.answer == "accepted"
    cloud.now = NOW + timedelta(seconds=6)
    assert [result and result.code for result in (cloud.send("o5"), cloud.send("o6"))] == [0, 131056]


def test_a_number_has_so_many_messages_a_second(cloud: Played) -> None:
    cloud.providers.set_behaviour(Behaviour(per_second=2))
    results = [cloud.send(f"o{number}", to=f"3460000000{number}") for number in range(3)]
    assert [result and result.code for result in results] == [0, 0, 130429]


def test_the_signature_is_meta_s() -> None:
    # Computed elsewhere, with openssl.
    credentials = Credentials.model_validate({"provider": "whatsapp_cloud", "app_secret": "0123456789abcdef"})
    signed = sign(credentials, "", CallbackRequest(b'{"object":"F\\u00fc\\u00dfe"}'), NOW)
    assert signed == {"X-Hub-Signature-256": "sha256=" + SIGNATURE}


SIGNATURE = "3fa56121d4c2abdf733471639fdc77b3070ffa1c4b5a0b74e93b6922310d00e0"

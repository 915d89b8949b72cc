"""Which sends the Twilio stand-in takes, and what it says to the others."""

from urllib.parse import urlencode

import pytest

from schemas.settings.credentials import Credentials
from simulation.sandbox.accounts import Behaviour, Template
from simulation.sandbox.calls import CallbackRequest, Reply
from simulation.sandbox.twilio.callbacks import FORM, sign
from simulation.sandbox.twilio.requests import content_sid
from tests.support.sandbox import CONTACT, HOOK, NOW, NUMBER, Played, json_of

TEXT = {"From": f"whatsapp:{NUMBER}", "To": f"whatsapp:+{CONTACT}", "Body": "Hello"}
HELLO = content_sid("hello", "es")


TEMPLATES = (Template(name="hello", language="es"), Template(name="no", language="es", status="REJECTED"))


@pytest.fixture
def twilio() -> Played:
    return Played.at("twilio", templates=TEMPLATES)


def post(twilio: Played, form: dict[str, str | list[str]]) -> Reply:
    path = f"/2010-04-01/Accounts/{twilio.channel.account_sid}/Messages.json"
    return twilio.ask("POST", path, body=urlencode(form, doseq=True).encode())


def changed(**fields: str | list[str] | None) -> dict[str, str | list[str]]:
    return {name: value for name, value in (TEXT | fields).items() if value is not None}


@pytest.mark.parametrize(
    ("form", "type_"),
    [
        (changed(), "text"),
        (changed(To="whatsapp:ES.9000000000000001"), "text"),
        (changed(MediaUrl="https://media.example/1.jpg"), "media"),
        (changed(Body=None, MediaUrl="https://media.example/1.jpg"), "media"),
        (changed(Body=None, ContentSid=HELLO, ContentVariables='{"1":"Ada"}'), "template"),
    ],
)
def test_a_message_of_each_kind_is_taken(twilio: Played, form: dict[str, str | list[str]], type_: str) -> None:
    reply = post(twilio, form)
    assert (reply.status, json_of(reply)["status"]) == (201, "queued")
    assert twilio.providers.log[0].type == type_


@pytest.mark.parametrize(
    ("form", "code"),
    [
        (changed(From=None), 21603),
        (changed(From="whatsapp:+34600700009"), 63007),
        (changed(To=None), 21211),
        (changed(To=f"+{CONTACT}"), 21211),
        (changed(To="whatsapp:34611"), 21211),
        (changed(To="whatsapp:nobody"), 21211),
        (changed(Body=" "), 21602),
        (changed(Body="x" * 1_601), 21617),
        (changed(MediaUrl="media.example"), 21620),
        (changed(MediaUrl=["https://a.example", "https://b.example"]), 21623),
        (changed(ContentSid=HELLO), 21620),
        (changed(Body=None, ContentSid="HX1"), 21655),
        (changed(Body=None, ContentSid=content_sid("hello", "en")), 21655),
        (changed(Body=None, ContentSid=content_sid("no", "es")), 63040),
        (changed(Body=None, ContentSid=HELLO, ContentVariables='{"1":5}'), 21656),
        (changed(Body=None, ContentSid=HELLO, ContentVariables="?"), 21656),
        (changed(MessagingServiceSid="MG" + "0" * 32), 21701),
    ],
)
def test_what_twilio_would_not_take_has_its_code(twilio: Played, form: dict[str, str | list[str]], code: int) -> None:
    reply = post(twilio, form)
    assert (twilio.code(reply), reply.status) == (code, 400)
    assert json_of(reply)["more_info"] == f"https://www.twilio.com/docs/errors/{code}"


def test_an_api_key_signs_in_for_its_account(twilio: Played) -> None:
    account = twilio.providers.state.accounts.get("wa1")
    twilio.channel = twilio.channel.model_copy(
        update=(key := Credentials.model_validate({"api_key": "SK" + "0" * 32, "api_key_secret": "s"})).model_dump()
        | {"api_key_secret": key.api_key_secret, "provider": "twilio", "account_sid": account.account_sid}
    )
    refused = twilio.send()
    assert refused is not None
    assert refused.code == 20003
    twilio.providers.state.accounts.put(
        account.model_copy(update={"api_key": key.api_key, "api_key_secret": key.api_key_secret})
    )
    taken = twilio.send()
    assert taken is not None
    assert taken.answer == "accepted"


def test_another_account_s_path_is_refused(twilio: Played) -> None:
    path = f"/2010-04-01/Accounts/AC{'0' * 32}/Messages.json"
    assert twilio.code(twilio.ask("POST", path, body=urlencode(TEXT).encode())) == 20404


def test_too_many_messages_are_429(twilio: Played) -> None:
    twilio.providers.set_behaviour(Behaviour(per_second=1))
    results = [twilio.send("o1"), twilio.send("o2")]
    assert [result and (result.answer, result.http_status) for result in results] == [("accepted", 201), ("retry", 429)]


def test_receipts_go_where_the_send_asked_for_them_and_else_nowhere(twilio: Played) -> None:
    twilio.send()
    assert {callback.to for callback in twilio.callbacks} == {f"{HOOK}/status?id=o1&conversation=wa1%3A{CONTACT}"}
    assert post(twilio, changed()).callbacks == ()


def test_a_template_of_each_language_has_a_sid_of_its_own() -> None:
    assert content_sid("hello", "es") == content_sid("hello", "es") != content_sid("hello", "en")
    assert content_sid(HELLO, "es") == HELLO
    assert len(HELLO) == 34


@pytest.mark.parametrize(
    ("credentials", "signature"),
    [
        # Computed elsewhere, with openssl.
        ({"auth_token": "made0auth0token"}, {"X-Twilio-Signature": "rknBtRRHpJBhLeSC2kbyNohDJuQ="}),
        (
            {"auth_token": "made0auth0token", "signing_key": "shared"},
            {
                "X-Twilio-Webhooks-Signature-Settings": "key=sandbox,algorithm=HMAC_SHA256",
                "X-Twilio-Signature": "2/EM6Ym2kGzJlg5DgB2r1v8+thO+nCgW2YvI5NU7zMs=",
            },
        ),
    ],
)
def test_the_signature_is_twilio_s(credentials: dict[str, str], signature: dict[str, str]) -> None:
    request = CallbackRequest(b"To=whatsapp%3A%2B1&Body=F%C3%BC+%2B1&Empty=", FORM)
    signed = sign(Credentials.model_validate({"provider": "twilio", **credentials}), f"{HOOK}?x=%3A", request, NOW)
    assert signed == signature

"""Files at the providers: which are taken, how they are sent, and who is shown which credentials."""

import base64
import hashlib
from typing import Any
from urllib.parse import parse_qsl

import orjson
import pytest
from pydantic import SecretStr

from media.types import TYPES
from providers.media import hex_sha256, why_no_media
from providers.provider import Answer, Call, Fetch
from providers.registry import PROVIDERS
from providers.whatsapp_cloud.media import plan_upload, read_upload
from schemas.effects import SendRequest, SendResult
from schemas.events.content import Attachment, Outgoing
from schemas.events.conversation import Media
from schemas.settings.channel import ChannelSettings

MB = 2**20
SID = "AC" + "0" * 32
CHANNELS = {
    "engagelab": ChannelSettings(id="c", phone_number="+34600000001", dev_key="key", dev_secret=SecretStr("s")),
    "twilio": ChannelSettings(
        id="c", provider="twilio", phone_number="+34600000001", account_sid=SID, auth_token=SecretStr("t")
    ),
    "whatsapp_cloud": ChannelSettings(
        id="c",
        provider="whatsapp_cloud",
        phone_number="+34600000001",
        phone_number_id="8",
        access_token=SecretStr("t"),
        app_secret=SecretStr("s"),
        verify_token=SecretStr("v"),
    ),
}
EVERY = pytest.mark.parametrize("provider", sorted(CHANNELS))
LINK = "https://desk.example/media/1.x/out/c/a.jpg"


def file(kind: str, mime_type: str = "image/jpeg", size: int = 1, **more: Any) -> Attachment:
    return Attachment.model_validate(
        {"kind": kind, "file": "out/c/a.jpg", "mime_type": mime_type, "size": size, **more}
    )


# --- what is taken -----------------------------------------------------------------------------------------------


@EVERY
@pytest.mark.parametrize(
    ("attachment", "said"),
    [
        (file("image", size=7 * MB), ("image", "7,340,032", "5,242,880")),
        (file("image", "image/webp", MB), ("image", "image/webp", "image/jpeg, image/png")),
        (file("video", "video/mp4", 20 * MB), ("video", "20,971,520", "16,777,216")),
        (file("document", "image/jpeg"), ("document", "image/jpeg", "application/pdf")),
        (file("document", "application/zip"), ("document", "application/zip")),
        (file("document", "application/pdf", 101 * MB), ("document", "105,906,176")),
        (file("audio", "video/webm"), ("audio", "video/webm")),
        (file("voice", "audio/mpeg"), ("voice", "audio/mpeg", "audio/ogg; codecs=opus")),
        (file("voice", "audio/ogg"), ("voice", "audio/ogg")),
        (file("sticker", "image/png"), ("sticker",)),
        (file("sticker", "image/webp", 501 * 2**10, animated=True), ("sticker",)),
        (file("sticker", "image/webp", 101 * 2**10), ("sticker",)),
    ],
)
def test_what_the_provider_would_not_take_is_refused_with_kind_and_limit(
    provider: str, attachment: Attachment, said: tuple[str, ...]
) -> None:
    why = why_no_media(attachment, None, PROVIDERS[provider].media)
    assert why is not None
    assert all(word in why for word in said)


@EVERY
@pytest.mark.parametrize(
    "attachment",
    [
        file("image", size=5 * MB),
        file("image", "image/png"),
        file("video", "video/mp4", 16 * MB),
        file("audio", "audio/mpeg"),
        file("audio", "audio/ogg; codecs=opus"),
        file("voice", "audio/ogg; codecs=opus"),
        file("document", "application/pdf", 16 * MB),
        file("document", TYPES["docx"]),
        Attachment(kind="image", link="https://x.example/a"),
    ],
)
def test_what_the_provider_takes_is_let_through(provider: str, attachment: Attachment) -> None:
    assert why_no_media(attachment, None, PROVIDERS[provider].media) is None


def test_a_sticker_that_moves_may_be_larger() -> None:
    still, moving = (file("sticker", "image/webp", 101 * 2**10, animated=moves) for moves in (False, True))
    rules = PROVIDERS["whatsapp_cloud"].media
    assert why_no_media(still, None, rules) == "sticker: it has 103,424 bytes, and at most 102,400 are taken"
    assert why_no_media(moving, None, rules) is None


def test_a_document_may_be_larger_at_meta_than_at_twilio() -> None:
    document = file("document", "application/pdf", 90 * MB)
    allowed = {name for name in CHANNELS if why_no_media(document, None, PROVIDERS[name].media) is None}
    assert allowed == {"engagelab", "whatsapp_cloud"}


@pytest.mark.parametrize(
    ("provider", "kind", "mime_type", "limit"),
    [
        ("whatsapp_cloud", "image", "image/jpeg", 1024),
        ("whatsapp_cloud", "document", "application/pdf", 1024),
        ("whatsapp_cloud", "voice", "audio/ogg; codecs=opus", 0),
        ("engagelab", "video", "video/mp4", 1024),
        ("engagelab", "sticker", "image/webp", 0),
        ("twilio", "image", "image/jpeg", 1600),
        ("twilio", "document", "application/pdf", 0),
    ],
)
def test_a_caption_goes_with_what_can_have_one(provider: str, kind: str, mime_type: str, limit: int) -> None:
    rules, attachment = PROVIDERS[provider].media, file(kind, mime_type)
    assert why_no_media(attachment, "x" * limit, rules) is None
    why = why_no_media(attachment, "x" * (limit + 1), rules)
    assert why is not None
    assert kind in why


def test_every_type_that_a_provider_takes_is_one_that_bytes_can_have() -> None:
    known = set(TYPES.values())
    assert all(rule.types <= known for provider in PROVIDERS.values() for rule in provider.media.values())


# --- how it is sent ----------------------------------------------------------------------------------------------


def request(attachment: Attachment, text: str | None = None, media_id: str | None = None) -> SendRequest:
    return SendRequest(
        effect_id="e",
        message_id="m1",
        conversation="c:34655000001",
        channel="c",
        contact="34655000001",
        kind="reply",
        via="session",
        text=text,
        content=Outgoing(media=attachment),
        media_id=media_id,
    )


def planned(provider: str, request: SendRequest) -> bytes:
    call = PROVIDERS[provider].plan_send(request, CHANNELS[provider], None)
    assert isinstance(call, Call)
    return call.body or b""


def cloud(attachment: Attachment, text: str | None = None, media_id: str | None = None) -> Any:
    body = orjson.loads(planned("whatsapp_cloud", request(attachment, text, media_id)))
    assert body["to"] == "+34655000001"
    return {body["type"]: body[body["type"]]}


def test_cloud_sends_an_uploaded_file_by_its_id() -> None:
    assert cloud(file("image"), "Look", "9") == {"image": {"id": "9", "caption": "Look"}}
    assert cloud(file("video", "video/mp4"), None, "9") == {"video": {"id": "9"}}
    assert cloud(file("voice", "audio/ogg; codecs=opus"), None, "9") == {"audio": {"id": "9", "voice": True}}
    assert cloud(file("audio", "audio/mpeg"), None, "9") == {"audio": {"id": "9"}}
    assert cloud(file("sticker", "image/webp"), None, "9") == {"sticker": {"id": "9"}}


@pytest.mark.parametrize("media_id", ["9", None])
def test_cloud_names_a_document_by_id_and_by_link(media_id: str | None) -> None:
    document = Attachment(kind="document", link=None if media_id else LINK, filename="Factura nº 7.pdf")
    by = {"id": "9"} if media_id else {"link": LINK}
    assert cloud(document, "Yours", media_id) == {
        "document": {**by, "caption": "Yours", "filename": "Factura nº 7.pdf"}
    }


def test_engagelab_sends_a_file_by_its_link() -> None:
    def body(attachment: Attachment, text: str | None = None) -> Any:
        return orjson.loads(planned("engagelab", request(attachment, text)))["body"]

    assert body(file("image", link=LINK), "Look") == {"type": "image", "image": {"link": LINK, "caption": "Look"}}
    assert body(file("voice", link=LINK)) == {"type": "audio", "audio": {"link": LINK}}
    assert body(file("document", link=LINK, filename="a.pdf")) == {
        "type": "document",
        "document": {"link": LINK, "filename": "a.pdf"},
    }


def test_twilio_sends_a_file_by_its_link_with_the_caption_as_the_body() -> None:
    form = dict(parse_qsl(planned("twilio", request(file("image", link=LINK), "Look")).decode()))
    assert (form["MediaUrl"], form["Body"]) == (LINK, "Look")
    assert "Body" not in dict(parse_qsl(planned("twilio", request(file("voice", link=LINK))).decode()))


@EVERY
def test_a_file_that_is_nowhere_is_refused(provider: str) -> None:
    refused = PROVIDERS[provider].plan_send(request(file("image")), CHANNELS[provider], None)
    assert isinstance(refused, SendResult)
    assert refused.answer == "refused"


# --- uploads to Cloud --------------------------------------------------------------------------------------------


def test_an_upload_says_the_type_of_the_bytes() -> None:
    data = b"OggS\r\n--boundary\r\n"
    call = plan_upload(file("voice", "audio/ogg; codecs=opus"), data, CHANNELS["whatsapp_cloud"])
    assert isinstance(call, Call)
    assert (call.method, call.path) == ("POST", "/v25.0/8/media")
    kind, _, boundary = call.headers["Content-Type"].partition("; boundary=")
    assert (kind, call.headers["Authorization"]) == ("multipart/form-data", "Bearer t")
    assert len(boundary) <= 70
    assert (
        call.body
        == (
            f'--{boundary}\r\nContent-Disposition: form-data; name="messaging_product"\r\n\r\nwhatsapp\r\n'
            f'--{boundary}\r\nContent-Disposition: form-data; name="type"\r\n\r\naudio/ogg; codecs=opus\r\n'
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="file"\r\n'
            f"Content-Type: audio/ogg; codecs=opus\r\n\r\n"
        ).encode()
        + data
        + f"\r\n--{boundary}--\r\n".encode()
    )


def test_without_credentials_nothing_is_uploaded() -> None:
    bare = ChannelSettings(id="c", provider="whatsapp_cloud", phone_number="+34600000001")
    refused = plan_upload(file("image"), b"x", bare)
    assert isinstance(refused, SendResult)
    assert refused.answer == "credentials"


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, {"id": "9"}, "9"),
        (200, {}, "retry"),
        (400, {"error": {"code": 131053}}, "refused"),
        (400, {"error": {"code": 100}}, "refused"),
        (401, {"error": {"code": 190}}, "credentials"),
        (429, {"error": {"code": 130429}}, "retry"),
        (500, {}, "retry"),
    ],
)
def test_what_the_answer_to_an_upload_means(status: int, body: Any, expected: str) -> None:
    read = read_upload(Answer(status, orjson.dumps(body)))
    assert (read.answer if isinstance(read, SendResult) else read) == expected


# --- who is shown which credentials ------------------------------------------------------------------------------


def signed_in(provider: str, media: Media, base_url: str) -> tuple[str, bool]:
    fetching = PROVIDERS[provider].fetching
    assert fetching is not None
    fetch = fetching.plan(media, CHANNELS[provider], base_url)
    assert isinstance(fetch, Fetch)
    return fetch.url, bool(fetch.headers)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://lookaside.fbsbx.com/whatsapp_business/attachments/?mid=1&hash=x", True),
        ("https://scontent.xx.fbcdn.net/v/t1?x=1", True),
        ("https://graph.facebook.com/v25.0/x", True),
        ("https://lookaside.fbsbx.com:443/x", True),
        ("http://lookaside.fbsbx.com/x", False),
        ("https://lookaside.fbsbx.com.evil.example/x", False),
        ("https://evilfbsbx.com/x", False),
        ("https://evil.example/lookaside.fbsbx.com/", False),
        ("https://lookaside.fbsbx.com@evil.example/x", False),
        ("https://evil.example\\@lookaside.fbsbx.com/x", False),
        ("https://evil.example?.fbsbx.com/x", False),
        ("https://evil.example#.fbsbx.com/x", False),
        ("https://lookaside.fbsbx.com:8443/x", False),
        ("https://graph.example.evil/x", False),
    ],
)
def test_a_cloud_token_is_for_meta_s_hosts_alone(url: str, expected: bool) -> None:
    assert signed_in("whatsapp_cloud", Media(link=url), "https://graph.facebook.com") == (url, expected)


def test_a_stand_in_that_the_operator_set_gets_credentials() -> None:
    base = "http://127.0.0.1:8900"
    assert signed_in("whatsapp_cloud", Media(link=f"{base}/file"), base) == (f"{base}/file", True)
    assert not signed_in("whatsapp_cloud", Media(link="http://127.0.0.1:89001/file"), base)[1]
    path = f"/2010-04-01/Accounts/{SID}/Messages/MM1/Media/ME1"
    for host in (base, "https://api.twilio.com"):
        assert signed_in("twilio", Media(link=host + path), base) == (base + path, True)


@pytest.mark.parametrize(
    "url",
    [
        f"http://api.twilio.com/2010-04-01/Accounts/{SID}/Messages/MM1/Media/ME1",
        f"https://api.twilio.com.evil.example/2010-04-01/Accounts/{SID}/Messages/MM1/Media/ME1",
        f"https://api.twilio.com@evil.example/2010-04-01/Accounts/{SID}/Messages/MM1/Media/ME1",
        f"https://api.twilio.com/2010-04-01/Accounts/{'AC' + '1' * 32}/Messages/MM1/Media/ME1",
        f"https://api.twilio.com/2010-04-01/Accounts/{SID}/Messages/../../x/Media/ME1",
        f"https://api.twilio.com/2010-04-01/Accounts/{SID}/Messages.json",
        "https://mms.twiliocdn.com/AC/x?Signature=y",
    ],
)
def test_twilio_s_credentials_are_for_the_channel_s_own_files_alone(url: str) -> None:
    assert signed_in("twilio", Media(link=url), "https://api.twilio.com") == (url, False)


def test_a_media_id_can_t_lead_elsewhere() -> None:
    url, _ = signed_in("whatsapp_cloud", Media(id="../8/messages?x=1"), "https://graph.facebook.com")
    assert url == "https://graph.facebook.com/v25.0/..%2F8%2Fmessages%3Fx%3D1"


def test_a_hash_is_read_in_either_spelling() -> None:
    digest = hashlib.sha256(b"x")
    assert hex_sha256(base64.b64encode(digest.digest()).decode()) == digest.hexdigest()
    assert hex_sha256(digest.hexdigest().upper()) == digest.hexdigest()
    for wrong in ("", "abc", "!" * 44, base64.b64encode(b"short").decode()):
        assert hex_sha256(wrong) is None
    assert hex_sha256(None) is None

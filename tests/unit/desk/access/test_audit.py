"""What the audit topic shows."""

from datetime import UTC, datetime

from pydantic import BaseModel, Field, SecretStr

from desk.access.audit import shown
from schemas.events.access import Grant, Role, SecondFactor, TokenSaved, UserSaved
from schemas.settings.channel import ChannelSettings, parse_channel
from schemas.settings.credentials import ENCRYPTED

NOW = datetime(2026, 3, 9, 8, 30, tzinfo=UTC)


class Inner(BaseModel):
    key: SecretStr
    note: str


class Outer(BaseModel):
    inner: Inner
    several: tuple[Inner, ...]
    by_name: dict[str, Inner]
    odd: tuple[SecretStr, ...]
    hidden: str = Field(repr=False)


def test_secrets_are_left_out_however_deep() -> None:
    inner = Inner(key=SecretStr("planted"), note="seen")
    outer = Outer(inner=inner, several=(inner,), by_name={"a": inner}, odd=(SecretStr("planted"),), hidden="planted")
    assert shown(outer) == {
        "inner": {"note": "seen"},
        "several": [{"note": "seen"}],
        "by_name": {"a": {"note": "seen"}},
        "odd": [],
    }


def test_a_channel_is_shown_without_its_credentials() -> None:
    fields = ChannelSettings.model_fields
    # By this they are told from the rest.
    assert all(not fields[name].repr for name in ENCRYPTED)
    plain = {"id": "shop", "phone_number": "+34600123456", "dev_key": "planted", "dev_secret": "planted"}
    found = shown(parse_channel(plain))
    assert isinstance(found, dict)
    assert found["phone_number"] == "+34600123456"
    assert "planted" not in str(found)
    assert not set(found) & set(ENCRYPTED)


def test_a_token_and_a_user_are_shown_without_what_is_kept_of_their_secrets() -> None:
    grant = Grant(role=Role.READ)
    token = TokenSaved(id="a", name="n", hash="planted", grant=grant, created_at=NOW, created_by="x")
    user = UserSaved(
        id="a",
        login="a@b",
        name="n",
        grant=grant,
        created_at=NOW,
        created_by="x",
        password="planted",
        second_factor=SecondFactor(secret="planted", recovery=("planted",)),
    )
    assert "planted" not in str([shown(token), shown(user), token, user, repr(token), repr(user)])
    found = shown(user)
    assert isinstance(found, dict)
    assert (found["login"], found["created_at"], found["second_factor"]) == ("a@b", "2026-03-09T08:30:00Z", {})
    assert shown(None) is None

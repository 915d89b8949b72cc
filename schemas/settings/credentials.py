"""The providers that a channel may have, and the channel's credentials at its provider."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import Field, SecretStr, StringConstraints

from schemas.settings.errors import FieldError
from schemas.settings.types import Flag, SettingsModel

ProviderName = Literal["engagelab", "whatsapp_cloud", "twilio"]
Secret = Annotated[SecretStr, Field(min_length=1)]


class Credentials(SettingsModel):
    """The part of a channel's settings that its provider's accounts are reached with.

    Secrets are in no dump and no repr. EngageLab: dev_key, dev_secret, callback_secret (signs X-CALLBACK-ID; where it
    is set, callbacks must be signed). WhatsApp Cloud: phone_number_id, access_token, app_secret (signs callbacks),
    verify_token (of ours, for the handshake), api_version. Twilio: account_sid, auth_token (signs callbacks), api_key
    and api_key_secret (send in its place), messaging_service_sid, signing_key (of a Webhooks Rule);
    reconcile: its list of messages is compared with the callbacks once a minute.
    """

    provider: ProviderName = "engagelab"
    dev_key: Annotated[str, StringConstraints(min_length=1)] | None = Field(default=None, repr=False)
    dev_secret: Secret | None = Field(default=None, exclude=True, repr=False)
    phone_number_id: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,32}$")] | None = None
    access_token: Secret | None = Field(default=None, exclude=True, repr=False)
    app_secret: Secret | None = Field(default=None, exclude=True, repr=False)
    verify_token: Secret | None = Field(default=None, exclude=True, repr=False)
    api_version: Annotated[str, StringConstraints(pattern=r"^v[0-9]{1,3}\.[0-9]{1,2}$")] = "v25.0"
    account_sid: Annotated[str, StringConstraints(pattern=r"^AC[0-9a-fA-F]{32}$")] | None = None
    auth_token: Secret | None = Field(default=None, exclude=True, repr=False)
    api_key: Annotated[str, StringConstraints(pattern=r"^SK[0-9a-fA-F]{32}$")] | None = None
    api_key_secret: Secret | None = Field(default=None, exclude=True, repr=False)
    messaging_service_sid: Annotated[str, StringConstraints(pattern=r"^MG[0-9a-fA-F]{32}$")] | None = None
    signing_key: Secret | None = Field(default=None, exclude=True, repr=False)
    reconcile: Flag = False
    callback_secret: Secret | None = Field(default=None, exclude=True, repr=False)


class OtherKey(Exception):
    """What is stored was encrypted with a key that is not there."""


SECRETS: Final = (
    "dev_secret",
    "access_token",
    "app_secret",
    "verify_token",
    "auth_token",
    "api_key_secret",
    "signing_key",
    "callback_secret",
)
ENCRYPTED: Final = ("dev_key", *SECRETS)
"""The fields that are stored encrypted, and shown to nobody."""


@dataclass(frozen=True)
class Needs:
    """What a provider's channel needs. fields: all that are its; together: given all or none; options: may be set."""

    fields: tuple[str, ...]
    together: tuple[str, ...]
    options: tuple[str, ...] = ()


NEEDS: Final[Mapping[ProviderName, Needs]] = {
    "engagelab": Needs(("dev_key", "dev_secret", "callback_secret"), ("dev_key", "dev_secret")),
    "whatsapp_cloud": Needs(
        ("phone_number_id", "access_token", "app_secret", "verify_token"),
        ("phone_number_id", "access_token", "app_secret", "verify_token"),
    ),
    "twilio": Needs(
        ("account_sid", "auth_token", "api_key", "api_key_secret", "messaging_service_sid", "signing_key"),
        ("account_sid", "auth_token"),
        ("reconcile",),
    ),
}


def encrypt_credentials(credentials: Credentials, encrypt: Callable[[str], str]) -> dict[str, str | None]:
    """Each credential as encrypted text, as it is stored; None: it is not given."""
    return {name: encrypt(plain) if (plain := _plain(credentials, name)) else None for name in ENCRYPTED}


def decrypt_credentials(data: Mapping[str, object], decrypt: Callable[[str], str]) -> dict[str, str]:
    """The inverse of encrypt_credentials. Raises whatever decrypt raises."""
    return {name: decrypt(str(data[name])) for name in ENCRYPTED if data.get(name)}


def credential_errors(credentials: Credentials) -> Iterator[FieldError]:
    """What is missing beside what is given, and what is another provider's."""
    needs = NEEDS[credentials.provider]
    all_names = (name for others in NEEDS.values() for name in (*others.fields, *others.options))
    given = {name for name in all_names if getattr(credentials, name)}
    for name in sorted(given - {*needs.fields, *needs.options}):
        yield FieldError(name, f"is not a field of a channel at {credentials.provider}")
    missing = [name for name in needs.together if name not in given]
    if missing and given & set(needs.fields):
        yield FieldError(missing[0], _together(needs.together))
    if (credentials.api_key is None) != (credentials.api_key_secret is None):
        name = "api_key" if credentials.api_key is None else "api_key_secret"
        yield FieldError(name, _together(("api_key", "api_key_secret")))


def _together(names: tuple[str, ...]) -> str:
    how = "both or neither" if len(names) == 2 else "all or none"
    return f"{', '.join(names[:-1])} and {names[-1]} go together: give {how}"


def _plain(credentials: Credentials, name: str) -> str | None:
    value = getattr(credentials, name)
    return value.get_secret_value() if isinstance(value, SecretStr) else value

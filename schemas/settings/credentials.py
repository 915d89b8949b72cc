"""The providers that a channel may have, and the channel's credentials at its provider."""

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Final, Literal

from pydantic import Field, SecretStr, StringConstraints

from schemas.settings.errors import FieldError
from schemas.settings.types import SettingsModel

CREDENTIALS: Final = ("dev_key", "dev_secret")
"""The fields that are stored encrypted, and shown to nobody."""


class Credentials(SettingsModel):
    """The part of a channel's settings that its provider's accounts are reached with.

    dev_secret is in no dump and no repr.
    """

    provider: Literal["engagelab", "whatsapp_cloud", "twilio"] = "engagelab"
    dev_key: Annotated[str, StringConstraints(min_length=1)] | None = Field(default=None, repr=False)
    dev_secret: Annotated[SecretStr, Field(min_length=1)] | None = Field(default=None, exclude=True, repr=False)


def encrypt_credentials(credentials: Credentials, encrypt: Callable[[str], str]) -> dict[str, str | None]:
    """Each credential as encrypted text, as it is stored; None: it is not given."""
    secret = credentials.dev_secret
    return {
        "dev_key": encrypt(credentials.dev_key) if credentials.dev_key else None,
        "dev_secret": encrypt(secret.get_secret_value()) if secret else None,
    }


def decrypt_credentials(data: Mapping[str, object], decrypt: Callable[[str], str]) -> dict[str, str]:
    """The inverse of encrypt_credentials. Raises whatever decrypt raises."""
    return {name: decrypt(str(data[name])) for name in CREDENTIALS if data.get(name)}


def credential_errors(credentials: Credentials) -> Iterator[FieldError]:
    """What is missing beside what is given."""
    if credentials.provider == "engagelab" and (credentials.dev_key is None) != (credentials.dev_secret is None):
        missing = "dev_secret" if credentials.dev_secret is None else "dev_key"
        yield FieldError(missing, "dev_key and dev_secret go together: give both or neither")

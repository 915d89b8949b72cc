"""The accounts of the sandbox: credentials, templates, behaviour, and who may call with what."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, SecretStr, field_validator, model_validator

from simulation.sandbox.engagelab.errors import ApiError

Probability = Annotated[float, Field(ge=0, le=1)]
Answer = Literal["accept", "refuse", "timeout", "unreachable"]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Template(_Model):
    """A message template; only one whose status is APPROVED may be sent (EngageLab docs, confirmed)."""

    name: str = Field(min_length=1)
    language: str = Field(min_length=1)
    category: str = "UTILITY"
    status: str = "APPROVED"
    components: tuple[dict[str, JsonValue], ...] = ()

    @property
    def id(self) -> str:
        """Digits, the same for the same name and language."""
        return digit_id(f"template:{self.name}:{self.language}")


class Behaviour(_Model):
    """How the next sends of an account are answered.

    answer: accept | refuse (with `code`) | timeout (accepted, but never answered) | unreachable (503, unread).
    times: for that many sends, then accept again; None: until changed.
    http_status: None means what EngageLab pairs with the code. retry_after: seconds, sent as a header.
    receipts: whether a message accepted without an answer goes on to have receipts.
    """

    answer: Answer = "accept"
    code: int | None = None
    http_status: int | None = Field(default=None, ge=400, le=599)
    retry_after: int | None = Field(default=None, ge=0)
    times: int | None = Field(default=None, ge=1)
    receipts: bool = False

    @model_validator(mode="after")
    def _check(self) -> Behaviour:
        if self.answer == "refuse" and self.code is None:
            raise ValueError("code: a refusal needs an error code, such as 2002")
        if self.answer != "refuse" and (self.code, self.http_status, self.retry_after) != (None, None, None):
            raise ValueError("code, http_status, retry_after: only a refusal has them")
        return self

    def after_use(self) -> Behaviour:
        """What holds for the send after this one."""
        if self.times is None:
            return self
        return self.model_copy(update={"times": self.times - 1}) if self.times > 1 else Behaviour()


class Account(_Model):
    """One EngageLab account with its sender number; a LiveDesk channel holds its dev_key and dev_secret.

    phone_number: the sender, in any notation. templates: "unreachable" makes the template API drop its connections.
    enforce_window: refuse session messages (3003) unless the customer wrote within the last 24 hours.
    callback_secret: signs callbacks as EngageLab's sibling products do; WhatsApp callbacks themselves are not signed.
    """

    dev_key: str = Field(min_length=1, pattern="^[^:]+$")
    dev_secret: SecretStr
    phone_number: str
    business_account_id: str = ""
    callback_url: str | None = Field(default=None, pattern="^https?://")
    callback_username: str = ""
    callback_secret: SecretStr | None = None
    templates: tuple[Template, ...] | Literal["unreachable"] = ()
    behaviour: Behaviour = Behaviour()
    enabled: bool = True
    enforce_window: bool = False

    @field_validator("phone_number")
    @classmethod
    def _normalise(cls, value: str) -> str:
        number = digits(value)
        if not 6 <= len(number) <= 15:
            raise ValueError(f"not an international phone number: {value!r}")
        return f"+{number}"


@dataclass(frozen=True)
class Credentials:
    """HTTP Basic credentials of a call."""

    dev_key: str
    dev_secret: str = field(repr=False)

    @classmethod
    def from_header(cls, authorization: str | None) -> Credentials | None:
        """Read an Authorization header; None where it holds no Basic credentials."""
        scheme, _, encoded = (authorization or "").partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            key, separator, secret = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        return cls(key, secret) if separator else None


class Accounts:
    """The accounts by dev_key. Setting one replaces it."""

    def __init__(self, accounts: Iterable[Account] = ()) -> None:
        self._by_key = {account.dev_key: account for account in accounts}

    def put(self, account: Account) -> None:
        """Add an account, or replace the one with its dev_key."""
        self._by_key[account.dev_key] = account

    def all(self) -> tuple[Account, ...]:
        """Every account, in the order added."""
        return tuple(self._by_key.values())

    def get(self, dev_key: str | None) -> Account:
        """The account with a dev_key; without one, the only account. Raises KeyError with a readable reason."""
        if dev_key is not None:
            if dev_key not in self._by_key:
                raise KeyError(f"no account with dev_key {dev_key!r}")
            return self._by_key[dev_key]
        if len(self._by_key) != 1:
            raise KeyError(f"dev_key is needed: the sandbox has {len(self._by_key)} accounts")
        return next(iter(self._by_key.values()))

    def authenticate(self, credentials: Credentials | None) -> Account:
        """The caller's account. Raises ApiError 2001 (missing or wrong) or 2002 (disabled)."""
        account = self._by_key.get(credentials.dev_key) if credentials else None
        if credentials is None or account is None:
            raise ApiError(2001, "authentication failed: missing or wrong DevKey:DevSecret")
        if not hmac.compare_digest(account.dev_secret.get_secret_value().encode(), credentials.dev_secret.encode()):
            raise ApiError(2001, "authentication failed: missing or wrong DevKey:DevSecret")
        if not account.enabled:
            raise ApiError(2002, "token expired or disabled")
        return account


def digits(number: str) -> str:
    """A phone number's digits with the country code: "+34 600", "0034600" and "34600" are one number."""
    only = "".join(char for char in number if char in "0123456789")
    return only[2:] if only.startswith("00") else only


def is_user_id(contact: str) -> bool:
    """Whether it is Meta's id of a user, `ES.123…`, rather than a number."""
    return any(char.isalpha() for char in contact) and not contact.lower().startswith("whatsapp:")


def recipient(contact: str) -> str:
    """A number's digits; a user id as it is."""
    return contact if is_user_id(contact) else digits(contact)


def digit_id(seed: str) -> str:
    """15 digits derived from a text, as Meta's ids look."""
    return str(int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8]) % 10**15).zfill(15)

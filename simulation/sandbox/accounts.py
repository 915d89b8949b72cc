"""The accounts of the sandbox: credentials, templates and behaviour, whatever the provider."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, SecretStr, field_validator, model_validator

from schemas.settings.channel import ChannelSettings
from schemas.settings.credentials import Credentials, ProviderName, credential_errors

Probability = Annotated[float, Field(ge=0, le=1)]
Answer = Literal["accept", "refuse", "timeout", "unreachable"]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Template(_Model):
    """A message template; only one whose status is APPROVED may be sent (docs of all providers, confirmed)."""

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
    http_status: None means what the provider pairs with the code. retry_after: seconds, sent as a header.
    receipts: whether a message accepted without an answer goes on to have receipts.
    per_second: sends that the number may make, more are refused; pair_seconds, pair_burst: one recipient's share, a
    send so many seconds, and so many at once on credit. All with the provider's own codes, where it has such.
    """

    answer: Answer = "accept"
    code: int | None = None
    http_status: int | None = Field(default=None, ge=400, le=599)
    retry_after: int | None = Field(default=None, ge=0)
    times: int | None = Field(default=None, ge=1)
    receipts: bool = False
    per_second: float | None = Field(default=None, gt=0)
    pair_seconds: float | None = Field(default=None, gt=0)
    pair_burst: int = Field(default=45, ge=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.answer == "refuse" and self.code is None:
            raise ValueError("code: a refusal needs an error code of the provider")
        if self.answer != "refuse" and (self.code, self.http_status, self.retry_after) != (None, None, None):
            raise ValueError("code, http_status, retry_after: only a refusal has them")
        return self

    def after_use(self) -> Behaviour:
        """What holds for the send after this one."""
        if self.times is None:
            return self
        return self.model_copy(update={"times": self.times - 1}) if self.times > 1 else Behaviour()


class Account(Credentials):
    """An account at a provider, with its one sender number: what a channel's credentials open.

    id: what the sandbox calls it; left out, the provider's name. phone_number: the sender, in any notation.
    callback_url: the channel's webhook address. templates: "unreachable" makes the template API drop its connections.
    enforce_window: no text unless the customer wrote within the last 24 hours, in the way of the provider.
    callback_username, callback_secret: for a signature that a provider's sibling products have, and its own lack.
    """

    id: str = ""
    phone_number: str
    business_account_id: str = ""
    callback_url: str | None = Field(default=None, pattern="^https?://")
    callback_username: str = ""
    callback_secret: SecretStr | None = None
    templates: tuple[Template, ...] | Literal["unreachable"] = ()
    behaviour: Behaviour = Behaviour()
    enabled: bool = True
    enforce_window: bool = False

    @classmethod
    def of(cls, channel: ChannelSettings, **more: object) -> Self:
        """The channel's account, called as the channel is."""
        credentials = {name: getattr(channel, name) for name in Credentials.model_fields}
        return cls.model_validate(
            {
                **credentials,
                "id": channel.id,
                "phone_number": channel.phone_number,
                "business_account_id": channel.business_account_id or "",
                **more,
            }
        )

    @field_validator("phone_number")
    @classmethod
    def _normalise(cls, value: str) -> str:
        number = digits(value)
        if not 6 <= len(number) <= 15:
            raise ValueError(f"not an international phone number: {value!r}")
        return f"+{number}"

    @model_validator(mode="before")
    @classmethod
    def _name(cls, data: object) -> object:
        if isinstance(data, Mapping) and not data.get("id"):
            return {**data, "id": data.get("provider", Credentials.model_fields["provider"].default)}
        return data

    @model_validator(mode="after")
    def _check(self) -> Self:
        if errors := list(credential_errors(self)):
            raise ValueError("; ".join(map(str, errors)))
        return self


class Accounts:
    """The accounts by id. Setting one replaces it."""

    def __init__(self, accounts: Iterable[Account] = ()) -> None:
        self._by_id = {account.id: account for account in accounts}

    def put(self, account: Account) -> None:
        """Add an account, or replace the one with its id."""
        self._by_id[account.id] = account

    def all(self) -> tuple[Account, ...]:
        """Every account, in the order added."""
        return tuple(self._by_id.values())

    def of(self, provider: ProviderName) -> tuple[Account, ...]:
        """A provider's accounts, the newest first."""
        return tuple(account for account in reversed(self._by_id.values()) if account.provider == provider)

    def get(self, id: str | None) -> Account:
        """The account with an id; without one, the only account. Raises KeyError with a readable reason."""
        if id is not None:
            if id not in self._by_id:
                raise KeyError(f"no account {id!r}")
            return self._by_id[id]
        if len(self._by_id) != 1:
            raise KeyError(f"account is needed: the sandbox has {len(self._by_id)}")
        return next(iter(self._by_id.values()))


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


def hex_id(prefix: str, seed: str) -> str:
    """A prefix and 32 hex digits, derived from a text."""
    return prefix + hashlib.sha256(seed.encode()).hexdigest()[:32]


def wamid(seed: str) -> str:
    """Meta's id of a message, derived from a text."""
    return "wamid." + hashlib.sha256(seed.encode()).hexdigest()[:32].upper()

"""Calls to the providers' APIs with their answers, and callbacks to ours."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias
from urllib.parse import parse_qsl

import orjson
from pydantic import JsonValue, SecretStr

Json: TypeAlias = dict[str, JsonValue]


class ApiError(Exception):
    """A call that is refused with a provider's code. http_status: None: what the provider pairs with the code."""

    def __init__(self, code: int, message: str, http_status: int | None = None) -> None:
        super().__init__(message)
        self.code, self.http_status = code, http_status


@dataclass(frozen=True)
class Request:
    """A call to a provider's API. headers: by name in lower case. base_url: where it was called."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    base_url: str = ""

    @property
    def form(self) -> dict[str, str]:
        """The fields of a form-encoded body."""
        return dict(parse_qsl(self.body.decode(errors="replace"), keep_blank_values=True))

    @property
    def basic(self) -> tuple[str, str] | None:
        """The name and secret of HTTP Basic credentials."""
        scheme, _, encoded = self.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            name, separator, secret = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        return (name, secret) if separator else None


@dataclass(frozen=True)
class Reply:
    """The answer. status None: none; the connection is cut, where it hangs after the caller's patience.

    padding: so many zeros follow the body. delay_s: seconds until it comes. callbacks: what follows.
    """

    status: int | None = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    hangs: bool = False
    padding: int = 0
    delay_s: float = 0.0
    callbacks: tuple[ScheduledCallback, ...] = ()


def json_reply(value: JsonValue, status: int = 200) -> Reply:
    """An answer in JSON."""
    return Reply(status, orjson.dumps(value))


def is_secret(given: str, secret: SecretStr | None) -> bool:
    """Whether it is the secret. In constant time."""
    return secret is not None and hmac.compare_digest(given.encode(), secret.get_secret_value().encode())


CUT = Reply(None)
"""No answer at all: the connection is cut."""


@dataclass(frozen=True)
class CallbackRequest:
    """What is posted. to: the address; empty: the account's."""

    body: bytes
    content_type: str = "application/json"
    to: str = ""


@dataclass(frozen=True)
class ScheduledCallback:
    """A callback to post at an instant for an account."""

    at: datetime
    account: str
    request: CallbackRequest

    @property
    def body(self) -> bytes:
        """The body of the request."""
        return self.request.body

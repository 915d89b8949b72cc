"""Webhook addresses: a callback's protection is that its address can't be guessed."""

import base64
import hashlib
import hmac
from typing import Final

WEBHOOKS_PATH: Final = "/webhooks"


def webhook_token(secret_key: bytes, channel_id: str, rotation: int = 0) -> str:
    """The channel's token: 256 bits in URL-safe base64, the same in every process that has the key.

    rotation: counts how often the token was replaced.
    """
    digest = hmac.digest(secret_key, f"webhook/{channel_id}/{rotation}".encode(), "sha256")
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def token_hash(token: str) -> bytes:
    """What a token is looked up by: how long the look-up takes says nothing about the token."""
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()


def webhook_path(provider: str, token: str) -> str:
    """The path that the provider posts a channel's callbacks to."""
    return f"{WEBHOOKS_PATH}/{provider}/{token}"

"""API tokens: opaque, prefixed, 256 bits. Only their hashes are kept."""

import base64
import hashlib
from collections.abc import Callable
from typing import Final

PREFIX: Final = "ldk_"
"""By which secret scanners know one."""


def new_token(random_bytes: Callable[[int], bytes], prefix: str = PREFIX) -> str:
    """A token nobody can guess."""
    return prefix + base64.urlsafe_b64encode(random_bytes(32)).decode().rstrip("=")


def token_hash(token: str) -> str:
    """What is kept of it. A fast hash will do: there are 2^256 tokens to try."""
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()

"""Identities: conversation keys, and ids derived from what caused a thing."""

import hashlib
import uuid

_NAMESPACE = uuid.UUID("6f1c2a52-6d0c-5c0e-9c1b-1d5f0f6a3b77").bytes

_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
"""Hex digit -> the same with RFC 9562's variant in its two high bits."""


def conversation_key(channel_id: str, contact: str) -> str:
    """`{channel_id}:{contact}`; contact: as schemas.contact.contact_id gives it."""
    return f"{channel_id}:{contact}"


def channel_of(key: str) -> str:
    """The channel id of a conversation key (or the key itself when it is a channel id)."""
    return key.partition(":")[0]


def contact_of(key: str) -> str:
    """The contact of a conversation key."""
    return key.partition(":")[2]


def derived_id(*parts: object) -> str:
    """UUIDv5 of the parts: the same cause gives the same id, so a repeated decision repeats its ids."""
    # uuid.uuid5 spelled out: it is made for every record, and building the UUID object costs four times the hash.
    text = hashlib.sha1(_NAMESPACE + "\x1f".join(map(str, parts)).encode(), usedforsecurity=False).hexdigest()
    return f"{text[:8]}-{text[8:12]}-5{text[13:16]}-{_VARIANT[text[16]]}{text[17:20]}-{text[20:32]}"

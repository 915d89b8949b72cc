"""The second factor: codes of an authenticator (TOTP, RFC 6238), and recovery codes for when it is lost."""

import base64
import hashlib
import hmac
from collections.abc import Callable
from datetime import datetime
from typing import Final

import pyotp

RECOVERY_CODES: Final = 10
_INTERVAL_SECONDS: Final = 30
_STEPS_AROUND: Final = 1
"""A code counts for half a minute, and as long before and after, for clocks that differ."""


def new_secret(random_bytes: Callable[[int], bytes]) -> str:
    """An authenticator's secret, 160 bits in base32."""
    return base64.b32encode(random_bytes(20)).decode()


def enrolment_uri(secret: str, login: str) -> str:
    """What an authenticator reads as a QR code."""
    return pyotp.TOTP(secret).provisioning_uri(name=login, issuer_name="LiveDesk")


def code_step(secret: str, code: str, now: datetime) -> int | None:
    """The half minute, counted from 1970, whose code it is; None: it is not one that counts now."""
    current = int(now.timestamp()) // _INTERVAL_SECONDS
    totp = pyotp.TOTP(secret, interval=_INTERVAL_SECONDS)
    given = _plain(code).encode()
    found = None
    for step in range(current - _STEPS_AROUND, current + _STEPS_AROUND + 1):
        if hmac.compare_digest(totp.generate_otp(step).encode(), given):
            found = step
    return found


def new_recovery_codes(random_bytes: Callable[[int], bytes]) -> tuple[str, ...]:
    """Codes of 120 bits each, in groups of four characters."""
    codes = (base64.b32encode(random_bytes(15)).decode() for _ in range(RECOVERY_CODES))
    return tuple("-".join(code[start : start + 4] for start in range(0, len(code), 4)) for code in codes)


def recovery_hash(code: str) -> str:
    """What is kept of a recovery code. A fast hash will do for 120 bits (ASVS 5.0, 6.5.2)."""
    return hashlib.sha256(_plain(code).encode()).hexdigest()


def _plain(code: str) -> str:
    return "".join(code.split()).replace("-", "").upper()

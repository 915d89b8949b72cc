"""The second factor's codes."""

import os
from datetime import UTC, datetime, timedelta

import pyotp
import pytest

from desk.access.second_factor import code_step, enrolment_uri, new_recovery_codes, new_secret, recovery_hash

NOW = datetime(2026, 3, 9, 8, 30, 10, tzinfo=UTC)
SECRET = new_secret(os.urandom)


@pytest.mark.parametrize(("seconds", "counts"), [(-70, False), (-31, True), (0, True), (31, True), (70, False)])
def test_a_code_counts_around_its_half_minute(seconds: int, counts: bool) -> None:
    at = NOW + timedelta(seconds=seconds)
    step = code_step(SECRET, pyotp.TOTP(SECRET).at(at), NOW)
    assert step == (int(at.timestamp()) // 30 if counts else None)


@pytest.mark.parametrize("code", ["", "0", "é", "123", "1234567", "abcdef", " "])
def test_what_is_no_code_counts_never(code: str) -> None:
    assert code_step(SECRET, code, NOW) is None


def test_a_code_may_have_spaces_in_it() -> None:
    code = pyotp.TOTP(SECRET).at(NOW)
    assert code_step(SECRET, f" {code[:3]} {code[3:]} ", NOW) is not None


def test_an_authenticator_reads_the_enrolment() -> None:
    read = pyotp.parse_uri(enrolment_uri(SECRET, "marta@example.com"))
    assert isinstance(read, pyotp.TOTP)
    assert (read.secret, read.issuer, read.name) == (SECRET, "LiveDesk", "marta@example.com")
    assert len(SECRET) * 5 >= 160


def test_recovery_codes_differ_and_are_read_however_they_are_typed() -> None:
    codes = new_recovery_codes(os.urandom)
    assert len(set(codes)) == 10
    assert all(len(code.replace("-", "")) * 5 >= 112 for code in codes)
    assert recovery_hash(codes[0].lower().replace("-", " ")) == recovery_hash(codes[0])
    assert recovery_hash(codes[0]) != recovery_hash(codes[1])
    assert codes[0] not in recovery_hash(codes[0])

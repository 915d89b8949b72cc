"""Phone numbers in one spelling: the digits of E.164, country code first, no "+"."""

from typing import Final

MAX_DIGITS: Final = 15
"""E.164: country code and number together."""

# Spaces and dashes of every kind, and the bidirectional marks that come along when a number is copied from a screen.
_SEPARATORS: Final = dict.fromkeys(
    map(
        ord,
        " \t\r\n\u00a0\u2007\u2009\u202f().-/\u00ad\u2010\u2011\u2012\u2013\u2014\u2212"
        "\u200b\u200e\u200f\u202a\u202c\u2066\u2069",
    )
)


class InvalidPhoneNumber(ValueError):
    """Not a phone number with a country code. The message never repeats the number."""


def digits(number: str) -> str:
    """The number's digits: "+86 138…", "0086-138…", "whatsapp:+86138…" and "86138…" all give "86138…".

    Raises InvalidPhoneNumber: empty, not digits, over 15 digits, or a leading 0 (no country code has one).
    """
    # Nearly every number that a provider sends is already in this form.
    if not (number.isascii() and number.isdigit() and number[0] != "0"):
        number = _normalise(number)
    if len(number) > MAX_DIGITS:
        raise InvalidPhoneNumber(f"more than {MAX_DIGITS} digits")
    return number


def _normalise(number: str) -> str:
    text = number.strip()
    if text[:9].lower() == "whatsapp:":
        text = text[9:]
    # "+44 (0)20 …": the trunk prefix is dialled inside the country only and is no part of the number.
    text = text.replace("(0)", "").translate(_SEPARATORS)
    text = text[1:] if text.startswith("+") else text.removeprefix("00")
    if not text:
        raise InvalidPhoneNumber("empty")
    if not (text.isascii() and text.isdigit()):
        raise InvalidPhoneNumber("not digits only")
    if text[0] == "0":
        raise InvalidPhoneNumber("starts with 0: the country code is missing")
    return text

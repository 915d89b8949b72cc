"""A contact: the customer of a channel. A name of theirs is a phone number or the provider's id of the user.

One person has one contact, however a number is spelled: the key of everything about them is computed here alone, from
the first name that is heard. It then stays, whatever other names they have (agents/contacts.py).
"""

import re
from functools import lru_cache
from typing import Final

import phonenumbers

from schemas.settings.phone import InvalidPhoneNumber, digits

_USER_ID: Final = re.compile(r"[A-Za-z0-9]{1,8}(?:\.[A-Za-z0-9_-]{1,128}){1,2}")
"""Meta's: `CC.…`, `CC.ENT.…` (docs, confirmed). The dot tells it from a number."""

_OWNER: Final = re.compile(r"([0-9]{5,15})(?:~([0-9]{1,4}))?")
"""A number, and which of its owners."""

# WhatsApp's own id keeps a mobile digit that the network dropped or added: Mexico's 1, Argentina's 9, and Brazil's 9 in
# the area codes up to 28 only (a practice that Meta names for the three countries).
_BRAZIL_NINTH_DIGIT_UP_TO: Final = 28


class InvalidContact(ValueError):
    """Neither a phone number with its country code nor a user id. The message never repeats it."""


def contact_id(text: str) -> str:
    """The contact of a number in any spelling, or of a user id; a contact is its own. Raises InvalidContact."""
    try:
        return canonical_number(text)
    except InvalidPhoneNumber as error:
        if (_USER_ID.fullmatch(text) and not text[0].isdigit()) or _OWNER.fullmatch(text):
            return text
        raise InvalidContact(str(error)) from None


def is_number(contact: str) -> bool:
    """Whether the contact is known by a phone number."""
    return contact.isascii() and contact.isdigit()


def next_owner(contact: str) -> str:
    """The contact of whoever has the number next: `34611~2`, `34611~3` … contact: of who had it."""
    found = _OWNER.fullmatch(contact)
    if found is None:
        raise ValueError("not known by a number")
    return f"{found[1]}~{int(found[2] or 1) + 1}"


def address(contact: str, phone: str | None, user_id: str | None) -> str:
    """Where the contact is reached: at their number where one is known, else by user id. Both: as last heard."""
    return phone or (contact if is_number(contact) else user_id or contact)


@lru_cache(maxsize=50_000)
def canonical_number(text: str) -> str:
    """The digits of WhatsApp's own id (wa_id) of the number, whatever its spelling. Raises InvalidPhoneNumber.

    "00" and "+", a zero after the country code, Brazil's ninth digit, Mexico's 1 and Argentina's 9 make no difference.
    """
    return _canonical(digits(text))


# A callback may spell a number in several ways.
@lru_cache(maxsize=50_000)
def _canonical(number: str) -> str:
    try:
        parsed = phonenumbers.parse("+" + number)
    except phonenumbers.NumberParseException:
        return number
    # As E.164, without the zero that is dialled inside a country; of what is no number there, nothing is cut.
    e164 = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164).removeprefix("+")
    known = e164 if e164 == number or phonenumbers.is_valid_number(parsed) else number
    national = known.removeprefix(str(parsed.country_code))
    match parsed.country_code:
        case 55:
            return f"55{_brazilian(national)}"
        case 52 if len(national) == 10:
            return f"521{national}"
        case 54 if len(national) == 10:
            return f"549{national}"
    return known


def _brazilian(national: str) -> str:
    area, local = national[:2], national[2:]
    is_mobile = len(national) in (10, 11) and local[-8] in "6789" and (len(local) == 8 or local[0] == "9")
    if not is_mobile or not area.isdigit():
        return national
    return f"{area}{'9' if int(area) <= _BRAZIL_NINTH_DIGIT_UP_TO else ''}{local[-8:]}"

"""Whom a callback's row is about: a customer has one contact, and may have several names: numbers and user ids.

The rows are intake's, under the channel: `contact/{name}`: the contact that the name stands for; without one a number
stands for itself. Names are joined within a channel only, as a user id means somebody else to another business
(Meta docs, confirmed).
"""

from dataclasses import dataclass, field

from agents.stage import Row, Rows
from schemas.contact import is_number, next_owner


class Name(Row):
    """`contact/{name}`: the contact that a number or user id stands for."""

    contact: str


@dataclass
class Contacts:
    """The names of a channel's customers, as they are and as a callback changes them.

    joined: names that are another contact's from now on, with that contact.
    """

    rows: Rows
    writes: dict[str, Row | None] = field(default_factory=dict)
    joined: list[tuple[str, str]] = field(default_factory=list)

    def of(self, name: str, user_id: str | None = None) -> str:
        """The contact of a customer, who is named by the row so, and by the user id too, where it says both."""
        if user_id is None or user_id == name:
            known = self._get(name)
            if known is None and not is_number(name):
                # So that the thread stays theirs when their number becomes known.
                self._set(name, name)
            return known or name
        # A number may pass to somebody else, a user id may not.
        contact = self._get(user_id) or self._get(name) or name
        self._set(name, contact)
        self._set(user_id, contact)
        return contact

    def renamed(self, old: str, previous_user_id: str | None, phone: str | None, user_id: str | None) -> str:
        """The contact of a customer who has a new number, user id or both. Whoever has the old number next is another.

        old: the number or user id that they had. Said twice, it changes nothing.
        """
        before = self._get(old) or old
        contact = (previous_user_id and self._get(previous_user_id)) or before
        known = phone and self._get(phone)
        if known and before == _owner_after(known, old):
            contact = known
        for name in (phone, user_id):
            if name is not None:
                self._set(name, contact)
        if is_number(old) and phone not in (None, old) and before == contact:
            self._set(old, _owner_after(contact, old))
        return contact

    def _get(self, name: str) -> str | None:
        written = self.writes.get(f"contact/{name}")
        row = written if isinstance(written, Name) else self.rows.get(f"contact/{name}", Name)
        return None if row is None else row.contact

    def _set(self, name: str, contact: str) -> None:
        known = self._get(name)
        if known == contact or (known is None and name == contact and is_number(name)):
            return
        self.writes[f"contact/{name}"] = Name(contact=contact)
        if contact != name and not contact.startswith(f"{name}~"):
            self.joined.append((name, contact))


def _owner_after(contact: str, number: str) -> str:
    return next_owner(contact if contact.partition("~")[0] == number else number)

"""What happens at a provider, in neutral words: customers write, messages of ours are taken and come to their ends."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from pydantic import JsonValue

from simulation.sandbox.accounts import digits, is_user_id
from simulation.sandbox.media import StoredFile

MEDIA_TYPES = ("image", "video", "audio", "document", "sticker")
MEDIA_MIME = {
    "image": "image/jpeg",
    "video": "video/mp4",
    "audio": "audio/ogg",
    "document": "application/pdf",
    "sticker": "image/webp",
}


@dataclass(frozen=True)
class Customer:
    """contact: a phone number, or the user id of who shows none. bsuid: the user id beside the number."""

    contact: str
    name: str | None = None
    bsuid: str | None = None

    @property
    def user_id(self) -> str | None:
        """Meta's id of the user."""
        return self.contact if is_user_id(self.contact) else self.bsuid

    @property
    def wa_id(self) -> str:
        """Digits, without +; empty where the number is not shown."""
        return "" if is_user_id(self.contact) else digits(self.contact)

    @property
    def e164(self) -> str:
        """The number with its +; empty where it is not shown."""
        return f"+{self.wa_id}" if self.wa_id else ""


@dataclass(frozen=True)
class Quote:
    """The message that a reply quotes. id: our own id of it, or the provider's id of a message of the customer's."""

    id: str
    ours: bool = True


@dataclass(frozen=True)
class Written:
    """A customer's message, reaction (text: the emoji) or deletion, or the news that their number changed (system).

    id: the provider's. text: the body, caption, button or list title. target: the provider's id of the message that a
    reaction or deletion is about, or the id of the chosen button or list row. new_contact: of a changed number.
    file: one that the sandbox keeps, in place of a link; base_url: where the provider's API is called.
    """

    id: str
    customer: Customer
    at: datetime
    type: str = "text"
    text: str | None = None
    link: str | None = None
    filename: str | None = None
    file: StoredFile | None = None
    base_url: str = ""
    target: str | None = None
    quotes: Quote | None = None
    new_contact: str | None = None


@dataclass(frozen=True)
class SentMessage:
    """A message of ours at the provider. seed: what its ids derive from: our own id, if it has one.

    copy: how many of the same seed came before. echo: as StandIn.echo gives it; None: nothing of ours comes back.
    """

    seed: str
    customer: Customer
    copy: int = 0
    echo: JsonValue = None


@dataclass(frozen=True)
class Reported:
    """A receipt. status: as agents/status.py has it, or any other word as it is. error_code 0: none."""

    message: SentMessage
    status: str
    at: datetime
    error_code: int = 0
    error_message: str = ""


Happening: TypeAlias = Written | Reported


@dataclass(frozen=True)
class Stage:
    """A status that a message comes to, so many seconds after it was taken. error: code and text."""

    after: float
    status: str
    error: tuple[int, str] = (0, "")


@dataclass(frozen=True)
class Taken:
    """A message that passed through: of ours, with the stages of its life, or a customer's, with its file."""

    at: datetime
    account: str
    message_id: str
    contact: str
    text: str | None
    is_inbound: bool = False
    stages: tuple[Stage, ...] = ()
    file: StoredFile | None = None

    def status(self, now: datetime) -> tuple[str, int]:
        """Where it stands, in a neutral word, and the code of its failure."""
        passed = (now - self.at).total_seconds()
        come_to = [stage for stage in self.stages if stage.after <= passed]
        return (come_to[-1].status, come_to[-1].error[0]) if come_to else ("plan", 0)


@dataclass(frozen=True)
class Mark:
    """A customer's message that was marked as read, with or without the sign that somebody types."""

    at: datetime
    account: str
    message_id: str
    typing: bool


@dataclass(frozen=True)
class ReadStatus:
    """A receipt as read back from a callback. status: a neutral word."""

    message_id: str
    status: str


@dataclass(frozen=True)
class ReadMessage:
    """A customer's message as read back from a callback. at: None where the provider does not say."""

    id: str
    contact: str
    text: str | None
    at: datetime | None


@dataclass(frozen=True)
class ReadCallback:
    """What a callback of the stand-in's holds."""

    inbound: tuple[ReadMessage, ...] = ()
    receipts: tuple[ReadStatus, ...] = ()

"""Documents that GPT agents answer by."""

from datetime import datetime
from typing import ClassVar

from schemas.event import Event


class DocumentSaved(Event):
    """A document of a collection, as it is from now on, cut into passages. Key: `{account}/{collection}/{document}`.

    sha256: of what was added, in hex. media_type: of that.
    """

    type: ClassVar[str] = "document.saved"

    account: str
    collection: str
    document: str
    title: str
    media_type: str
    sha256: str
    passages: tuple[str, ...]
    at: datetime


class DocumentDeleted(Event):
    """It is gone."""

    type: ClassVar[str] = "document.deleted"

    account: str
    collection: str
    document: str

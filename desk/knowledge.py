"""The documents that an account's GPT agents answer by: who has which, and how they are added."""

import asyncio
import hashlib
import logging
from collections.abc import Callable
from datetime import datetime
from typing import IO, Final

from pydantic import BaseModel, ConfigDict

from desk.journal import Audited, Change, Journal
from knowledge.extraction import Extraction
from knowledge.text import Unreadable
from schemas.events.knowledge import DocumentDeleted, DocumentSaved
from schemas.record import UndecodableRecord, decode
from schemas.topics import KNOWLEDGE

logger = logging.getLogger(__name__)

MAX_RECORD_BYTES: Final = 3_000_000
"""Of a document's passages: it is one record, and goes in one transaction."""


class UnknownDocument(LookupError):
    """The account has no such document."""


class KnownDocument(BaseModel):
    """A document without its text. passages: how many; sha256: of the file that was added, in hex."""

    model_config = ConfigDict(frozen=True)

    collection: str
    document: str
    title: str
    media_type: str
    sha256: str
    passages: int
    at: datetime


class DocumentDirectory:
    """The documents of every account: fed from the knowledge topic."""

    def __init__(self) -> None:
        self._documents: dict[tuple[str, str, str], KnownDocument] = {}

    def apply(self, key: bytes, value: bytes | None) -> None:
        """Take in one record of the topic."""
        if value is None:
            return
        try:
            event = decode(value, KNOWLEDGE.types).event
        except UndecodableRecord as error:
            logger.error("a record of the knowledge topic was left out (key %s): %s", key.decode(), error)
            return
        match event:
            case DocumentSaved():
                self._documents[event.account, event.collection, event.document] = _known(event)
            case DocumentDeleted():
                self._documents.pop((event.account, event.collection, event.document), None)

    def find(self, account: str, collection: str, document: str) -> KnownDocument | None:
        """The account's document of that name."""
        return self._documents.get((account, collection, document))

    def documents(self, account: str, collection: str | None = None) -> list[KnownDocument]:
        """The account's documents, or those of one collection, by collection and name."""
        found = (one for (owner, *_), one in self._documents.items() if owner == account)
        chosen = (one for one in found if collection in (None, one.collection))
        return sorted(chosen, key=lambda one: (one.collection, one.document))


class Documents:
    """Adds and deletes documents. All methods raise NotDurable."""

    def __init__(
        self, directory: DocumentDirectory, journal: Journal, extraction: Extraction, clock: Callable[[], datetime]
    ) -> None:
        self.directory = directory
        self._journal, self._extraction, self._clock = journal, extraction, clock

    def by(self, actor: str, action: str) -> "Documents":
        """The same, for changes that the audit is to tell: who makes them, and what they are called."""
        return Documents(self.directory, Audited(self._journal, (actor, action)), self._extraction, self._clock)

    async def save(
        self, account: str, collection: str, document: str, file: IO[bytes], name: str
    ) -> tuple[KnownDocument, bool]:
        """Save what a file holds, as a new document or in place of the one of that name. name: the file's.

        Whether that changed anything: the same bytes again don't. Raises Unreadable.
        """
        file.seek(0)
        sha256 = await asyncio.to_thread(lambda: hashlib.sha256(file.read()).hexdigest())
        known = self.directory.find(account, collection, document)
        if known is not None and known.sha256 == sha256:
            return known, False
        read = await self._extraction.read(file, name)
        saved = DocumentSaved(
            account=account,
            collection=collection,
            document=document,
            title=read.title or name,
            media_type=read.media_type,
            sha256=sha256,
            passages=tuple(read.passages),
            at=self._clock(),
        )
        size = len(saved.model_dump_json().encode())
        if size > MAX_RECORD_BYTES:
            raise Unreadable(
                f"its text has {size:,} bytes, more than {MAX_RECORD_BYTES:,}: split it, for example by chapters"
            )

        def fill(change: Change) -> None:
            change.change_document(saved, self.directory.find(account, collection, document), _known(saved))

        await self._journal.write(fill)
        return _known(saved), True

    async def delete(self, account: str, collection: str, document: str) -> None:
        """Delete a document. Raises UnknownDocument."""

        def fill(change: Change) -> None:
            known = self.directory.find(account, collection, document)
            if known is None:
                raise UnknownDocument(document)
            deleted = DocumentDeleted(account=account, collection=collection, document=document)
            change.change_document(deleted, known, None)

        await self._journal.write(fill)


def _known(saved: DocumentSaved) -> KnownDocument:
    return KnownDocument(
        **saved.model_dump(exclude={"account", "passages"}),
        passages=len(saved.passages),
    )

"""Routes for the documents that GPT agents answer by."""

import tempfile
from typing import Annotated, Final

from aiohttp import web
from pydantic import BaseModel, StringConstraints

from desk.access.permissions import Permission
from desk.api.problems import Problem, not_found
from desk.api.route import Answer, Call, Nothing, Route
from desk.files import NoFile, TooLarge, receive
from desk.knowledge import KnownDocument, UnknownDocument
from desk.office import Office
from knowledge.extraction import MAX_BYTES
from knowledge.text import Unreadable
from schemas.settings.errors import FieldError
from schemas.settings.types import Id, SettingsModel

_IN_MEMORY: Final = 1 << 20


class DocumentAnswer(BaseModel):
    """A document. changed: whether it is another than before."""

    document: KnownDocument
    changed: bool


class DocumentsAnswer(BaseModel):
    """Documents, by collection and name."""

    documents: tuple[KnownDocument, ...]


class CollectionQuery(SettingsModel):
    """collection: one alone."""

    collection: Id | None = None


class NameQuery(SettingsModel):
    """name: of the file: its ending says what bytes alone don't, and it is the title of what has none."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None


class KnowledgeRoutes:
    """Handlers and their routes."""

    def __init__(self, office: Office) -> None:
        self._office = office

    def routes(self) -> tuple[Route, ...]:
        """Their part of the table."""
        all_, one = "/v1/accounts/{account}/knowledge", "/v1/accounts/{account}/knowledge/{collection}/{document}"
        administer = Permission.ADMINISTER
        return (
            Route(
                "GET",
                all_,
                Permission.READ,
                "List the documents that GPT agents answer by.",
                self.list_documents,
                DocumentsAnswer,
                query=CollectionQuery,
            ),
            Route(
                "PUT",
                one,
                administer,
                "Add or replace a document: a file as the body, or in a form.",
                self.save_document,
                DocumentAnswer,
                query=NameQuery,
                problems=(413,),
            ),
            Route("DELETE", one, administer, "Delete a document.", self.delete_document),
        )

    async def list_documents(self, call: Call[None]) -> Answer:
        """Of all collections, or of one."""
        found = self._office.documents.directory.documents(call.path["account"], call.query.collection)
        return Answer(DocumentsAnswer(documents=tuple(found)))

    async def save_document(self, call: Call[None]) -> Answer:
        """Read, and cut into passages. The same bytes again change nothing."""
        account, collection, document = (call.path[part] for part in ("account", "collection", "document"))
        documents = self._office.documents.by(call.actor.id, "save_document")
        with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as file:
            try:
                await receive(call.request, file, MAX_BYTES)
                saved, changed = await documents.save(account, collection, document, file, call.query.name or document)
            except TooLarge:
                detail = f"the file has more than {MAX_BYTES:,} bytes: split it, or leave its pictures out"
                raise Problem(413, "too_large", detail) from None
            except NoFile:
                raise Problem(422, "no_file", "the body holds no file") from None
            except Unreadable as error:
                wrong = FieldError("file", str(error))
                raise Problem(422, "unreadable", "the document can't be used", (wrong,)) from None
            except (web.RequestPayloadError, ValueError):
                raise Problem(400, "unreadable", "the body can't be read") from None
        return Answer(DocumentAnswer(document=saved, changed=changed))

    async def delete_document(self, call: Call[None]) -> Answer:
        """GPT agents answer by it no more."""
        documents = self._office.documents.by(call.actor.id, "delete_document")
        try:
            await documents.delete(call.path["account"], call.path["collection"], call.path["document"])
        except UnknownDocument:
            raise not_found() from None
        return Answer(Nothing())

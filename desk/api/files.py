"""Routes for files: uploaded to be sent, and shown."""

from typing import Any

from aiohttp import web
from pydantic import BaseModel

from desk.access.permissions import Permission
from desk.api.problems import Problem, not_found
from desk.api.reading import shows_file
from desk.api.route import Answer, Call, Route
from desk.files import NoFile, TooLarge
from desk.office import Office


class FileAnswer(BaseModel):
    """A file that is stored, to be named in a reply. mime_type: from its bytes; size: bytes."""

    file: str
    mime_type: str
    size: int


class FileRoutes:
    """Handlers and their routes."""

    def __init__(self, office: Office) -> None:
        self._office = office

    def routes(self) -> tuple[Route, ...]:
        """Their part of the table."""
        files = "/v1/channels/{channel}/media"
        return (
            Route(
                "POST",
                files,
                Permission.ACT,
                "Upload a file to be sent: as the body, or in a form.",
                self.upload_file,
                FileAnswer,
                status=201,
                problems=(413, 422),
            ),
            Route(
                "GET",
                f"{files}/{{file}}",
                Permission.READ,
                "A file of the channel, received or uploaded, or a preview.",
                self.show_file,
                also=(206,),
                problems=(416,),
                media="*/*",
            ),
        )

    async def upload_file(self, call: Call[None]) -> Answer:
        """Of whatever type it says: the bytes tell."""
        try:
            file = await self._office.files.take(call.request, call.path["channel"], call.actor.id)
        except TooLarge as error:
            raise Problem(413, "too_large", str(error)) from None
        except NoFile:
            raise Problem(422, "no_file", "the body holds no file") from None
        except (web.RequestPayloadError, ValueError):
            raise Problem(400, "unreadable", "the body can't be read") from None
        return Answer(FileAnswer(file=file.key, mime_type=file.mime_type, size=file.size))

    async def show_file(self, call: Call[Any]) -> web.StreamResponse:
        """By range, where asked. Of a conversation that the caller may see, or uploaded by them."""
        if not await shows_file(self._office, call.actor, call.path["channel"], call.path["file"]):
            raise not_found()
        shown = await self._office.files.server.show(call.request, call.path["channel"], call.path["file"])
        if shown is None:
            raise not_found()
        return shown

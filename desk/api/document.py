"""The route of the OpenAPI document, which describes all others."""

from collections.abc import Sequence
from typing import Final

from pydantic import JsonValue, RootModel

from desk.api.openapi import openapi
from desk.api.route import Answer, Call, Route

VERSION: Final = "1"


class Document(RootModel[dict[str, JsonValue]]):
    """An OpenAPI 3.1 document."""


class DocumentRoutes:
    """routes: that it describes, beside itself."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = routes

    def routes(self) -> tuple[Route, ...]:
        """Its part of the table."""
        path = "/v1/openapi.json"
        return (Route("GET", path, None, "This document.", self.show_document, Document),)

    async def show_document(self, _call: Call[None]) -> Answer:
        """Of this version's routes."""
        return Answer(Document(openapi((*self._routes, *self.routes()), VERSION)))

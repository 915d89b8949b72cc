"""The routes of the OpenAPI document, which describes all others, and of a page to read it by and to try it."""

from collections.abc import Sequence
from importlib.metadata import distribution
from typing import Final

from aiohttp import web
from pydantic import JsonValue, RootModel

from desk.api.openapi import openapi
from desk.api.route import Answer, Call, Nothing, Route

VERSION: Final = "1"

_FILES: Final = distribution("swagger-ui-py").locate_file("swagger_ui/static")
"""Swagger UI, as the package has it: of the package itself nothing is imported."""
_PAGE: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>LiveDesk control API</title>
<link rel="stylesheet" href="docs/swagger-ui.css">
<div id="page"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/page.js"></script>
</html>
"""
_SCRIPT: Final = 'SwaggerUIBundle({url: "openapi.json", dom_id: "#page", validatorUrl: "none"});\n'
_FROM_HERE: Final = {
    # Its pictures are in its style sheet.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}


class Document(RootModel[dict[str, JsonValue]]):
    """An OpenAPI 3.1 document."""


class DocumentRoutes:
    """routes: that it describes, beside itself."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = routes

    def routes(self) -> tuple[Route, ...]:
        """Its part of the table."""
        path, page, asset = "/v1/openapi.json", "/v1/docs", "/v1/docs/{asset}"
        return (
            Route("GET", path, None, "This document.", self.show_document, Document),
            Route("GET", page, None, "A page to read and try it.", self.show_page, Nothing, media="text/html"),
            Route("GET", asset, None, "What the page is made of.", self.show_asset, Nothing, media="*/*"),
        )

    async def show_document(self, _call: Call[None]) -> Answer:
        """Of this version's routes."""
        return Answer(Document(openapi((*self._routes, *self.routes()), VERSION)))

    async def show_page(self, _call: Call[None]) -> web.Response:
        """Nothing in it is from elsewhere."""
        return web.Response(text=_PAGE, content_type="text/html", headers=_FROM_HERE)

    async def show_asset(self, call: Call[None]) -> web.StreamResponse:
        """Of those that the path's pattern names."""
        if call.path["asset"] == "page.js":
            return web.Response(text=_SCRIPT, content_type="text/javascript")
        return web.FileResponse(str(_FILES.joinpath(call.path["asset"])), headers={"Cache-Control": "no-cache"})

"""The OpenAPI 3.1 document of a table of routes."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from desk.access.sessions import COOKIE
from desk.api.problems import TITLES, ProblemDetails
from desk.api.route import PATTERNS, Route
from desk.freshness import HEADER

REF: Final = "#/components/schemas/{model}"

Json = dict[str, Any]


def openapi(routes: Iterable[Route], version: str) -> Json:
    """The document. Each model is there once, under components."""
    table = tuple(routes)
    schemas, definitions = _schemas(table)
    paths: dict[str, Json] = {}
    for place, route in enumerate(table):
        operation = _operation(route, schemas[f"{place}/answer"], schemas.get(f"{place}/body"))
        paths.setdefault(route.path, {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "LiveDesk control API", "version": version},
        "paths": paths,
        "components": {
            "schemas": definitions,
            "responses": {f"{status}": _refusal(status, schemas["problem"]) for status in sorted(TITLES)},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": COOKIE},
            },
        },
    }


def _schemas(table: tuple[Route, ...]) -> tuple[Mapping[str, Json], Json]:
    """The schemas of answers and bodies, by the route's place, and the definitions that they refer to."""
    inputs: list[tuple[str, JsonSchemaMode, TypeAdapter[Any]]] = []
    for place, route in enumerate(table):
        inputs.append((f"{place}/answer", "serialization", TypeAdapter(route.answer)))
        if route.body is not None:
            inputs.append((f"{place}/body", "validation", route.body))
    inputs.append(("problem", "serialization", TypeAdapter(ProblemDetails)))
    found, rest = TypeAdapter.json_schemas(inputs, ref_template=REF)
    return {name: schema for (name, _), schema in found.items()}, rest.get("$defs", {})


def _refusal(status: int, problem: Json) -> Json:
    return {"description": TITLES[status], "content": {"application/problem+json": {"schema": problem}}}


def _operation(route: Route, answer: Json, body: Json | None) -> Json:
    responses = {
        str(status): {"description": "OK", "content": {route.media: {"schema": answer}}}
        for status in (route.status, *route.also)
    }
    responses |= {str(status): {"$ref": f"#/components/responses/{status}"} for status in route.refusals}
    operation: Json = {
        "operationId": route.name,
        "summary": route.summary,
        "parameters": [*_path(route), *_query(route.query), *_headers(route)],
        "responses": responses,
        "security": [] if route.permission is None else [{"token": []}, {"session": []}],
    }
    if body is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return operation


_HEADERS: Final[Mapping[str, tuple[str, int]]] = {
    "If-Match": ("The ETag that the change is based on.", 80),
    "Last-Event-ID": ("The id that came last: what changed since then follows.", 80),
    HEADER: ("As an answer to a change had it: wait until the view has read so far.", 8_000),
}
"""Of each header that a route may heed, what it says, and its length at most."""


def _headers(route: Route) -> list[Json]:
    found = []
    for name in (*(("If-Match",) if route.conditional else ()), *route.headers):
        description, length = _HEADERS[name]
        schema = {"type": "string", "maxLength": length}
        found.append({"name": name, "in": "header", "required": False, "description": description, "schema": schema})
    return found


def _path(route: Route) -> list[Json]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "pattern": f"^{PATTERNS[name]}$"}}
        for name in route.parameters
    ]


def _query(model: type[BaseModel] | None) -> list[Json]:
    if model is None:
        return []
    schema = model.model_json_schema(ref_template=REF)
    required = schema.get("required", [])
    return [
        {
            "name": name,
            "in": "query",
            "required": name in required,
            "description": field.get("description", ""),
            "schema": {key: value for key, value in field.items() if key != "description"},
        }
        for name, field in schema.get("properties", {}).items()
    ]

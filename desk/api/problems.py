"""Answers other than success, as RFC 9457 says: application/problem+json."""

from collections.abc import Iterable, Mapping
from typing import Final

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError

from schemas.settings.errors import FieldError, InvalidSettings

TITLES: Final[Mapping[int, str]] = {
    400: "The request can't be read",
    401: "Who calls is not known",
    403: "Not allowed",
    404: "Not found",
    405: "Not for this address",
    409: "It can't be done now",
    412: "Changed meanwhile",
    413: "Too large",
    415: "Not JSON",
    416: "Not within the file",
    422: "Not valid",
    429: "Too many requests",
    500: "Our fault",
    502: "The provider gave no usable answer",
    503: "Not possible now",
    504: "The provider can't be reached",
}


class ProblemField(BaseModel):
    """What is wrong with one field. field: its path, such as `rules[0].to.id`; empty: the whole."""

    model_config = ConfigDict(frozen=True)

    field: str
    message: str


class ProblemDetails(BaseModel):
    """A refusal. code: stable, for programs; detail: for people, and says what to do; errors: field by field."""

    model_config = ConfigDict(frozen=True)

    type: str = "about:blank"
    title: str
    status: int
    code: str
    detail: str
    errors: tuple[ProblemField, ...] = ()


class Problem(Exception):
    """The answer is a refusal."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        errors: Iterable[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail
        self.errors, self.headers = tuple(errors), dict(headers or {})

    def response(self) -> web.Response:
        """The answer itself."""
        details = ProblemDetails(
            title=TITLES.get(self.status, "Refused"),
            status=self.status,
            code=self.code,
            detail=self.detail,
            errors=tuple(ProblemField(field=error.field, message=error.message) for error in self.errors),
        )
        return web.Response(
            body=orjson.dumps(details.model_dump()),
            status=self.status,
            headers=self.headers,
            content_type="application/problem+json",
        )


def not_found() -> Problem:
    """The same for what is not there and for what the caller may not see."""
    return Problem(404, "not_found", "there is nothing here that you may see")


def bad_cursor() -> Problem:
    """A page can't be found by its cursor."""
    return Problem(422, "bad_cursor", "the cursor is none of this list's: begin without one")


def not_valid(error: ValidationError, *, tagged: bool = False) -> Problem:
    """What pydantic found. tagged: each path starts with the tag of a union, which is no field."""
    errors = InvalidSettings.from_pydantic(error).errors
    if tagged:
        errors = tuple(FieldError(one.field.partition(".")[2], one.message) for one in errors)
    return Problem(422, "not_valid", "the request can't be used", errors)

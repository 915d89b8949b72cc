"""The one exception for settings that were refused."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Self

from pydantic import ValidationError
from pydantic_core import ErrorDetails


@dataclass(frozen=True)
class FieldError:
    """One wrong field: its dotted path (`business_hours.week.mon[0]`; empty: the whole) and what is wrong with it."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


class InvalidSettings(ValueError):
    """Settings were refused. `errors` names every wrong field; no message holds the value of a secret."""

    def __init__(self, errors: tuple[FieldError, ...]) -> None:
        super().__init__("; ".join(str(error) for error in errors))
        self.errors = errors

    @classmethod
    def from_pydantic(cls, exc: ValidationError) -> Self:
        """Say in plain words what pydantic found."""
        details = exc.errors(include_url=False, include_input=False)
        return cls(tuple(FieldError(_path(detail["loc"]), _message(detail)) for detail in details))


def repeated_ids(field: str, ids: tuple[str, ...]) -> Iterator[FieldError]:
    """An error for each id that stood before; `{}` in field is its index."""
    for index, id_ in enumerate(ids):
        if id_ in ids[:index]:
            yield FieldError(field.format(index), f"{id_!r} is there twice")


_MESSAGES: Mapping[str, str] = {
    "missing": "is required",
    "extra_forbidden": "is not a known setting",
    "bool_type": "must be true or false",
    "string_type": "must be text (in YAML, put it in quotes)",
    "string_pattern_mismatch": "must be 1 to 64 letters, digits, '_', '.' or '-', the first a letter or digit",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
    "too_long": "must have at most {max_length}",
    "string_too_long": "must be at most {max_length} characters",
    "int_type": "must be a whole number",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "tuple_type": "must be a list",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "invalid_key": "is not a known setting",
    "union_tag_not_found": "{discriminator} is required",
    "union_tag_invalid": "{discriminator} must be one of {expected_tags}",
    "value_error": "{error}",
}


def _path(loc: tuple[int | str, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).removeprefix(".")


def _message(detail: ErrorDetails) -> str:
    known = _MESSAGES.get(detail["type"])
    return detail["msg"] if known is None else known.format(**detail.get("ctx", {}))

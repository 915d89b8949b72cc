"""Routing rules: which conversation goes to whom. Finding who can take it is the assignment stage's."""

from collections.abc import Mapping
from typing import Final, Literal

from pydantic import Field, ValidationInfo, ValidatorFunctionWrapHandler, field_validator

from schemas.contact import canonical_number
from schemas.settings.patterns import check_pattern
from schemas.settings.phone import InvalidPhoneNumber, digits
from schemas.settings.types import Id, Name, SettingsModel

RuleField = Literal[
    "text",
    "message.type",
    "contact.phone",
    "contact.name",
    "contact.returning",
    "channel",
    "label",
    "hour",
    "business_hours",
]
Op = Literal["equals", "not_equals", "contains", "starts_with", "matches", "in", "exists"]
ConditionValue = str | int | bool | tuple[str | int, ...]

MAX_VALUE: Final = 1000
"""Characters of a condition's text."""

_EXACT: Final = frozenset({"equals", "not_equals"})
_CHOICE: Final = _EXACT | {"in"}
_ALWAYS_THERE: Final = _CHOICE | {"contains", "starts_with", "matches"}
_ALL: Final = _ALWAYS_THERE | {"exists"}
_OPS: Final[Mapping[str, frozenset[str]]] = {
    "text": _ALL,
    "message.type": _ALWAYS_THERE,
    "contact.phone": _ALL,
    "contact.name": _ALL,
    "contact.returning": _EXACT,
    "channel": _ALWAYS_THERE,
    "label": _ALL,
    "hour": _CHOICE,
    "business_hours": _CHOICE,
}


class Condition(SettingsModel):
    """What must hold of a conversation's message.

    value, by op and field: `exists`: true or false (left out: true); `in`: a list; `matches`: a pattern for
    pattern_matches; contact.returning: true or false; hour: 0 to 23; business_hours: open or closed; otherwise text.
    Values of contact.phone are kept as digits without "+", as a contact's are (a pattern stays as it is).
    """

    field: RuleField
    op: Op
    value: ConditionValue = Field(default="", validate_default=True)

    @field_validator("op")
    @classmethod
    def _op_fits(cls, op: Op, info: ValidationInfo) -> Op:
        field = info.data.get("field")
        if field is not None and op not in _OPS[field]:
            raise ValueError(f"{op} makes no sense for {field}: use one of {', '.join(sorted(_OPS[field]))}")
        return op

    # "wrap", not "plain": pydantic (2.14) can't write a plain one's tuples as JSON without a warning.
    @field_validator("value", mode="wrap")
    @classmethod
    def _value_fits(cls, value: object, _: ValidatorFunctionWrapHandler, info: ValidationInfo) -> ConditionValue:
        field, op = info.data.get("field"), info.data.get("op")
        if field is None or op is None:
            return ""  # refused already, by the name of what is wrong
        if op == "exists":
            return True if value == "" else _boolean(value)
        if op != "in":
            return _single(field, op, value)
        if not isinstance(value, list | tuple) or not value:
            raise ValueError("must be a list of at least one value")
        return tuple(_single(field, "equals", item) for item in value)


def _single(field: str, op: str, value: object) -> str | int | bool:
    match field:
        case "contact.returning":
            return _boolean(value)
        case "hour":
            if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 23:
                raise ValueError("must be an hour, from 0 to 23")
            return value
        case "business_hours":
            if value not in ("open", "closed"):
                raise ValueError("must be open or closed")
            return str(value)
    text = _text(value)
    if op == "matches":
        check_pattern(text)
    elif field == "contact.phone":
        return _phone(op, text)
    return text


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("must be text (in YAML, put it in quotes)")
    if not value:
        raise ValueError("must not be empty (use exists to ask whether there is any)")
    if len(value) > MAX_VALUE:
        raise ValueError(f"must be at most {MAX_VALUE} characters")
    return value


def _phone(op: str, text: str) -> str:
    if op == "contains" and text.isascii() and text.isdigit():
        return text
    try:
        return canonical_number(text) if op in ("equals", "not_equals") else digits(text)
    except InvalidPhoneNumber as exc:
        raise ValueError(f"is not a phone number or its beginning: {exc}") from None


class Target(SettingsModel):
    """Whom a rule gives the conversation to: a human agent, one of a team, or an AI agent of the channel."""

    kind: Literal["human", "team", "ai"]
    id: Id


class RoutingRule(SettingsModel):
    """All conditions must hold; without any, it always applies."""

    name: Name = ""
    when: tuple[Condition, ...] = ()
    to: Target

"""What the audit topic shows of a setting, a token or a user: all but its secrets."""

from pydantic import BaseModel, JsonValue, SecretBytes, SecretStr, TypeAdapter
from pydantic_core import to_jsonable_python

_JSON: TypeAdapter[JsonValue] = TypeAdapter(JsonValue)


def shown(model: BaseModel | None) -> JsonValue:
    """The model as JSON. What is a secret by its type, or is kept out of its repr, is left out, also inside others."""
    return None if model is None else _JSON.validate_python(_visible(model))


def _visible(value: object) -> object:
    match value:
        case BaseModel():
            fields = type(value).model_fields.items()
            seen = {name: getattr(value, name) for name, field in fields if field.repr and not field.exclude}
            return {
                name: _visible(inner) for name, inner in seen.items() if not isinstance(inner, SecretStr | SecretBytes)
            }
        case dict():
            return {str(key): _visible(inner) for key, inner in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_visible(inner) for inner in value if not isinstance(inner, SecretStr | SecretBytes)]
        case SecretStr() | SecretBytes():
            return None
        case _:
            return to_jsonable_python(value)

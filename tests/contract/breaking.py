"""What a change of the contract would take from those who read the topics, or who read what is kept on them."""

from collections.abc import Iterator, Mapping

from pydantic import AliasPath, BaseModel, ConfigDict, Field, JsonValue, model_validator

from deploy.contract import ASYNCAPI, OPENAPI, Documents


def breaking_changes(old: Documents, new: Documents) -> list[str]:
    """One sentence for each change that breaks a consumer of the old contract. None: the new one may be released.

    A consumer ignores what it does not know: new types, new properties with a default and new values of an enum pass.
    """
    found: list[str] = []
    for path, document in old.items():
        name = path.removeprefix("events/").removesuffix(".json")
        if path == ASYNCAPI:
            found += _topics(_AsyncApi.model_validate(document), _AsyncApi.model_validate(new[path]))
        elif path == OPENAPI:
            found += _operations(_OpenApi.model_validate(document), _OpenApi.model_validate(new[path]))
        elif path not in new:
            found.append(f"{name}: the type is gone, those who wait for it get nothing any more")
        else:
            found += _Comparison(document, new[path]).of_the_documents(name)
    return found


class _Schema(BaseModel):
    """The part of JSON Schema that the models need. Another keyword is an error: the comparison must learn it first."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dialect: str = Field("", alias="$schema")
    ref: str = Field("", alias="$ref")
    defs: Mapping[str, "_Schema"] = Field({}, alias="$defs")
    title: str = ""
    description: str = ""
    type: str = ""
    format: str = ""
    default: JsonValue = None
    const: JsonValue = None
    enum: tuple[JsonValue, ...] = ()
    properties: Mapping[str, "_Schema"] = {}
    patterns: Mapping[str, "_Schema"] = Field({}, alias="patternProperties")
    required: frozenset[str] = frozenset()
    entries: "_Schema | None" = Field(None, alias="additionalProperties")
    items: "_Schema | None" = None
    branches: tuple["_Schema", ...] = Field((), alias="anyOf")

    @model_validator(mode="before")
    @classmethod
    def _anything(cls, schema: object) -> object:
        return {} if schema is True else schema

    @property
    def values(self) -> list[JsonValue]:
        """The values that it is limited to; none: any."""
        return [*self.enum, *([] if self.const is None else [self.const])]


class _Message(BaseModel):
    key: str = Field(validation_alias=AliasPath("bindings", "kafka", "key", "description"))
    headers: dict[str, JsonValue] = {}


class _Channel(BaseModel):
    address: str
    messages: Mapping[str, _Message]


class _AsyncApi(BaseModel):
    channels: Mapping[str, _Channel]


class _Parameter(BaseModel):
    name: str
    required: bool


class _Operation(BaseModel):
    parameters: tuple[_Parameter, ...]
    responses: dict[str, JsonValue]


class _OpenApi(BaseModel):
    paths: Mapping[str, Mapping[str, _Operation]]


def _operations(old: _OpenApi, new: _OpenApi) -> Iterator[str]:
    for path, methods in old.paths.items():
        for method, was in methods.items():
            now = new.paths.get(path, {}).get(method)
            if now is None:
                yield f"{method.upper()} {path} is gone"
                continue
            for status in sorted(was.responses.keys() - now.responses.keys()):
                yield f"{method.upper()} {path} does not answer {status} any more"
            needed = {parameter.name for parameter in now.parameters if parameter.required}
            for name in sorted(needed - {parameter.name for parameter in was.parameters if parameter.required}):
                yield f"{method.upper()} {path} needs {name}, which callers don't send"


def _topics(old: _AsyncApi, new: _AsyncApi) -> Iterator[str]:
    for name, was in old.channels.items():
        now = new.channels.get(name)
        if now is None or now.address != was.address:
            yield f"topic {name}: {was.address} is gone, its readers get nothing any more"
            continue
        for type, message in was.messages.items():
            if type not in now.messages:
                yield f"topic {name}: {type} is not on it any more, its readers don't get it"
                continue
            if (key := now.messages[type].key) != message.key:
                yield f"topic {name}: {type} is keyed by {key}, not by {message.key}: readers lose the order by it"
            yield from _Comparison(message.headers, now.messages[type].headers).of_the_documents(f"{type}, headers")


class _Comparison:
    """Of two schemas."""

    def __init__(self, old: dict[str, JsonValue], new: dict[str, JsonValue]) -> None:
        self._old, self._new = _Schema.model_validate(old), _Schema.model_validate(new)

    def of_the_documents(self, name: str) -> list[str]:
        return list(self._compare(f"{name}:", self._old, self._new))

    def _compare(self, where: str, old: _Schema, new: _Schema) -> Iterator[str]:
        was, now = _kinds(old, self._old.defs), _kinds(new, self._new.defs)
        if was.keys() != now.keys():
            yield f"{where} is {' or '.join(now)}, and those who read it expect {' or '.join(was)}"
            return
        for kind, before in was.items():
            after = now[kind]
            yield from self._values(where, before, after)
            yield from self._properties(where, before, after)
            if before.items is not None and after.items is not None:
                yield from self._compare(f"{where}[]", before.items, after.items)
            if before.entries is not None and after.entries is not None:
                yield from self._compare(f"{where}.*", before.entries, after.entries)

    def _values(self, where: str, old: _Schema, new: _Schema) -> Iterator[str]:
        if new.values and not old.values:
            yield f"{where} takes only {new.values}, so what was written with others can't be read any more"
        for value in old.values:
            if new.values and value not in new.values:
                yield f"{where} does not take {value!r} any more, so what was written with it can't be read"

    def _properties(self, where: str, old: _Schema, new: _Schema) -> Iterator[str]:
        for name, before in old.properties.items():
            inside, after = _inside(where, name), new.properties.get(name)
            if after is None:
                yield f"{inside} is gone, those who read it find nothing"
                continue
            if name in old.required - new.required:
                yield f"{inside} may be left out, those who rely on it find nothing"
            elif name not in new.required and after.default != before.default:
                yield f"{inside} means {after.default!r} when left out, those who know it read {before.default!r}"
            yield from self._compare(inside, before, after)
        for name in sorted(new.required - old.required):
            yield f"{_inside(where, name)} is required, so what was written without it can't be read any more"


def _kinds(schema: _Schema, defs: Mapping[str, _Schema]) -> dict[str, _Schema]:
    """What it can be: a JSON type, the format where it has one, or map -> its schema, references followed."""
    if schema.ref:
        return _kinds(defs[schema.ref.removeprefix("#/$defs/")], defs)
    if schema.branches:
        return {kind: found for branch in schema.branches for kind, found in _kinds(branch, defs).items()}
    kind = schema.format or schema.type or "anything"
    return {"map" if schema.entries is not None else kind: schema}


def _inside(where: str, name: str) -> str:
    return f"{where} {name}" if where.endswith(":") else f"{where}.{name}"

"""Checks a scenario's result against its `expect` part."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue

from schemas.settings.errors import FieldError

KEYS: Final = (
    "sent",
    "sent_count",
    "conversations",
    "messages",
    "surveys",
    "refused",
    "open",
    "report",
    "dead_letters",
    "assigned",
    "ai_calls",
    "ai_shown",
)
_MATCHERS: Final = ("in", "not", "absent", "present", "regex", "any_order")
_RANGE: Final = frozenset({"min", "max"})


@dataclass(frozen=True)
class Difference:
    """Where the result is not as expected."""

    where: str
    expected: JsonValue
    got: JsonValue

    def __str__(self) -> str:
        return f"{self.where}: expected {_json(self.expected)}, got {_json(self.got)}"


def check(expected: Mapping[str, JsonValue], result: Mapping[str, JsonValue]) -> tuple[Difference, ...]:
    """Every difference. result: as JSON; what `expect` does not name is not checked."""
    return tuple(
        difference
        for key, wanted in expected.items()
        for difference in _differences(key, wanted, _view(key, wanted, result))
    )


def problems(expected: Mapping[str, JsonValue]) -> Iterator[FieldError]:
    """What is wrong with an `expect` part itself."""
    for key, wanted in expected.items():
        if key not in KEYS:
            yield FieldError(f"expect.{key}", f"is not known: {', '.join(KEYS)} are")
        for where, pattern in _patterns(f"expect.{key}", wanted):
            try:
                re.compile(pattern)
            except re.error as error:
                yield FieldError(where, f"is not a regular expression: {error}")


def _view(key: str, wanted: JsonValue, result: Mapping[str, JsonValue]) -> JsonValue:
    """The result as that key of `expect` sees it."""
    sent = _objects(result.get("sent"))
    conversations = _objects(result.get("conversations"))
    match key:
        case "sent":
            view: list[JsonValue] = [one for one in sent if one.get("kind") != "reply" or _names_replies(wanted)]
            return view
        case "sent_count":
            kinds = Counter(str(one.get("kind")) for one in sent)
            return {kind: kinds[kind] for kind in (wanted if isinstance(wanted, dict) else kinds)}
        case "assigned":
            ids = Counter(_assignee(one) for one in conversations)
            return {id: ids[id] for id in (wanted if isinstance(wanted, dict) else ids)}
        case "messages":
            return _by_id(_objects(result.get("messages")), wanted)
    return result.get(key)


def _by_id(messages: Sequence[Mapping[str, JsonValue]], wanted: JsonValue) -> JsonValue:
    # Ids are unique inside a channel only: of several messages with an id, one that is as expected is enough.
    found: dict[str, JsonValue] = {}
    for message in messages:
        id = str(message.get("id"))
        known = found.get(id)
        expected = wanted.get(id) if isinstance(wanted, dict) else None
        if known is None or _differences(id, expected, known):
            found[id] = dict(message)
    return found


def _differences(where: str, expected: JsonValue, got: JsonValue) -> list[Difference]:
    if isinstance(expected, dict):
        if _is_matcher(expected):
            return [] if _matches(expected, got) else [Difference(where, expected, got)]
        if not isinstance(got, dict):
            return [Difference(where, expected, got)]
        inner = ((f"{where}.{key}", wanted, got.get(key)) for key, wanted in expected.items())
        return [difference for part in inner for difference in _differences(*part)]
    if isinstance(expected, list):
        if not isinstance(got, list) or len(got) != len(expected):
            return [Difference(where, expected, _in_brief(expected, got))]
        pairs = zip(expected, got, strict=True)
        items = ((f"{where}[{index}]", wanted, item) for index, (wanted, item) in enumerate(pairs))
        return [difference for part in items for difference in _differences(*part)]
    if isinstance(got, list) and _number(expected) is not None:
        got = len(got)
    return [] if _equal(expected, got) else [Difference(where, expected, got)]


def _in_brief(expected: Sequence[JsonValue], got: JsonValue) -> JsonValue:
    """What is there, with the fields alone that the expected items name."""
    named = {key for item in expected if isinstance(item, dict) for key in item}
    if not named or not isinstance(got, list):
        return got
    return [{key: item[key] for key in item if key in named} if isinstance(item, dict) else item for item in got]


def _is_matcher(expected: Mapping[str, JsonValue]) -> bool:
    keys = set(expected)
    return bool(keys) and (keys <= _RANGE or (len(keys) == 1 and keys <= set(_MATCHERS)))


def _matches(matcher: Mapping[str, JsonValue], got: JsonValue) -> bool:
    match matcher:
        case {"in": list(choices)}:
            return any(not _differences("", choice, got) for choice in choices)
        case {"not": unwanted}:
            return bool(_differences("", unwanted, got))
        case {"absent": bool(absent)}:
            return (got is None) == absent
        case {"present": bool(present)}:
            return (got is not None) == present
        case {"regex": str(pattern)}:
            return isinstance(got, str) and re.search(pattern, got) is not None
        case {"any_order": list(items)}:
            return isinstance(got, list) and len(items) == len(got) and _pair(items, got)
    return _in_range(matcher, got)


def _in_range(matcher: Mapping[str, JsonValue], got: JsonValue) -> bool:
    number = _number(len(got) if isinstance(got, list) else got)
    low, high = _number(matcher.get("min")), _number(matcher.get("max"))
    return number is not None and (low is None or number >= low) and (high is None or number <= high)


def _pair(items: Sequence[JsonValue], got: Sequence[JsonValue]) -> bool:
    """Whether each item can have a value of its own: an item may match several values, so pairs may be rearranged."""
    fits = [[index for index, value in enumerate(got) if not _differences("", item, value)] for item in items]
    taken: dict[int, int] = {}

    def place(item: int, tried: set[int]) -> bool:
        for index in fits[item]:
            if index not in tried:
                tried.add(index)
                if index not in taken or place(taken[index], tried):
                    taken[index] = item
                    return True
        return False

    return all(place(item, set()) for item in range(len(items)))


def _equal(expected: JsonValue, got: JsonValue) -> bool:
    # In Python true equals 1.
    return isinstance(expected, bool) == isinstance(got, bool) and expected == got


def _number(value: JsonValue) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _names_replies(wanted: JsonValue) -> bool:
    if isinstance(wanted, dict):
        return any(
            (key == "kind" and "reply" in _json(value)) or _names_replies(value) for key, value in wanted.items()
        )
    return isinstance(wanted, list) and any(_names_replies(item) for item in wanted)


def _patterns(where: str, wanted: JsonValue) -> Iterator[tuple[str, str]]:
    if isinstance(wanted, dict):
        for key, value in wanted.items():
            if key == "regex" and isinstance(value, str):
                yield where, value
            yield from _patterns(f"{where}.{key}", value)
    elif isinstance(wanted, list):
        for index, item in enumerate(wanted):
            yield from _patterns(f"{where}[{index}]", item)


def _objects(value: JsonValue) -> list[dict[str, JsonValue]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _assignee(conversation: Mapping[str, JsonValue]) -> str:
    assignee = conversation.get("assignee")
    return str(assignee.get("id")) if isinstance(assignee, dict) else "nobody"


def _json(value: JsonValue) -> str:
    return json.dumps(value, ensure_ascii=False)

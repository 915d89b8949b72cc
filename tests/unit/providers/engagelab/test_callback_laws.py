"""What holds for every callback, however it is damaged."""

import copy
import json
from pathlib import Path

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.engagelab.callbacks import parse_callback
from providers.rows import BadRow, CallbackRow, InboundMessage, InboundNotice, Notification, Receipt

Json = dict[str, object]


def paths(value: object, at: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if not isinstance(value, dict):
        return [at]
    return [*([at] if at else []), *(path for key, inner in value.items() for path in paths(inner, (*at, key)))]


LAW = settings(max_examples=200, deadline=None)
BODIES = [path.read_bytes() for path in sorted((Path(__file__).parents[3] / "fixtures" / "engagelab").glob("*.json"))]
ROWS: list[Json] = [row for body in BODIES for row in orjson.loads(body)["rows"]]
KEYS = st.sampled_from(sorted({"rows", *(key for row in ROWS for path in paths(row) for key in path)}))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(["whatsapp", "34611222333", "received", "text"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=10,
)


def parse(body: bytes) -> tuple[CallbackRow, ...]:
    return parse_callback(body, phone_number="+34910000777").rows


def parse_row(row: Json) -> CallbackRow:
    (result,) = parse(json.dumps({"rows": [row]}).encode())
    return result


@st.composite
def mutated_rows(draw: st.DrawFn) -> Json:
    """A valid row in which one value, at any depth, is deleted, replaced or doubled under another key."""
    row = copy.deepcopy(draw(st.sampled_from(ROWS)))
    *parents, last = draw(st.sampled_from(paths(row)))
    target = row
    for parent in parents:
        inner = target[parent]
        assert isinstance(inner, dict)
        target = inner
    match draw(st.sampled_from(["delete", "replace", "double"])):
        case "delete":
            del target[last]
        case "replace":
            target[last] = draw(JSON)
        case _:
            target[draw(KEYS)] = target[last]
    return row


@LAW
@given(st.binary())
def test_no_bytes_raise(body: bytes) -> None:
    assert all(isinstance(row, BadRow) for row in parse(body))


@LAW
@given(JSON, st.booleans())
def test_no_json_raises(value: object, in_rows: bool) -> None:
    parse(json.dumps({"rows": [value]} if in_rows else value).encode())


@LAW
@given(st.sampled_from(BODIES), st.data())
def test_no_damaged_body_raises(body: bytes, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(body)))
    end = data.draw(st.integers(start, min(len(body), start + 20)))
    parse(body[:start] + data.draw(st.binary(max_size=4)) + body[end:])
    (truncated,) = parse(body.rstrip()[:-1][:start])
    assert isinstance(truncated, BadRow)
    assert truncated.reason == "invalid_json"


@LAW
@given(st.lists(mutated_rows(), max_size=4), st.integers(0, 4))
def test_each_row_gives_one_result_and_a_good_one_is_untouched_by_its_neighbours(rows: list[Json], place: int) -> None:
    good = ROWS[0]
    batch = [*rows[:place], good, *rows[place:]]
    results = parse(json.dumps({"total": 1, "rows": batch}).encode())
    assert len(results) == len(batch)
    assert results == tuple(parse_row(row) for row in batch)
    assert results[min(place, len(rows))] == parse_row(good)


@LAW
@given(mutated_rows())
def test_every_result_keeps_its_promises(row: Json) -> None:
    match parse_row(row):
        case InboundMessage() | InboundNotice() as inbound:
            assert inbound.contact.isdigit()
            assert 0 < len(inbound.message_id) <= 256
        case Receipt() as got:
            assert got.contact or got.ref_key
            assert 0 < len(got.provider_message_id) <= 256
        case Notification() as news:
            assert news.event
        case BadRow() as refused:
            assert orjson.loads(refused.row).keys() == row.keys()


@LAW
@given(mutated_rows())
def test_every_result_can_be_written_as_json(row: Json) -> None:
    result = parse_row(row)
    if not isinstance(result, BadRow):
        orjson.dumps(result, default=lambda content: content.model_dump(mode="json"))

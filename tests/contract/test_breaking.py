"""The comparison of two states of the contract finds what breaks a consumer, and nothing else."""

import copy
from typing import Any, Literal

import pytest
from pydantic import BaseModel, JsonValue, create_model

from deploy.contract import ASYNCAPI, OPENAPI, Document, documents
from tests.contract.breaking import breaking_changes


class Seat(BaseModel):
    row: int


class Booked(BaseModel):
    seat: Seat
    guest: str
    paid: Literal["card", "cash"] = "card"
    note: str | None = None
    extras: tuple[Seat, ...] = ()
    prices: dict[str, int] = {}


class Shorter(BaseModel):
    seat: Seat
    paid: Literal["card", "cash"] = "card"
    note: str | None = None
    extras: tuple[Seat, ...] = ()
    prices: dict[str, int] = {}


def changed(base: type[BaseModel] = Booked, **fields: tuple[object, object]) -> type[BaseModel]:
    return create_model("Booked", __base__=base, **fields)  # type: ignore[call-overload, no-any-return]


OTHER_SEAT = create_model("Seat", line=(int, ...))
WIDER_SEAT = create_model("Seat", __base__=Seat, __doc__="Described anew.", side=(str, "left"))


@pytest.mark.parametrize(
    ("after", "lost"),
    [
        (Shorter, ["guest is gone, those who read it find nothing"]),
        (
            changed(Shorter, visitor=(str, ...)),
            ["guest is gone", "visitor is required, so what was written without it can't be read"],
        ),
        (
            changed(seat=(OTHER_SEAT, ...), extras=(tuple[OTHER_SEAT, ...], ())),
            ["seat.row is gone", "seat.line is required", "extras[].row is gone", "extras[].line is required"],
        ),
        (changed(guest=(int, ...)), ["guest is integer, and those who read it expect string"]),
        (changed(guest=(str | None, ...)), ["guest is string or null, and those who read it expect string"]),
        (changed(prices=(dict[str, str], {})), ["prices.* is string, and those who read it expect integer"]),
        (changed(prices=(Seat, ...)), ["prices is object, and those who read it expect map", "prices is required"]),
        (changed(price=(int, ...)), ["price is required"]),
        (changed(note=(str | None, ...)), ["note is required"]),
        (changed(guest=(str, "")), ["guest may be left out, those who rely on it find nothing"]),
        (
            changed(paid=(Literal["card"], "card")),
            ["paid does not take 'cash' any more, so what was written with it can't be read"],
        ),
        (
            changed(guest=(Literal["Ada"], ...)),
            ["guest takes only ['Ada'], so what was written with others can't be read"],
        ),
        (
            changed(paid=(Literal["card", "cash"], "cash")),
            ["paid means 'cash' when left out, those who know it read 'card'"],
        ),
    ],
)
def test_a_consumer_would_lose(after: type[BaseModel], lost: list[str]) -> None:
    found = breaking_changes(event(Booked), event(after))
    assert len(found) == len(lost)
    for sentence, beginning in zip(found, lost, strict=True):
        assert sentence.startswith(f"seat.booked: {beginning}")


def test_a_consumer_survives_what_it_may_ignore() -> None:
    paid = Literal["card", "cash", "voucher"]
    wider = changed(seat=(WIDER_SEAT, ...), paid=(paid, "card"), guest_id=(str | None, None))
    assert breaking_changes(event(Booked), event(wider) | {"events/seat.freed.json": {}}) == []


def test_a_type_that_is_gone() -> None:
    (found,) = breaking_changes(event(Booked), {})
    assert found == "seat.booked: the type is gone, those who wait for it get nothing any more"


def test_a_keyword_that_the_comparison_does_not_know_is_an_error() -> None:
    with pytest.raises(ValueError, match="maxLength"):
        breaking_changes(event(Booked), {"events/seat.booked.json": {"type": "string", "maxLength": 3}})


def test_topics() -> None:
    assert breaking_changes(topics(), topics()) == []
    assert breaking_changes(topics(), topics(address="box.seats.v2")) == [
        "topic seats: box.seats.v1 is gone, its readers get nothing any more"
    ]
    assert breaking_changes(topics(), topics(type="seat.taken")) == [
        "topic seats: seat.booked is not on it any more, its readers don't get it"
    ]
    assert breaking_changes(topics(), topics(key="guest")) == [
        "topic seats: seat.booked is keyed by guest, not by hall: readers lose the order by it"
    ]
    assert breaking_changes(topics(), topics(header="stamp")) == [
        "seat.booked, headers: at is gone, those who read it find nothing"
    ]


def event(model: type[BaseModel]) -> dict[str, Document]:
    return {"events/seat.booked.json": model.model_json_schema()}


def topics(
    address: str = "box.seats.v1", type: str = "seat.booked", key: str = "hall", header: str = "at"
) -> dict[str, Document]:
    headers: JsonValue = {"type": "object", "properties": {header: {"type": "string"}}}
    message: JsonValue = {"bindings": {"kafka": {"key": {"description": key}}}, "headers": headers}
    return {ASYNCAPI: {"channels": {"seats": {"address": address, "messages": {type: message}}}}}


def test_a_route_that_callers_lose() -> None:
    old = documents()
    new = copy.deepcopy(old)
    paths: Any = new[OPENAPI]["paths"]
    del paths["/v1/accounts"]["get"]
    del paths["/v1/channels"]["post"]["responses"]["409"]
    paths["/v1/channels"]["get"]["parameters"].append({"name": "account", "in": "query", "required": True})
    assert sorted(breaking_changes(old, new)) == [
        "GET /v1/accounts is gone",
        "GET /v1/channels needs account, which callers don't send",
        "POST /v1/channels does not answer 409 any more",
    ]
    assert breaking_changes(new, old) == []

"""The comparison of two states of the contract finds what breaks a consumer, and nothing else."""

from typing import Literal

import pytest
from pydantic import BaseModel, JsonValue

from deploy.contract import ASYNCAPI, Document
from tests.contract.breaking import breaking_changes


class Seat(BaseModel):
    """Before."""

    row: int


class Booked(BaseModel):
    """Before."""

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


class Renamed(Shorter):
    visitor: str


class RenamedSeat(BaseModel):
    line: int


class Deeper(Booked):
    seat: RenamedSeat  # type: ignore[assignment]
    extras: tuple[RenamedSeat, ...] = ()  # type: ignore[assignment]


class OtherType(Booked):
    guest: int  # type: ignore[assignment]


class MayBeNull(Booked):
    guest: str | None  # type: ignore[assignment]


class OtherEntries(Booked):
    prices: dict[str, str] = {}  # type: ignore[assignment]


class NoMap(Booked):
    prices: Seat  # type: ignore[assignment]


class MoreRequired(Booked):
    price: int


class RequiredNow(Booked):
    note: str | None


class LessRequired(Booked):
    guest: str = ""


class FewerValues(Booked):
    paid: Literal["card"] = "card"


class ValuesOnly(Booked):
    guest: Literal["Ada"]


class OtherDefault(Booked):
    paid: Literal["card", "cash"] = "cash"


@pytest.mark.parametrize(
    ("after", "lost"),
    [
        (Shorter, ["guest is gone, those who read it find nothing"]),
        (Renamed, ["guest is gone", "visitor is required, so what was written without it can't be read"]),
        (Deeper, ["seat.row is gone", "seat.line is required", "extras[].row is gone", "extras[].line is required"]),
        (OtherType, ["guest is integer, and those who read it expect string"]),
        (MayBeNull, ["guest is string or null, and those who read it expect string"]),
        (OtherEntries, ["prices.* is string, and those who read it expect integer"]),
        (NoMap, ["prices is object, and those who read it expect map", "prices is required"]),
        (MoreRequired, ["price is required"]),
        (RequiredNow, ["note is required"]),
        (LessRequired, ["guest may be left out, those who rely on it find nothing"]),
        (FewerValues, ["paid does not take 'cash' any more, so what was written with it can't be read"]),
        (ValuesOnly, ["guest takes only ['Ada'], so what was written with others can't be read"]),
        (OtherDefault, ["paid means 'cash' when left out, those who know it read 'card'"]),
    ],
)
def test_a_consumer_would_lose(after: type[BaseModel], lost: list[str]) -> None:
    found = breaking_changes(event(Booked), event(after))
    assert len(found) == len(lost)
    for sentence, beginning in zip(found, lost, strict=True):
        assert sentence.startswith(f"seat.booked: {beginning}")


class WiderSeat(Seat):
    """Renamed, described anew."""

    side: str = "left"


class Wider(Booked):
    """After."""

    seat: WiderSeat
    paid: Literal["card", "cash", "voucher"] = "card"
    channel: str | None = None


def test_a_consumer_survives_what_it_may_ignore() -> None:
    assert breaking_changes(event(Booked), event(Wider) | {"events/seat.freed.json": {}}) == []


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
        "seat.booked: header at is gone, those who read it find nothing"
    ]


def event(model: type[BaseModel]) -> dict[str, Document]:
    return {"events/seat.booked.json": model.model_json_schema()}


def topics(
    address: str = "box.seats.v1", type: str = "seat.booked", key: str = "hall", header: str = "at"
) -> dict[str, Document]:
    headers: JsonValue = {"type": "object", "properties": {header: {"type": "string"}}}
    message: JsonValue = {"bindings": {"kafka": {"key": {"description": key}}}, "headers": headers}
    return {ASYNCAPI: {"channels": {"seats": {"address": address, "messages": {type: message}}}}}

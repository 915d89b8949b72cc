"""What is written is what the log says, whatever happens while it is written; in both databases."""

from dataclasses import replace
from operator import methodcaller

import pytest
from sqlalchemy import update

from desk.view.applier import Applied, Applier, Failure, Place, Read, Refused, Superseded, merge, reads_of
from desk.view.database import Database
from desk.view.rows import Row
from desk.view.schema import CHANNEL, CONVERSATION, TEXT
from desk.view.search import matching
from schemas.events.conversation import ConversationNoteAdded, ConversationOpened
from tests.support.view import TOPICS, Message, Model, applied, header, message, recorded, stored, write

PLACE = Place("conversations.v1", 0)


async def test_a_recorded_log_becomes_what_the_model_says(database: Database, applier: Applier) -> None:
    await write(applier, recorded())
    found, model = await stored(database), Model().apply(applied(recorded())).tables
    assert found.keys() == model.keys()
    for name in model:
        assert found[name] == model[name], name


async def test_small_batches_give_the_same_as_large_ones(database: Database, applier: Applier) -> None:
    some = recorded()[:700]
    await write(applier, some, batch=7)
    assert await stored(database) == dict(Model().apply(applied(some)).tables)


async def test_positions_are_those_behind_the_last_records(applier: Applier) -> None:
    await write(applier, recorded())
    assert await applier.positions() == reads_of(applied(recorded()), {})


def test_the_time_of_a_position_is_that_of_the_last_record_that_has_one() -> None:
    first, second = applied([opened(0), opened(1)])
    passed_over = replace(second, offset=2, time=None)
    assert reads_of([first, second, passed_over], {}) == {PLACE: Read(3, second.time)}
    assert reads_of([passed_over], {PLACE: Read(2, first.time)}) == {PLACE: Read(3, first.time)}


async def test_what_another_process_has_applied_is_not_applied_again(database: Database, applier: Applier) -> None:
    first, second = applied([opened(0), opened(1)])
    await applier.apply([first], {})
    with pytest.raises(Superseded):
        await applier.apply([first, second], {})
    with pytest.raises(Superseded):
        await Applier(database).apply([second], {PLACE: Read(7)})
    assert await applier.positions() == {PLACE: Read(1, first.time)}
    assert len((await stored(database))["entries"]) == 1


async def test_a_record_that_can_t_be_stored_is_a_failure_of_it_alone(database: Database, applier: Applier) -> None:
    batch = applied([opened(0), opened(1), opened(2)])
    broken = Row(CONVERSATION, {"id": "c-2"}, {"key": None})
    batch[1] = replace(batch[1], rows=[broken])
    failures = await applier.apply(batch, {})
    assert [(one.place, one.offset) for one in failures] == [(PLACE, 1)]
    found = await stored(database)
    assert [row["offset"] for row in found["entries"].values()] == [0, 2]
    assert list(found["failures"]) == [("conversations.v1", 0, 1)]
    assert (await applier.positions())[PLACE].position == 3


async def test_a_failure_is_a_row_and_is_read_over(database: Database, applier: Applier) -> None:
    failed = Applied(PLACE, 0, None, "x", failure=Failure(PLACE, 0, "x", "not read: KeyError"))
    assert await applier.apply([failed, *applied([opened(1)])], {}) == [failed.failure]
    assert len((await stored(database))["failures"]) == 1


async def test_a_database_that_refuses_everything_is_no_fault_of_the_records(applier: Applier) -> None:
    broken = [
        replace(one, rows=[Row(CONVERSATION, {"id": "c"}, {"key": None})]) for one in applied(map(opened, range(200)))
    ]
    with pytest.raises(Refused, match="IntegrityError"):
        await applier.apply(broken, {})


async def test_forgetting_leaves_what_older_records_made(database: Database, applier: Applier) -> None:
    older, newer = [opened(0), opened(1, id="b")], [note(2), note(3, id="b"), opened(4, id="c")]
    await write(applier, [*older, *newer])
    before = await stored(database)
    # Wrong rows, as a bug would have left them.
    for id, wrong in (("c", {"channel": "other"}), ("a", {"status": "Closed"})):
        await database.write(methodcaller("execute", update(CONVERSATION).where(CONVERSATION.c.id == id).values(wrong)))
    await applier.forget({PLACE: 2}, {name: full for full, name in TOPICS.items()})
    left = await stored(database)
    assert await found(database, "hello") == []
    assert sorted(left["conversations"]) == [("a",), ("b",)]
    assert [row["offset"] for row in left["entries"].values()] == [0, 1]
    await write(applier, newer)
    assert await stored(database) == before
    assert await found(database, "hello") == sorted((row["doc"] for row in before["texts"].values()), reverse=True)


def test_changes_of_a_row_are_merged_in_order() -> None:
    first = Row(CHANNEL, {"id": "a"}, {"name": "x"}, {"offset": 1})
    second = Row(CHANNEL, {"id": "a"}, {"account": "y"}, {"offset": 2, "partition": 0})
    third = Row(CHANNEL, {"id": "a"}, {"name": "z"})
    assert merge([first, Row(CHANNEL, {"id": "b"}), second, third]) == [
        Row(CHANNEL, {"id": "a"}, {"name": "z", "account": "y"}, {"offset": 1, "partition": 0}),
        Row(CHANNEL, {"id": "b"}),
    ]


async def found(database: Database, text: str) -> list[int]:
    """What the search index has."""
    async with database.reading() as connection:
        hits = await matching(connection, TEXT, text)
        assert hits is not None
        return list((await connection.execute(hits)).scalars())


def opened(offset: int, *, id: str = "a") -> Message:
    return message("conversations", offset, ConversationOpened(header=header(id=id)))


def note(offset: int, *, id: str = "a") -> Message:
    return message(
        "conversations", offset, ConversationNoteAdded(header=header(id=id), note_id="n", text="Hello", reason="note")
    )

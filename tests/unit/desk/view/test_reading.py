"""Messages are read one by one: what is wrong with one is a failure of it alone."""

from typing import cast

import orjson
from aiokafka.structs import ConsumerRecord

from desk.view.reading import Reading, read, read_all
from schemas.events.conversation import ConversationNoteAdded, ConversationOpened
from schemas.events.people import AgentSaved
from tests.support.view import TOPICS, Message, header, message

OPENED = message("conversations", 7, ConversationOpened(header=header()))


def reading(one: Message) -> Reading:
    return read(cast(ConsumerRecord, one), TOPICS)


def changed(value: bytes | None) -> Reading:
    return reading(OPENED._replace(value=value))


def test_a_record_leads_to_rows() -> None:
    applied = reading(OPENED).applied
    assert (applied.offset, applied.type, applied.failure) == (7, "conversation.opened", None)
    assert [row.table.name for row in applied.rows] == ["conversations", "entries"]


def test_of_a_compacted_topic_the_newest_of_a_key_counts() -> None:
    lea, ana = (f"agent/main/{agent}" for agent in ("lea", "ana"))
    batch = [
        message("directory", 0, AgentSaved(agent="lea"), key=lea),
        message("directory", 1, AgentSaved(agent="ana"), key=ana),
        message("directory", 2, AgentSaved(agent="lea", name="Lea"), key=lea),
        OPENED,
        OPENED._replace(offset=8),
    ]
    found = [one.applied for one in read_all(cast("list[ConsumerRecord]", batch), TOPICS)]
    assert [one.offset for one in found] == [0, 1, 2, 7, 8]
    assert [bool(one.rows) for one in found] == [False, True, True, True, True]


def test_a_type_that_this_version_does_not_know_is_ignored_and_said() -> None:
    newer = orjson.dumps({**orjson.loads(OPENED.value or b""), "type": "conversation.painted"})
    found = changed(newer)
    assert found.ignored
    assert (found.applied.rows, found.applied.failure) == ((), None)


def test_a_known_type_that_the_view_is_not_made_of_is_passed_over() -> None:
    found = reading(OPENED._replace(topic="account-inbox.v1"))
    assert found.ignored
    other = orjson.dumps({**orjson.loads(OPENED.value or b""), "type": "conversation.changed"})
    found = reading(OPENED._replace(topic="account-inbox.v1", value=other))
    assert (found.ignored, found.applied.rows) == (False, ())


def test_what_can_t_be_read_is_a_failure_that_does_not_hold_the_data() -> None:
    bad = orjson.dumps({**orjson.loads(OPENED.value or b""), "data": {"header": {"contact": "34600100200"}}})
    for value in (b"Hello", b'"Hello"', bad):
        failure = changed(value).applied.failure
        assert failure is not None
        assert failure.offset == 7
        assert "Hello" not in failure.error
        assert "34600100200" not in failure.error


def test_a_tombstone_leads_to_nothing() -> None:
    assert changed(None) == Reading(reading(OPENED).applied.__class__(reading(OPENED).applied.place, 7, None, None))


def test_a_character_that_postgresql_does_not_keep_is_left_out() -> None:
    note = ConversationNoteAdded(header=header(contact_name="A\0na"), note_id="n", text="1\0\\u0000", reason="note")
    rows = {row.table.name: row for row in reading(message("conversations", 0, note)).applied.rows}
    assert rows["entries"].values["text"] == "1\\u0000"
    assert rows["conversations"].values["contact_name"] == "Ana"

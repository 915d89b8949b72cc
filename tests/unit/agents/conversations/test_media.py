"""A customer's files: asked for when their message comes, which waits for none of them."""

from datetime import timedelta

import pytest

from schemas.events.conversation import (
    ConversationMediaFailed,
    ConversationMediaStored,
    ConversationMessageReceived,
    Media,
)
from schemas.events.inbox import MediaFailed, MediaStored, MessageEchoed, MessageReceived
from schemas.events.media import MediaRequested
from schemas.topics import CONVERSATIONS, MEDIA_REQUESTS
from tests.support.conversation import ANA, KEY, ConversationBench
from tests.support.stage import Emitted, all_of, the

FIRST, SECOND = Media(link="https://files.example/1", mime_type="image/jpeg"), Media(id="2")


def received(bench: ConversationBench, id: str = "m1") -> list[Emitted]:
    return bench.feed(
        MessageReceived(message_id=id, kind="image", text="two", media=FIRST, more_media=(SECOND,)),
    )


def stored(bench: ConversationBench, conversation: str) -> list[Emitted]:
    return bench.feed(
        MediaStored(
            conversation_id=conversation,
            message_id="m1",
            index=1,
            file="in/kiosk/x.jpg",
            mime_type="image/jpeg",
            size=7,
            sha256="ab",
            preview="in/kiosk/x.preview.webp",
        )
    )


def test_a_message_with_files_is_published_at_once_and_each_file_asked_for() -> None:
    bench = ConversationBench()
    emitted = received(bench)
    message = the(ConversationMessageReceived, emitted)
    assert (message.text, message.media, message.more_media) == ("two", FIRST, (SECOND,))
    asked = [one for one in emitted if isinstance(one.event, MediaRequested)]
    assert {(one.topic, one.key) for one in asked} == {(MEDIA_REQUESTS, KEY)}
    id = bench.latest.id
    assert [one.event for one in asked] == [
        MediaRequested(conversation_id=id, message_id="m1", index=0, media=FIRST),
        MediaRequested(conversation_id=id, message_id="m1", index=1, media=SECOND),
    ]
    assert emitted[-2:] == asked


def test_a_message_that_comes_again_asks_for_nothing() -> None:
    bench = ConversationBench()
    received(bench)
    assert received(bench) == []


def test_a_message_without_a_file_asks_for_none() -> None:
    assert all_of(MediaRequested, ConversationBench().message("m1")) == []


def test_a_blocked_contact_s_files_are_kept_too() -> None:
    bench = ConversationBench()
    bench.message("m0")
    bench.block()
    assert len(all_of(MediaRequested, received(bench))) == 2


def test_the_files_of_a_message_from_whatsapp_s_own_app_are_fetched_too() -> None:
    bench = ConversationBench()
    bench.message("m0")
    emitted = bench.feed(MessageEchoed(message_id="e1", kind="image", media=FIRST))
    asked = the(MediaRequested, emitted)
    assert (asked.conversation_id, asked.message_id, asked.media) == (bench.latest.id, "e1", FIRST)


def test_a_stored_file_is_published_on_its_conversation_and_changes_nothing() -> None:
    bench = ConversationBench()
    received(bench)
    bench.propose(ANA)
    before = bench.latest
    emitted = stored(bench, bench.latest.id)
    event = the(ConversationMediaStored, emitted)
    assert [(one.topic, one.key) for one in emitted] == [(CONVERSATIONS, KEY)]
    assert event.model_dump(exclude={"header"}) == {
        "message_id": "m1",
        "index": 1,
        "file": "in/kiosk/x.jpg",
        "mime_type": "image/jpeg",
        "size": 7,
        "sha256": "ab",
        "preview": "in/kiosk/x.preview.webp",
    }
    assert event.header.conversation_id == before.id
    assert bench.latest == before


@pytest.mark.parametrize("final", [True, False])
def test_a_file_that_could_not_be_fetched_is_published(final: bool) -> None:
    bench = ConversationBench()
    received(bench)
    failed = MediaFailed(conversation_id=bench.latest.id, message_id="m1", index=0, reason="not_found", final=final)
    event = the(ConversationMediaFailed, bench.feed(failed))
    assert (event.message_id, event.index, event.reason, event.final) == ("m1", 0, "not_found", final)


def test_a_file_of_a_conversation_before_the_latest_is_published_on_its_own() -> None:
    bench = ConversationBench()
    received(bench)
    former = bench.latest.id
    bench.resolve("c1")
    bench.message("m2")
    assert bench.latest.id != former
    assert the(ConversationMediaStored, stored(bench, former)).header.conversation_id == former


def test_a_file_of_a_conversation_that_is_forgotten_is_published_on_the_latest() -> None:
    bench = ConversationBench()
    received(bench)
    former = bench.latest.id
    bench.resolve("c1")
    bench.wait(timedelta(hours=25))
    bench.message("m2")
    assert the(ConversationMediaStored, stored(bench, former)).header.conversation_id == bench.latest.id

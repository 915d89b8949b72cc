"""The checker finds faults planted in a clean history, and finds none in the clean one."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from schemas.codec import from_kafka, to_kafka
from schemas.conversation import ConversationMessageReceived, ConversationMessageSent, ConversationOpened
from schemas.event import Event
from schemas.messaging import MessageStatusChanged, SendGreeting, SendMessage
from schemas.system import ProposalAnswered
from schemas.topics import (
    ACCOUNT_INBOX,
    CONVERSATIONS,
    GATED,
    INBOX,
    OUTBOUND,
    STATUSES,
    TIMERS,
    WEBHOOKS,
    Topic,
)
from tests.chaos.checker import check
from tests.chaos.clean_history import CUSTOMERS, clean_history, key_of
from tests.chaos.history import Customers, History, Message, State
from tests.chaos.story import smallest, story

Plant = Callable[[History], History]


@pytest.fixture(scope="module")
def clean() -> History:
    return clean_history()


def kinds(history: History) -> set[str]:
    return {violation.kind for violation in check(history).violations}


def with_topic(history: History, topic: Topic, messages: Sequence[Message]) -> History:
    return replace(history, messages={**history.messages, topic: tuple(messages)})


def event_of(topic: Topic, message: Message) -> Event:
    return from_kafka(topic, message.value, message.headers).event


def place(history: History, topic: Topic, kind: type[Event], which: int = 0) -> int:
    found = [i for i, message in enumerate(history.messages[topic]) if isinstance(event_of(topic, message), kind)]
    return found[which]


def dropped(history: History, topic: Topic, index: int) -> History:
    messages = history.messages[topic]
    return with_topic(history, topic, [*messages[:index], *messages[index + 1 :]])


def doubled(history: History, topic: Topic, index: int) -> History:
    messages = history.messages[topic]
    return with_topic(history, topic, [*messages, messages[index]])


def swapped(history: History, topic: Topic, first: int, second: int) -> History:
    messages = list(history.messages[topic])
    messages[first], messages[second] = messages[second], messages[first]
    return with_topic(history, topic, messages)


def changed(history: History, topic: Topic, index: int, **update: object) -> History:
    messages = list(history.messages[topic])
    record = from_kafka(topic, messages[index].value, messages[index].headers)
    value, _ = to_kafka(topic, replace(record, event=record.event.model_copy(update=update)))
    messages[index] = messages[index]._replace(value=value)
    return with_topic(history, topic, messages)


def with_state(history: History, stage: str, rows: State) -> History:
    return replace(history, states={**history.states, stage: {0: rows}})


def heard_again(history: History, id: str) -> History:
    entry = next(entry for entry in history.sent if entry.id == id)
    return replace(history, sent=[*history.sent, entry])


def greeting_id(history: History) -> str:
    event = event_of(OUTBOUND, history.messages[OUTBOUND][place(history, OUTBOUND, SendGreeting)])
    assert isinstance(event, SendGreeting)
    return event.message_id


def callback_lost(history: History) -> History:
    return dropped(history, CONVERSATIONS, place(history, CONVERSATIONS, ConversationMessageReceived))


def callback_not_durable(history: History) -> History:
    return dropped(history, WEBHOOKS, 0)


def message_doubled(history: History) -> History:
    return doubled(history, CONVERSATIONS, place(history, CONVERSATIONS, ConversationMessageReceived))


def out_of_order(history: History) -> History:
    indices = [
        i
        for i, message in enumerate(history.messages[CONVERSATIONS])
        if message.key.decode() == key_of(CUSTOMERS[0])
        and isinstance(event_of(CONVERSATIONS, message), ConversationMessageReceived)
    ]
    return swapped(history, CONVERSATIONS, indices[0], indices[1])


def gated_out_of_order(history: History) -> History:
    key = key_of(CUSTOMERS[0]).encode()
    first, second = [i for i, message in enumerate(history.messages[GATED]) if message.key == key][:2]
    return swapped(history, GATED, first, second)


def greeting_heard_twice(history: History) -> History:
    return heard_again(history, greeting_id(history))


def greeting_missing(history: History) -> History:
    return dropped(history, OUTBOUND, place(history, OUTBOUND, SendGreeting))


def greeting_commanded_twice(history: History) -> History:
    return doubled(history, OUTBOUND, place(history, OUTBOUND, SendGreeting))


def greeting_never_sent(history: History) -> History:
    id = greeting_id(history)
    return replace(history, sent=[entry for entry in history.sent if entry.id != id])


def reply_twice_unmarked(history: History) -> History:
    return heard_again(history, "reply1")


def repeat_not_marked(history: History) -> History:
    index = next(
        i
        for i, message in enumerate(history.messages[CONVERSATIONS])
        if isinstance(event := event_of(CONVERSATIONS, message), ConversationMessageSent) and event.repeat
    )
    return changed(history, CONVERSATIONS, index, repeat=False)


def reply_lost(history: History) -> History:
    replies = {**history.acknowledged.replies, "reply9": key_of(CUSTOMERS[0])}
    acknowledged = Customers(history.acknowledged.messages, replies, history.acknowledged.resolves)
    return replace(history, acknowledged=acknowledged)


def reply_not_sent(history: History) -> History:
    return dropped(history, OUTBOUND, place(history, OUTBOUND, SendMessage))


def sent_by_nobody(history: History) -> History:
    return replace(history, sent=[*history.sent, replace(history.sent[0], id="nobody's", message_id="el0")])


def row_changed(history: History) -> History:
    rows = dict(history.states["conversations"][0])
    rows[key_of(CUSTOMERS[0]), "contact"] = b'{"latest":7}'
    return with_state(history, "conversations", rows)


def row_missing(history: History) -> History:
    rows = dict(history.states["delivery"][0])
    rows.popitem()
    return with_state(history, "delivery", rows)


def status_regressed(history: History) -> History:
    index = place(history, STATUSES, MessageStatusChanged, 4)
    return changed(history, STATUSES, index, status="queued")


def receipt_missing(history: History) -> History:
    return dropped(history, STATUSES, place(history, STATUSES, MessageStatusChanged, 3))


def receipt_not_durable(history: History) -> History:
    return replace(history, receipts=history.receipts + type(history.receipts)({99_999: 1}))


def proposal_answered_twice(history: History) -> History:
    return doubled(history, ACCOUNT_INBOX, place(history, ACCOUNT_INBOX, ProposalAnswered))


def conversation_opened_twice(history: History) -> History:
    return doubled(history, CONVERSATIONS, place(history, CONVERSATIONS, ConversationOpened))


def timers_forgotten(history: History) -> History:
    return with_topic(history, TIMERS, [])


def input_applied_twice(history: History) -> History:
    return doubled(history, INBOX, 0)


PLANTED: dict[Plant, str] = {
    callback_lost: "callback lost",
    callback_not_durable: "acknowledged, not in webhooks",
    message_doubled: "callback doubled",
    out_of_order: "out of order",
    gated_out_of_order: "gated differs from conversations",
    greeting_heard_twice: "greeting heard twice",
    greeting_missing: "greeting missing",
    greeting_commanded_twice: "greeting commanded twice",
    greeting_never_sent: "greeting never sent",
    reply_twice_unmarked: "reply repeated without a mark",
    repeat_not_marked: "reply repeated without a mark",
    reply_lost: "reply lost",
    reply_not_sent: "reply lost",
    sent_by_nobody: "sent, but not commanded",
    row_changed: "state differs from a replay",
    row_missing: "state differs from a replay",
    status_regressed: "status regressed",
    receipt_missing: "receipt missing",
    receipt_not_durable: "acknowledged receipts missing",
    proposal_answered_twice: "proposal not answered once",
    conversation_opened_twice: "conversation begins wrongly",
    timers_forgotten: "state differs from a replay",
    input_applied_twice: "record doubled",
}


def test_a_clean_history_is_clean(clean: History) -> None:
    verdict = check(clean)
    assert verdict.violations == ()
    assert verdict.settled == {
        "reply: heard 2 times, marked, settled by a receipt or a repeat": 1,
        "greeting: heard once, left unknown": 1,
    }


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_a_planted_fault_is_found(clean: History, plant: Plant) -> None:
    assert PLANTED[plant] in kinds(plant(clean))


def test_what_was_still_under_way_is_told(clean: History) -> None:
    assert kinds(replace(clean, unfinished=["delivery: 3 effects"])) == {"unfinished"}


def test_the_smallest_history_shows_what_happened_to_one_key(clean: History) -> None:
    broken = greeting_missing(clean)
    key = smallest(broken, check(broken).violations)
    assert key is not None
    told = story(broken, key)
    assert any("conversation.opened" in line for line in told)
    assert all(key in line or key.partition(":")[2] in line for line in told)


def test_without_a_key_there_is_no_smallest_history(clean: History) -> None:
    assert smallest(clean, ()) is None

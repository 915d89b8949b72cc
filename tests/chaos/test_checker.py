"""The checker finds faults planted in a clean history, and finds none in the clean one."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

import orjson
import pytest

from schemas.codec import from_kafka, to_kafka
from schemas.event import Event
from schemas.events.ai import AiCallEnded
from schemas.events.assignment import ConversationChanged, ProposalAnswered
from schemas.events.channels import ChannelChanged
from schemas.events.conversation import (
    Assignee,
    ConversationEvent,
    ConversationMediaStored,
    ConversationMessageReceived,
    ConversationMessageSent,
    ConversationOpened,
    ConversationRated,
    ConversationStatusChanged,
    ConversationSurveyRequested,
    Media,
    Status,
)
from schemas.events.csat import SurveyFailed, SurveySent, SurveySkipped
from schemas.events.inbox import AiAnswered, DeliveryFailed, ProposeAssignee, ProposeSurvey
from schemas.events.receipts import MessageStatusChanged
from schemas.events.reports import ReportUpdated
from schemas.events.sending import SendGreeting, SendMessage, SendUnavailable
from schemas.record import Record
from schemas.topics import (
    ACCOUNT_INBOX,
    AI_CALLS,
    CONVERSATIONS,
    CSAT,
    GATED,
    INBOX,
    MEDIA_REQUESTS,
    OUTBOUND,
    REPORTS,
    STATUSES,
    TIMERS,
    WEBHOOKS,
    Topic,
)
from simulation.sandbox.gpt.tools import ToolLogEntry
from tests.chaos.checker import check, find
from tests.chaos.clean_history import CUSTOMERS, clean_history
from tests.chaos.clean_run import ACCOUNT, BOT, key_of
from tests.chaos.history import Acknowledged, History, Message, State
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


def record_of(history: History, topic: Topic, index: int) -> Record:
    message = history.messages[topic][index]
    return from_kafka(topic, message.value, message.headers)


def added(history: History, topic: Topic, record: Record) -> History:
    value, headers = to_kafka(topic, record)
    last = history.messages[topic][-1]
    message = Message(0, last.offset + 1, last.timestamp, record.subject.encode(), value, tuple(headers))
    return with_topic(history, topic, [*history.messages[topic], message])


def with_acknowledged(
    history: History,
    replies: Mapping[str, str] | None = None,
    commands: Mapping[str, str] | None = None,
    settings: Collection[tuple[str, int]] = (),
    unexpected: Mapping[str, int] | None = None,
) -> History:
    known = history.acknowledged
    more = Acknowledged(
        known.messages,
        {**known.replies, **(replies or {})},
        {**known.commands, **(commands or {})},
        {*known.settings, *settings},
        unexpected or {},
    )
    return replace(history, acknowledged=more)


def with_state(history: History, stage: str, rows: State) -> History:
    return replace(history, states={**history.states, stage: {0: rows}})


def with_row(history: History, stage: str, key: str, name: str, **update: object) -> History:
    rows = dict(history.states[stage][0])
    rows[key, name] = orjson.dumps(orjson.loads(rows[key, name]) | update)
    return with_state(history, stage, rows)


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
    return with_acknowledged(history, replies={"reply9": key_of(CUSTOMERS[0])})


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


def failure_not_passed_on(history: History) -> History:
    return dropped(history, INBOX, place(history, INBOX, DeliveryFailed))


def failed_survey_counted(history: History) -> History:
    return changed(history, CSAT, place(history, CSAT, SurveyFailed), was_sent=False)


def receipt_not_durable(history: History) -> History:
    return replace(history, receipts=history.receipts + type(history.receipts)({99_999: 1}))


def proposal_answered_twice(history: History) -> History:
    return doubled(history, ACCOUNT_INBOX, place(history, ACCOUNT_INBOX, ProposalAnswered))


def proposal_unanswered(history: History) -> History:
    return dropped(history, ACCOUNT_INBOX, place(history, ACCOUNT_INBOX, ProposalAnswered))


def place_leaked(history: History) -> History:
    return with_row(history, "assignment", ACCOUNT, "agent/a1", load=9)


def proposed_above_the_limit(history: History) -> History:
    """What the other agent took is reported as the same one's."""
    for index, message in enumerate(history.messages[ACCOUNT_INBOX]):
        event = event_of(ACCOUNT_INBOX, message)
        if isinstance(event, ConversationChanged) and event.assignee == Assignee(kind="human", id="a2"):
            history = changed(history, ACCOUNT_INBOX, index, assignee=Assignee(kind="human", id="a1"))
    return history


def proposed_who_is_away(history: History) -> History:
    last = place(history, INBOX, ProposeAssignee, -1)
    return changed(history, INBOX, last, assignee=Assignee(kind="human", id="a1"))


def waits_though_somebody_is_free(history: History) -> History:
    return with_row(history, "assignment", ACCOUNT, "agent/a1", state="online", load=0)


def forgotten_by_assignment(history: History) -> History:
    rows = dict(history.states["assignment"][0])
    for (key, name), value in list(rows.items()):
        if name.startswith("conversation/") and orjson.loads(value).get("waiting"):
            del rows[key, name]
    return with_state(history, "assignment", rows)


def answered_500(history: History) -> History:
    return with_acknowledged(history, unexpected={"PATCH /v1/channels/shop/settings: 500": 1})


def settings_lost(history: History) -> History:
    return with_acknowledged(history, settings={("shop", 99)})


def settings_not_reported(history: History) -> History:
    return dropped(history, ACCOUNT_INBOX, place(history, ACCOUNT_INBOX, ChannelChanged, -1))


def command_lost(history: History) -> History:
    return with_acknowledged(history, commands={"resolve9": key_of(CUSTOMERS[0])})


def two_live_conversations(history: History) -> History:
    index = place(history, CONVERSATIONS, ConversationOpened, 1)
    record = record_of(history, CONVERSATIONS, index)
    assert isinstance(record.event, ConversationOpened)
    header = record.event.header.model_copy(update={"conversation_id": "another"})
    event = record.event.model_copy(update={"header": header})
    return added(history, CONVERSATIONS, replace(record, id="another", event=event))


def status_that_may_not_follow(history: History) -> History:
    index = next(
        i
        for i, message in enumerate(history.messages[CONVERSATIONS])
        if isinstance(event := event_of(CONVERSATIONS, message), ConversationStatusChanged)
        and event.header.status is Status.RESOLVED
    )
    event = event_of(CONVERSATIONS, history.messages[CONVERSATIONS][index])
    assert isinstance(event, ConversationStatusChanged)
    header = event.header.model_copy(update={"status": Status.CLOSED})
    return changed(history, CONVERSATIONS, index, header=header)


def unavailable_twice_a_day(history: History) -> History:
    record = record_of(history, OUTBOUND, place(history, OUTBOUND, SendUnavailable))
    event = record.event.model_copy(update={"message_id": "once more"})
    return added(history, OUTBOUND, replace(record, id="once more", event=event))


def unavailable_missing(history: History) -> History:
    return dropped(history, OUTBOUND, place(history, OUTBOUND, SendUnavailable))


def unavailable_heard_twice(history: History) -> History:
    event = event_of(OUTBOUND, history.messages[OUTBOUND][place(history, OUTBOUND, SendUnavailable)])
    assert isinstance(event, SendUnavailable)
    return heard_again(history, event.message_id)


def greeting_while_closed(history: History) -> History:
    record = record_of(history, OUTBOUND, place(history, OUTBOUND, SendUnavailable))
    assert isinstance(record.event, SendUnavailable)
    greeting = SendGreeting(
        message_id="hello", conversation_id=record.event.conversation_id, kind="greeting", text="Hi"
    )
    return added(history, OUTBOUND, replace(record, id="hello", event=greeting))


def ai_question_unanswered(history: History) -> History:
    return dropped(history, INBOX, place(history, INBOX, AiAnswered))


def ai_question_ended_twice(history: History) -> History:
    return doubled(history, INBOX, place(history, INBOX, AiAnswered))


def ai_answer_made_up(history: History) -> History:
    return changed(history, INBOX, place(history, INBOX, AiAnswered), text="Nee")


def ai_message(history: History) -> int:
    return next(
        i
        for i, message in enumerate(history.messages[OUTBOUND])
        if isinstance(event := event_of(OUTBOUND, message), SendMessage) and event.kind == "ai"
    )


def ai_message_without_an_answer(history: History) -> History:
    record = record_of(history, OUTBOUND, ai_message(history))
    event = record.event.model_copy(update={"message_id": "idle talk"})
    return added(history, OUTBOUND, replace(record, id="idle talk", event=event))


def ai_answer_dropped(history: History) -> History:
    return dropped(history, OUTBOUND, ai_message(history))


def ai_answer_to_a_human_s_customer(history: History) -> History:
    """All that is said of the conversation is that a human holds it."""
    key = key_of(CUSTOMERS[0], BOT).encode()
    taken = {"status": Status.OPEN, "assignee": Assignee(kind="human", id="a1")}
    for index, message in enumerate(history.messages[CONVERSATIONS]):
        event = event_of(CONVERSATIONS, message)
        if message.key == key and isinstance(event, ConversationEvent):
            history = changed(history, CONVERSATIONS, index, header=event.header.model_copy(update=taken))
    return history


def gpt_end(history: History) -> int:
    """The place of the answer to two questions."""
    return next(
        i
        for i, message in enumerate(history.messages[INBOX])
        if isinstance(event := event_of(INBOX, message), AiAnswered) and event.also
    )


def gpt_question_left_out(history: History) -> History:
    return changed(history, INBOX, gpt_end(history), also=())


def gpt_questions_unanswered(history: History) -> History:
    """The first of the agent's time with the customer, too, which a release does not excuse."""
    index = next(
        i
        for i, message in enumerate(history.messages[INBOX])
        if isinstance(event := event_of(INBOX, message), AiAnswered) and event.citations
    )
    return dropped(history, INBOX, index)


def gpt_answer_made_up(history: History) -> History:
    return changed(history, INBOX, gpt_end(history), text="Nee")


def gpt_answer_sent_twice(history: History) -> History:
    cause = record_of(history, INBOX, gpt_end(history)).id
    index = next(
        i for i, _ in enumerate(history.messages[OUTBOUND]) if record_of(history, OUTBOUND, i).causation_id == cause
    )
    record = record_of(history, OUTBOUND, index)
    event = record.event.model_copy(update={"message_id": "once more"})
    return added(history, OUTBOUND, replace(record, id="once more", event=event))


def gpt_hand_over_text_not_sent(history: History) -> History:
    index = next(
        i
        for i, message in enumerate(history.messages[OUTBOUND])
        if isinstance(event := event_of(OUTBOUND, message), SendMessage) and event.text == "Een mens komt."
    )
    return dropped(history, OUTBOUND, index)


def model_call_not_recorded(history: History) -> History:
    return dropped(history, AI_CALLS, place(history, AI_CALLS, AiCallEnded))


def cost_made_up(history: History) -> History:
    return changed(history, AI_CALLS, place(history, AI_CALLS, AiCallEnded), cost_micros=1)


def cost_forgotten(history: History) -> History:
    index = place(history, AI_CALLS, AiCallEnded)
    return changed(history, AI_CALLS, index, outcome="failed", tokens_in=0, tokens_out=0, cost_micros=0)


def model_called_for_nobody(history: History) -> History:
    calls = [*history.gpt.calls, replace(history.gpt.calls[0], key="nobody's")]
    return replace(history, gpt=replace(history.gpt, calls=calls))


def with_tool_call(history: History, change: Callable[[ToolLogEntry], ToolLogEntry]) -> History:
    (call,) = history.gpt.tools
    return replace(history, gpt=replace(history.gpt, tools=[call, change(call)]))


def booked_twice(history: History) -> History:
    return with_tool_call(history, lambda call: call)


def booked_under_another_id(history: History) -> History:
    return with_tool_call(history, lambda call: replace(call, key="another", carried_out=False))


def call_id_used_again(history: History) -> History:
    return with_tool_call(history, lambda call: replace(call, tool="cancel"))


def tool_call_not_recorded(history: History) -> History:
    index = next(
        i
        for i, message in enumerate(history.messages[AI_CALLS])
        if isinstance(event := event_of(AI_CALLS, message), AiCallEnded) and event.call == "tool"
    )
    return dropped(history, AI_CALLS, index)


def survey_asked_twice(history: History) -> History:
    record = record_of(history, CONVERSATIONS, place(history, CONVERSATIONS, ConversationSurveyRequested))
    event = record.event.model_copy(update={"survey_id": "another"})
    return added(history, CONVERSATIONS, replace(record, id="another", event=event))


def survey_proposal_unanswered(history: History) -> History:
    record = record_of(history, INBOX, place(history, INBOX, ProposeSurvey))
    event = record.event.model_copy(update={"survey_id": "another"})
    return added(history, INBOX, replace(record, id="another", causation_id="another", event=event))


def survey_not_commanded(history: History) -> History:
    index = next(
        i
        for i, message in enumerate(history.messages[OUTBOUND])
        if isinstance(event := event_of(OUTBOUND, message), SendMessage) and event.kind == "survey"
    )
    return dropped(history, OUTBOUND, index)


def resolution_not_judged(history: History) -> History:
    return dropped(history, CSAT, place(history, CSAT, SurveySkipped))


def rating_misread(history: History) -> History:
    return changed(history, CONVERSATIONS, place(history, CONVERSATIONS, ConversationRated), rating=1)


def csat_forgets(history: History) -> History:
    return dropped(history, CSAT, place(history, CSAT, SurveySent))


def report_miscounts(history: History) -> History:
    return changed(history, REPORTS, place(history, REPORTS, ReportUpdated, -1), counts={"opened": 77})


def report_forgets(history: History) -> History:
    key = history.messages[REPORTS][-1].key
    return with_topic(history, REPORTS, [message for message in history.messages[REPORTS] if message.key != key])


def shared_row_changed(history: History) -> History:
    rows = dict(history.states["reports-conversations"][0])
    name = next(name for _, name in rows if name.startswith("partial/"))
    return with_row(history, "reports-conversations", "partition", name, counts={"opened": 77})


def text_outside_the_window(history: History) -> History:
    first, *others = history.sent
    return replace(history, sent=[replace(first, at=first.at + timedelta(hours=25)), *others])


def heard_something_else(history: History) -> History:
    first, *others = history.sent
    return replace(history, sent=[replace(first, text="Boe"), *others])


def conversation_opened_twice(history: History) -> History:
    return doubled(history, CONVERSATIONS, place(history, CONVERSATIONS, ConversationOpened))


def timers_forgotten(history: History) -> History:
    return with_topic(history, TIMERS, [])


def input_applied_twice(history: History) -> History:
    return doubled(history, INBOX, 0)


def file_not_asked_for(history: History) -> History:
    return dropped(history, MEDIA_REQUESTS, 0)


def file_asked_for_twice(history: History) -> History:
    return doubled(history, MEDIA_REQUESTS, 0)


def file_stored_twice(history: History) -> History:
    return doubled(history, CONVERSATIONS, place(history, CONVERSATIONS, ConversationMediaStored))


def file_forgotten(history: History) -> History:
    return dropped(history, CONVERSATIONS, place(history, CONVERSATIONS, ConversationMediaStored))


def another_file(history: History) -> History:
    media = Media(id="1", sha256="0" * 64)
    return changed(history, MEDIA_REQUESTS, 0, media=media)


PLANTED: dict[Plant, str] = {
    file_not_asked_for: "file not asked for once",
    file_asked_for_twice: "file not asked for once",
    file_stored_twice: "file not ended once",
    file_forgotten: "file not ended once",
    another_file: "not the file that was sent",
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
    failure_not_passed_on: "failure not passed on once",
    failed_survey_counted: "report differs from a recount",
    receipt_not_durable: "acknowledged receipts missing",
    proposal_answered_twice: "proposal not answered once",
    conversation_opened_twice: "conversation begins wrongly",
    timers_forgotten: "state differs from a replay",
    input_applied_twice: "record doubled",
    proposal_unanswered: "proposal not answered once",
    place_leaked: "place leaked",
    proposed_above_the_limit: "above the limit",
    proposed_who_is_away: "proposed to somebody who is not there",
    waits_though_somebody_is_free: "waits, though somebody is free",
    forgotten_by_assignment: "nobody is found for it",
    answered_500: "unexpected answer of ingress",
    settings_lost: "settings lost",
    settings_not_reported: "settings not reported once",
    command_lost: "command lost",
    two_live_conversations: "two live conversations",
    status_that_may_not_follow: "status may not follow",
    unavailable_twice_a_day: "unavailable twice a day",
    unavailable_missing: "unavailable message missing",
    unavailable_heard_twice: "unavailable heard twice",
    greeting_while_closed: "greeting not due",
    ai_question_unanswered: "AI question not ended once",
    ai_question_ended_twice: "AI question not ended once",
    ai_answer_made_up: "not what the AI agent said",
    ai_message_without_an_answer: "AI message without its answer",
    ai_answer_dropped: "AI answer not sent",
    ai_answer_to_a_human_s_customer: "AI answer after its conversation was taken away",
    gpt_question_left_out: "AI question not ended once",
    gpt_questions_unanswered: "AI question not ended once",
    gpt_answer_made_up: "not what the AI agent said",
    gpt_answer_sent_twice: "AI message without its answer",
    gpt_hand_over_text_not_sent: "AI answer not sent",
    model_call_not_recorded: "model's call not recorded",
    cost_made_up: "cost is not the service's",
    cost_forgotten: "cost not recorded",
    model_called_for_nobody: "a model was called for nobody",
    booked_twice: "tool carried out twice",
    booked_under_another_id: "tool carried out twice",
    call_id_used_again: "call id of several calls",
    tool_call_not_recorded: "tool's call not recorded",
    survey_asked_twice: "survey asked twice",
    survey_proposal_unanswered: "survey proposal not answered once",
    survey_not_commanded: "survey not commanded once",
    resolution_not_judged: "resolution not judged once",
    rating_misread: "rating differs from the answer",
    csat_forgets: "csat differs from conversations",
    report_miscounts: "report differs from a recount",
    report_forgets: "report differs from a recount",
    shared_row_changed: "state differs from a replay",
    text_outside_the_window: "text outside the window",
    heard_something_else: "heard something else",
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
    assert PLANTED[plant] in (violation.kind for violation in find(plant(clean), Counter()))


def compacted(history: History, keep: int) -> History:
    """Of every key of reports only the newest records, as Kafka's compaction may leave them."""
    kept, seen = [], Counter[bytes | None]()
    for message in reversed(history.messages[REPORTS]):
        seen[message.key] += 1
        if seen[message.key] <= keep:
            kept.append(message)
    return with_topic(history, REPORTS, kept[::-1])


@pytest.mark.parametrize("keep", [1, 2])
def test_a_key_that_compaction_left_is_no_loss(clean: History, keep: int) -> None:
    assert check(compacted(clean, keep)).violations == ()


def test_the_newest_record_of_a_compacted_topic_must_be_there(clean: History) -> None:
    doubled_key = Counter(message.key for message in clean.messages[REPORTS]).most_common(1)[0][0]
    newest = max(i for i, message in enumerate(clean.messages[REPORTS]) if message.key == doubled_key)
    assert "output differs from a replay" in kinds(dropped(clean, REPORTS, newest))


def test_work_under_way_at_the_end_is_named(clean: History) -> None:
    assert kinds(replace(clean, unfinished=["delivery: 3 effects"])) == {"unfinished"}


def test_a_coordinator_that_is_silent_is_reported_and_not_what_follows_from_it(clean: History) -> None:
    stuck = callback_lost(replace(clean, unfinished=["intake: 9 records behind"], silent=["intake: TimeoutError"]))
    assert kinds(stuck) == {"a group's coordinator never answered"}
    assert kinds(input_applied_twice(stuck)) == {"a group's coordinator never answered", "record doubled"}


def test_the_smallest_history_shows_what_happened_to_one_key(clean: History) -> None:
    broken = greeting_missing(clean)
    key = smallest(broken, check(broken).violations)
    assert key is not None
    reported = story(broken, key)
    assert any("conversation.opened" in line for line in reported)
    assert all(key in line or key.partition(":")[2] in line for line in reported)


def test_without_a_key_there_is_no_smallest_history(clean: History) -> None:
    assert smallest(clean, ()) is None

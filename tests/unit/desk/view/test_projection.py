"""What single events change in the view."""

from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from desk.view.projection import project
from desk.view.rows import Logged
from schemas.event import Event
from schemas.events.ai import AiCallEnded
from schemas.events.assignment import AssignmentDecided, AssignmentReleased, AssignmentWaiting
from schemas.events.callbacks import NotificationReceived
from schemas.events.channels import ChannelSaved
from schemas.events.content import Citation, Content, Outgoing, Reaction, SentReaction
from schemas.events.conversation import (
    Assignee,
    ConversationAssigned,
    ConversationCommandRefused,
    ConversationEvent,
    ConversationLabelled,
    ConversationMediaFailed,
    ConversationMediaStored,
    ConversationMessageReceived,
    ConversationMessageSent,
    ConversationNoteAdded,
    ConversationNoticeReceived,
    ConversationOpened,
    ConversationStatusChanged,
    ConversationSurveyEnded,
    Media,
    Status,
)
from schemas.events.csat import SurveyAnswered, SurveyCommented, SurveyRequested, SurveySkipped
from schemas.events.operations import DeadLettered, DeadLetterReplayed
from schemas.events.people import AgentDeleted, AgentSaved, PresenceChanged
from schemas.events.receipts import DeliveryError, MessageAnomaly, MessageStatusChanged
from schemas.events.reports import ReportUpdated
from schemas.settings.ai import HttpAgent
from schemas.settings.channel import ChannelSettings, to_stored
from tests.support.view import START, Model, header, logged

LUCIA = Assignee(kind="human", id="lucia")
BOT = Assignee(kind="ai", id="bot")
SALES = Assignee(kind="team", id="sales")


def view(*records: Logged) -> Model:
    model = Model()
    for one in records:
        for row in project(one):
            model.set(row)
    return model


def only(model: Model, table: str) -> dict[str, Any]:
    (row,) = model.tables[table].values()
    return row


def conversation(*events: ConversationEvent) -> dict[str, Any]:
    return only(view(*(logged("conversations", number, event) for number, event in enumerate(events))), "conversations")


def at(offset: int) -> object:
    return START + timedelta(seconds=offset)


def test_a_conversation_is_as_its_last_header_says() -> None:
    row = conversation(
        ConversationOpened(header=header()),
        ConversationAssigned(header=header(assignee=LUCIA, revision=2, labels=("vip",), contact_name="Ana")),
    )
    assert (row["assignee"], row["revision"], row["labels"], row["contact_name"]) == ("human/lucia", 2, ["vip"], "Ana")
    assert (row["key"], row["active_at"], row["offset"]) == ("shop:34600100200", at(1), 0)
    assert {"ana", "vip", "34600100200", "0200"} <= set(row["words"].split())


def test_what_lists_are_in_the_order_of_is_the_last_message_not_bookkeeping() -> None:
    ended = ConversationSurveyEnded(
        header=header(), survey_id="s", resolution=1, asked_at=START, outcome="expired", rating=None
    )
    closed = ConversationStatusChanged(header=header(status=Status.CLOSED), previous=Status.RESOLVED, reason="x")
    row = conversation(message(), ended, closed)
    assert (row["active_at"], row["status_since"], row["last_text"], row["last_kind"]) == (
        at(0),
        at(2),
        "Hello",
        "text",
    )


@pytest.mark.parametrize(
    ("events", "since"),
    [
        ([ConversationOpened(header=header())], 0),
        ([ConversationOpened(header=header(assignee=LUCIA))], None),
        ([ConversationOpened(header=header()), ConversationAssigned(header=header(assignee=SALES))], 0),
        ([ConversationOpened(header=header()), ConversationAssigned(header=header(assignee=BOT))], None),
        (
            [
                ConversationOpened(header=header(assignee=LUCIA)),
                ConversationAssigned(header=header(), previous=LUCIA),
                ConversationAssigned(header=header(assignee=SALES)),
            ],
            1,
        ),
        (
            [
                ConversationOpened(header=header()),
                ConversationStatusChanged(header=header(status=Status.RESOLVED), previous=Status.OPEN, reason="x"),
            ],
            None,
        ),
        (
            [
                ConversationOpened(header=header(status=Status.SNOOZED)),
                ConversationStatusChanged(header=header(), previous=Status.SNOOZED, reason="woken"),
            ],
            1,
        ),
    ],
)
def test_its_place_in_the_queue_is_since_when_nobody_has_it(events: list[ConversationEvent], since: int | None) -> None:
    assert conversation(*events)["unassigned_since"] == (None if since is None else at(since))


def message(**given: Any) -> ConversationMessageReceived:
    return ConversationMessageReceived(
        **{"header": header(), "message_id": "m-1", "at": START, "kind": "text", "text": "Hello", **given}
    )


def test_a_thread_holds_every_event_with_what_it_says() -> None:
    media = Media(link="https://x/y", filename="Rechnung März.pdf")
    events = [
        message(at=START - timedelta(minutes=1), quotes="m-0", media=media),
        ConversationMessageSent(header=header(), message_id="m-2", at=START, kind="reply", by="lucia", text="Good day"),
        ConversationNoteAdded(header=header(), note_id="n", text="Call back", reason="note", by="lucia"),
        ConversationNoticeReceived(
            header=header(), kind="reaction", refers_to="m-2", at=START, content=Content(reaction=Reaction(emoji="👍"))
        ),
    ]
    model = view(*(logged("conversations", n, event, causation_id="cause") for n, event in enumerate(events)))
    received, sent, note, notice = model.tables["entries"].values()
    assert (received["at"], received["message"], received["text"]) == (START - timedelta(minutes=1), "m-1", "Hello")
    assert received["data"]["quotes"] == "m-0"
    assert (sent["by"], sent["data"]["kind"], note["text"], note["cause"]) == ("lucia", "reply", "Call back", "cause")
    assert (notice["refers_to"], notice["data"]["content"]) == ("m-2", {"reaction": {"emoji": "👍"}})
    words = [text["words"] for text in model.tables["texts"].values()]
    assert words == ["hello rechnung marz pdf m1", "good day m2", "call back"]


def test_what_became_of_a_file_and_a_reaction_are_about_their_message_and_move_nothing() -> None:
    kept = {"file": "k", "mime_type": "image/png", "size": 7, "sha256": "0"}
    reaction = Outgoing(reaction=SentReaction(message_id="m-1", emoji="👍"))
    events = [
        message(),
        ConversationMediaStored(header=header(), message_id="m-1", index=0, **kept),
        ConversationMediaFailed(header=header(), message_id="m-1", index=1, reason="too_large", final=True),
        ConversationMessageSent(header=header(), message_id="r", at=START, kind="reaction", content=reaction),
    ]
    model = view(*(logged("conversations", n, event) for n, event in enumerate(events)))
    rows = model.tables["entries"].values()
    assert [(row["message"], row["refers_to"]) for row in rows] == [
        ("m-1", None),
        (None, "m-1"),
        (None, "m-1"),
        ("r", "m-1"),
    ]
    found = only(model, "conversations")
    assert (found["active_at"], found["last_text"]) == (at(0), "Hello")


def test_a_label_that_is_taken_off_is_no_longer_there() -> None:
    events = [
        ConversationLabelled(header=header(labels=("vip", "new")), added=("vip", "new"), by="lucia"),
        ConversationLabelled(header=header(labels=("new",)), removed=("vip",), by="lucia"),
    ]
    rows = view(*(logged("conversations", n, event) for n, event in enumerate(events))).tables["labels"]
    assert {label: row["present"] for (label, _), row in rows.items()} == {"vip": False, "new": True}


def test_a_refused_command_is_kept_with_its_reason() -> None:
    refused = ConversationCommandRefused(command_id="c", command="command.reply", code="window_closed", reason="Late.")
    row = only(view(logged("conversations", 3, refused)), "refusals")
    assert (row["command"], row["code"], row["channel"]) == ("c", "window_closed", "shop")


def status(reported: str, **given: Any) -> MessageStatusChanged:
    return MessageStatusChanged(
        message_id="m-2", reported=reported, status=reported, timestamps={reported: START}, **given
    )


def test_receipts_are_kept_whether_or_not_their_message_is_known() -> None:
    failed = status("sent_failed", error=DeliveryError(code=7, message="no"))
    anomaly = MessageAnomaly(message_id="m-2", standing="sent_failed", reported="read", at=START)
    row = only(view(logged("statuses", 0, failed), logged("statuses", 1, anomaly)), "receipts")
    assert (row["key"], row["message"], row["status"]) == ("shop:34600100200", "m-2", "sent_failed")
    assert row["timestamps"] == {"sent_failed": "2026-06-01T10:00:00Z"}
    assert (row["error_code"], row["error_message"], row["anomaly"]) == (7, "no", "read")


def test_decisions_are_kept_with_their_explanations() -> None:
    model = view(
        logged("assignments", 0, AssignmentWaiting(conversation_id="a", revision=1, explanation={"because": "x"})),
        logged(
            "assignments",
            1,
            AssignmentDecided(proposal_id="p", conversation_id="a", revision=1, assignee=LUCIA, explanation={}),
        ),
        logged("assignments", 2, AssignmentReleased(conversation_id="a", agent="lucia", reason="refused")),
    )
    assert [(row["type"], row["assignee"]) for row in model.tables["decisions"].values()] == [
        ("assignment.waiting", None),
        ("assignment.decided", "human/lucia"),
        ("assignment.released", "human/lucia"),
    ]


def test_an_ai_agent_s_calls_are_kept_by_the_message_that_they_were_for() -> None:
    call = {"request_id": "r", "conversation_id": "a", "agent": "bot", "call": "model", "name": "m-1", "at": START}
    events = [
        AiCallEnded.model_validate({**call, "outcome": "answered", "message_id": "m-1", "cost_micros": 7}),
        AiCallEnded.model_validate({**call, "outcome": "later", "used": False}),
    ]
    model = view(*(logged("ai-calls", number, event) for number, event in enumerate(events)))
    first, second = model.tables["ai_calls"].values()
    assert (first["message"], first["outcome"], first["cost_micros"], first["request"]) == ("m-1", "answered", 7, "r")
    assert (second["message"], second["outcome"], second["used"]) == (None, "later", False)


def test_a_thread_says_why_a_message_was_quiet_or_handed_over_and_what_an_answer_cites() -> None:
    cited = Citation(id="faq/returns/1", title="Returns")
    events = [
        message(treatment="quiet", header=header(blocked=True)),
        message(treatment="quiet", header=header(muted=True), message_id="m-2"),
        message(message_id="m-3"),
        ConversationMessageSent(
            header=header(), message_id="o", at=START, kind="ai", by="bot", text="30 days [1]", citations=(cited,)
        ),
        ConversationStatusChanged(header=header(), previous=Status.AI_REPLYING, reason="ai_handed_over", why="anger"),
    ]
    entries = view(*(logged("conversations", n, event) for n, event in enumerate(events))).tables["entries"].values()
    blocked, muted, ordinary, answer, handed_over = (entry["data"] for entry in entries)
    assert [one.get("quiet_because") for one in (blocked, muted, ordinary)] == ["blocked", "muted", None]
    assert answer["citations"] == [{"id": "faq/returns/1", "title": "Returns"}]
    assert (handed_over["reason"], handed_over["why"]) == ("ai_handed_over", "anger")


def test_a_survey_is_what_became_of_it() -> None:
    of = {"survey_id": "s", "conversation_id": "a", "channel": "shop", "contact": "x", "resolution": 1}
    events: list[Event] = [
        SurveyRequested(**of, asked_at=START),
        SurveyAnswered(**of, asked_at=START, rating=2, agent="lucia"),
        SurveyCommented(**of, asked_at=START, rating=2, agent="lucia", comment="Slow"),
    ]
    row = only(view(*(logged("csat", n, event) for n, event in enumerate(events))), "surveys")
    assert (row["state"], row["rating"], row["comment"], row["agent"]) == ("answered", 2, "Slow", "lucia")


def test_a_resolution_that_nobody_is_asked_about_is_a_survey_too() -> None:
    skipped = SurveySkipped(conversation_id="a", channel="shop", contact="x", resolution=3, reason="blocked")
    row = only(view(logged("csat", 0, skipped)), "surveys")
    assert (row["id"], row["state"], row["reason"]) == ("a/3", "skipped", "blocked")


def test_a_channel_is_its_newest_revision_without_credentials() -> None:
    settings = ChannelSettings(
        id="shop", phone_number="+34600123456", dev_key="key", dev_secret="hidden", human_agents=("lucia",)
    )
    bot = HttpAgent(id="bot", url="https://ai.example", api_key=SecretStr("hidden"))
    settings = settings.model_copy(update={"ai_agents": (bot,)})
    saved = [
        ChannelSaved.model_validate({"settings": to_stored(one, lambda text: f"encrypted {text}")})
        for one in (settings, settings.model_copy(update={"revision": 2, "name": "Shop"}))
    ]
    row = only(view(*(logged("channels", n, event, key=f"shop/{n + 1}") for n, event in enumerate(saved))), "channels")
    assert (row["account"], row["revision"], row["name"], row["offset"]) == ("main", 2, "Shop", 1)
    assert row["settings"]["human_agents"] == ["lucia"]
    assert "encrypted" not in str(row)


def test_an_agent_is_kept_without_a_name_when_deleted() -> None:
    saved = AgentSaved(agent="lucia", name="Lucía", workload=3, teams=("sales", "support"))
    before = only(view(logged("directory", 0, saved, key="agent/main/lucia")), "agents")
    assert (before["name"], before["workload"], before["teams"]) == ("Lucía", "3", "\nsales\nsupport\n")
    gone = logged("directory", 1, AgentDeleted(agent="lucia"), key="agent/main/lucia")
    row = only(view(logged("directory", 0, saved, key="agent/main/lucia"), gone), "agents")
    assert (row["account"], row["id"], row["name"], row["deleted"]) == ("main", "lucia", "lucia", True)
    assert row == only(view(gone), "agents")  # as the compacted topic has it


def test_presence_is_what_a_person_chose_and_the_last_heartbeat() -> None:
    events = [
        PresenceChanged(agent="lucia", state="busy"),
        PresenceChanged(agent="lucia", state="online", source="heartbeat"),
    ]
    records = [logged("account-inbox", n, event, key="main") for n, event in enumerate(events)]
    row = only(view(*records), "presence")
    assert (row["chosen"], row["heartbeat"], row["heartbeat_at"]) == ("busy", "online", at(1))
    left = only(view(*records, logged("account-inbox", 2, AgentDeleted(agent="lucia"), key="main")), "presence")
    assert (left["chosen"], left["heartbeat"]) == (None, None)


def test_a_dead_letter_is_its_head() -> None:
    letter = DeadLettered(reason="invalid", detail="at: x", stage="intake", topic="webhooks", body="Hello secret")
    model = view(logged("dead-letters", 0, letter, id="l"))
    row = only(model, "dead_letters")
    assert (row["id"], row["stage"], row["channel"], row["replayed"]) == ("l", "intake", "shop", False)
    assert "secret" not in str(row)
    of_account = letter.model_copy(update={"topic": "account-inbox"})
    row = only(view(logged("dead-letters", 0, of_account, key="main")), "dead_letters")
    assert (row["channel"], row["account"]) == (None, "main")
    replayed = logged("dead-letters", 1, DeadLetterReplayed(letter_id="l"))
    assert only(view(logged("dead-letters", 0, letter, id="l"), replayed), "dead_letters")["replayed"]
    assert only(view(replayed), "dead_letters")["stage"] is None


def test_figures_and_notifications_are_kept_as_they_are() -> None:
    updated = ReportUpdated(kind="messages", channel="shop", day=START.date(), counts={"read": 2})
    assert only(view(logged("reports", 0, updated, key="k")), "reports")["counts"] == {"read": 2}
    notice = NotificationReceived(event="template", data={"x": 1})
    assert only(view(logged("notifications", 0, notice, key="shop")), "notifications")["data"] == {"x": 1}


def test_what_an_operator_wrote_again_for_one_stage_changes_nothing() -> None:
    assert project(logged("conversations", 0, message(), replayed_for="csat")) == []

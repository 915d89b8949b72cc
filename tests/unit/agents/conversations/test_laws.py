"""What holds whatever happens: random interleavings of everything that conversations reads."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from agents.conversations.moves import TRANSITIONS
from agents.conversations.rows import Asked, Contact, Deadline, HeldMessage, Survey
from agents.stage import RowT
from schemas.event import Event
from schemas.events.ai import AiRequested
from schemas.events.assignment import AssignmentRequested, ConversationChanged, ProposalAnswered
from schemas.events.conversation import (
    LIVE,
    SESSION_WINDOW,
    Assignee,
    ConversationCommandRefused,
    ConversationEvent,
    ConversationMessageReceived,
    ConversationOpened,
    ConversationRated,
    ConversationRouted,
    ConversationStatusChanged,
    ConversationSurveyEnded,
    ConversationSurveyRefused,
    ConversationSurveyRequested,
    ConversationSurveySent,
    Status,
)
from schemas.events.inbox import DeliverySent, DeliveryUnsent, ProposeAssignee, ProposeSurvey
from schemas.events.sending import SendMessage
from schemas.settings.channel import Csat
from streams.state import KeyRows
from tests.support.conversation import ANA, BEN, BOT, HELLO, KEY, NIGHT_BOT, SALES, ConversationBench, channel, minutes
from tests.support.stage import Emitted, all_of, the, types

TEXTS = ("Moin", "5", "4/5", "⭐⭐")
HOLDERS = (None, ANA, BEN, BOT)
ASSIGNEES = (ANA, BEN, SALES, BOT, NIGHT_BOT, Assignee(kind="human", id="eve"))
UNSENT = ("unknown", "refused", "window_closed")
QUICK = Csat(enabled=True, text="1 to 5?", answer_window_days=2)


class Story:
    """Random steps. Proposals, AI agents and delivery answer what was asked, in any order, late or not at all."""

    def __init__(self, *, single: bool) -> None:
        options = {"single": single, "csat": QUICK, "auto_resolve_after": timedelta(hours=5), "goodbye": "Bye"}
        self.choices = [channel(**options, ai=ai) for ai in (True, False)]  # type: ignore[arg-type]
        self.bench = ConversationBench(self.choices[0])
        self.count = 0
        self.reported: list[Event] = []
        self.requests: list[AssignmentRequested] = []
        self.resolved: list[ConversationStatusChanged] = []
        self.asked: list[AiRequested] = []
        self.to_send: list[SendMessage] = []

    def play(self, step: str, number: int) -> list[Emitted]:
        self.count += 1
        emitted = self._play(step, number)
        self.reported += [entry.event for entry in emitted]
        self.requests += all_of(AssignmentRequested, emitted)
        self.asked += all_of(AiRequested, emitted)
        self.to_send += all_of(SendMessage, emitted)
        self.resolved += [e for e in all_of(ConversationStatusChanged, emitted) if e.header.status is Status.RESOLVED]
        return emitted

    def _play(self, step: str, number: int) -> list[Emitted]:
        bench, id = self.bench, f"{step}-{self.count}"
        match step:
            case "message":
                return self._message(id, number)
            case "notice":
                return bench.notice(id)
            case "reply":
                return bench.reply(id, by=("ana", "ben")[number % 2])
            case "template":
                return bench.reply(id, text=None, template=HELLO)
            case "resolve":
                return bench.resolve(id)
            case "reopen":
                return bench.reopen()
            case "snooze":
                return bench.snooze(None if number % 2 else bench.now + timedelta(hours=number + 1))
            case "assign":
                return bench.assign(ASSIGNEES[number % len(ASSIGNEES)])
            case "hand over":
                return bench.hand_over()
            case "label":
                return bench.label((str(number % 3),), (str(number % 2),))
            case "mind":
                return (bench.note, bench.block, bench.unblock, bench.mute)[number % 4]()
            case "settings":
                bench.stage.settings = self.choices[number % 2]
                return []
            case "wait":
                return bench.wait(timedelta(hours=number))
            case "propose" if self.requests:
                return self._propose(self.requests[-1 - number % min(3, len(self.requests))], number)
            case "survey" if self.resolved:
                return self._survey(self.resolved[-1 - number % min(3, len(self.resolved))], id)
            case "ai" if self.asked:
                ends = (bench.ai_answers, bench.ai_answers, bench.ai_hands_over, bench.ai_fails)
                return ends[number % 4](self.asked.pop(0))
            case "deliver" if self.to_send:
                return self._deliver(self.to_send.pop(0), number)
        return []

    def _message(self, id: str, number: int) -> list[Emitted]:
        bench = self.bench
        survey = next(iter(bench_rows(bench, "survey/", Survey)), None)
        quotes = survey.id if survey is not None and number % 3 == 0 else None
        at = bench.now - minutes(number % 7)
        emitted = bench.message(id, text=TEXTS[number % len(TEXTS)], sent_at=at, quotes=quotes)
        assert bench.message(id) == []
        return emitted

    def _propose(self, request: AssignmentRequested, number: int) -> list[Emitted]:
        proposal = ProposeAssignee(
            proposal_id=f"p{self.count}",
            conversation_id=request.conversation_id,
            revision=request.revision,
            assignee=HOLDERS[number % len(HOLDERS)],
        )
        emitted = self.bench.feed(proposal)
        answer = the(ProposalAnswered, emitted)
        assert answer.proposal_id == proposal.proposal_id
        if not answer.accepted:
            assert len(emitted) == 1
        for changed in all_of(ConversationChanged, emitted):
            assert changed.revision == answer.revision
        return emitted

    def _survey(self, resolved: ConversationStatusChanged, id: str) -> list[Emitted]:
        header = resolved.header
        proposal = ProposeSurvey(survey_id=id, conversation_id=header.conversation_id, revision=header.revision)
        emitted = self.bench.feed(proposal)
        answers = [e for e in all_of(ConversationEvent, emitted) if not isinstance(e, ConversationMessageReceived)]
        assert [type(e) for e in answers] in ([ConversationSurveyRequested], [ConversationSurveyRefused])
        return emitted

    def _deliver(self, message: SendMessage, number: int) -> list[Emitted]:
        id, conversation, kind = message.message_id, message.conversation_id, message.kind
        if number % 3:
            sent = DeliverySent(message_id=id, conversation_id=conversation, kind=kind, via="session")
            return self.bench.feed(sent)
        reason = UNSENT[number // 3 % len(UNSENT)]
        return self.bench.feed(DeliveryUnsent(message_id=id, conversation_id=conversation, kind=kind, reason=reason))


STEPS = (
    *("message", "message", "message", "reply", "template", "resolve", "resolve", "reopen", "snooze", "assign"),
    *("hand over", "label", "mind", "settings", "wait", "wait", "propose", "propose", "propose", "survey", "survey"),
    *("ai", "ai", "deliver", "deliver", "notice"),
)


@settings(max_examples=200, deadline=None)
@given(steps=st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 60)), max_size=50), single=st.booleans())
def test_whatever_happens(steps: list[tuple[str, int]], single: bool) -> None:
    story, laws = Story(single=single), Laws()
    for step, number in steps:
        laws.check_reported(story.play(step, number), story.bench.now)
        laws.check_reported(story.bench.wait(minutes(1)), story.bench.now)
        check_rows(story.bench, story.reported)
    said_once(story.reported)


class Laws:
    """What each event may say, given those before it."""

    def __init__(self) -> None:
        self.known: dict[str, tuple[Status, Assignee | None, int]] = {}
        self.last_customer_at: datetime | None = None
        self.open_surveys: set[str] = set()

    def check_reported(self, emitted: list[Emitted], now: datetime) -> None:
        """All that one step led to, in order."""
        for entry in emitted:
            event = entry.event
            if isinstance(event, ConversationSurveyRefused):
                continue  # it may be about one that is gone
            if isinstance(event, ConversationEvent):
                self._moves_as_it_may(event)
                self._surveys(event)
            if isinstance(event, ConversationMessageReceived):
                self.last_customer_at = max(self.last_customer_at or event.at, event.at)
                self._is_treated(event, emitted)
            if isinstance(event, SendMessage):
                self._may_be_sent(event, now)
        if all_of(ConversationCommandRefused, emitted):
            assert len(emitted) == 1

    def _moves_as_it_may(self, event: ConversationEvent) -> None:
        header = event.header
        state = (header.status, header.assignee, header.revision)
        before = self.known.get(header.conversation_id)
        self.known[header.conversation_id] = state
        if before is None:
            assert isinstance(event, ConversationOpened)
            assert header.revision == 1
            return
        moved = before[:2] != state[:2]
        assert header.revision == before[2] + moved
        if before[0] is not header.status:
            assert header.status in TRANSITIONS[before[0]]
        if isinstance(event, ConversationStatusChanged):
            assert header.status in TRANSITIONS[event.previous]
        assert (header.status is Status.AI_REPLYING) <= (header.assignee is not None and header.assignee.kind == "ai")
        live = [id for id, (status, _, _) in self.known.items() if status in LIVE]
        assert len(live) <= 1

    def _is_treated(self, event: ConversationMessageReceived, emitted: list[Emitted]) -> None:
        header = event.header
        asked = [one.message_id for one in all_of(AiRequested, emitted)]
        held_by_ai = event.treatment == "ordinary" and header.status is Status.AI_REPLYING
        handed_over = any(one.reason == "ai_failed" for one in all_of(ConversationStatusChanged, emitted))
        assert (event.message_id in asked) == (held_by_ai and not handed_over)
        if header.blocked:
            assert event.treatment == "quiet"
        assert (event.treatment == "rating") == bool(all_of(ConversationRated, emitted))
        if event.treatment == "quiet":
            assert types(emitted) == [ConversationMessageReceived.type]

    def _may_be_sent(self, message: SendMessage, now: datetime) -> None:
        ends = None if self.last_customer_at is None else self.last_customer_at + SESSION_WINDOW
        assert message.not_after == ends
        if message.kind == "reply" and message.text is not None:
            assert ends is not None
            assert now < ends

    def _surveys(self, event: ConversationEvent) -> None:
        match event:
            case ConversationSurveyRequested(survey_id=id):
                self.open_surveys.add(id)
            case ConversationSurveySent(survey_id=id) | ConversationRated(survey_id=id):
                assert id in self.open_surveys
            case ConversationSurveyEnded(survey_id=id):
                self.open_surveys.remove(id)


def check_rows(bench: ConversationBench, reported: list[Event]) -> None:
    """The state fits together, and nothing in it is left over."""
    rows, surveys = bench.rows, bench_rows(bench, "survey/", Survey)
    contact = bench.stage.row(KEY, "contact", Contact)
    assert sum(row.status in LIVE for row in rows) <= 1
    for row in rows:
        open_surveys = [one for one in surveys if one.conversation == row.number]
        assert contact is not None
        assert row.number == contact.latest or row.status is Status.RESOLVED or open_surveys
    assert {one.conversation for one in surveys} <= {row.number for row in rows}
    ends = sorted([row.ends_at for row in rows if row.ends_at] + [one.ends_at for one in surveys])
    assert [due.at for due in bench_rows(bench, "due/", Deadline)] == ends
    assert ("due" in bench.stage.timers(KEY)) == bool(ends)
    assert "wake" not in bench.stage.timers(KEY) or rows[-1].status is Status.SNOOZED
    assert "auto_resolve" not in bench.stage.timers(KEY) or rows[-1].status is Status.OPEN
    assert max(bench.stage.row_sizes(), default=0) < 8 * 1024
    if rows and rows[-1].status is Status.OPEN and not rows[-1].routed:
        requests = [e for e in reported if isinstance(e, AssignmentRequested) and e.conversation_id == rows[-1].id]
        assert requests[-1].revision == rows[-1].revision
    if bench_rows(bench, "held/", HeldMessage):
        assert rows[-1].status in LIVE
        assert not rows[-1].routed
    if bench_rows(bench, "asked/", Asked):
        assert rows[-1].status is Status.AI_REPLYING


def bench_rows(bench: ConversationBench, prefix: str, model: type[RowT]) -> list[RowT]:
    return [row for _, row in KeyRows(bench.stage.state, KEY).scan(prefix, model)]


def said_once(reported: list[Event]) -> None:
    def once(said: Iterable[object]) -> None:
        listed = list(said)
        assert len(listed) == len(set(listed))

    once(e.message_id for e in reported if isinstance(e, ConversationMessageReceived))
    once(e.message_id for e in reported if isinstance(e, SendMessage))
    once(e.message_id for e in reported if isinstance(e, AiRequested))
    once(e.header.conversation_id for e in reported if isinstance(e, ConversationRouted) and e.first)
    once((e.conversation_id, e.revision, e.routed, e.automatic) for e in reported if isinstance(e, ConversationChanged))
    once((e.header.conversation_id, e.resolution) for e in reported if isinstance(e, ConversationSurveyRequested))
    once(e.survey_id for e in reported if isinstance(e, ConversationSurveySent))


def test_the_state_stays_small() -> None:
    bench = ConversationBench()
    for number in range(10_000):
        bench.message(f"m{number}", text="x" * 4096, name="n" * 256)
        if number == 100:
            bench.propose(ANA)
        bench.wait(timedelta(seconds=100))
    assert max(bench.stage.row_sizes()) < 8 * 1024
    assert len(bench.stage.row_names(KEY, "seen/")) <= 8 * 24 * 36
    assert bench.stage.row_names(KEY, "held/") == []


def test_the_state_of_many_short_conversations_stays_small() -> None:
    bench = ConversationBench()
    for number in range(400):
        bench.message(f"m{number}", text="5" if number % 3 else "Moin")
        bench.resolve(f"c{number}")
        bench.ask_survey(f"s{number}")
        bench.unsent(f"s{number}", "survey", "refused") if number % 2 else bench.sent(f"s{number}", "survey")
        bench.wait(timedelta(seconds=200))
    assert max(bench.stage.row_sizes()) < 8 * 1024
    bench.wait(timedelta(days=50))
    assert bench.stage.row_names(KEY) == ["contact"]

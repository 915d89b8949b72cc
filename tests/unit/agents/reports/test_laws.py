"""reports: whatever happened, the sums are what a recount of the final facts gives."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Literal, NamedTuple, get_args
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from agents.opening import is_open
from agents.reports.conversations import REPORTS_CONVERSATIONS
from agents.reports.csat import REPORTS_CSAT
from agents.reports.statuses import REPORTS_STATUSES
from agents.status import STATUS
from desk.figures import By, summed
from schemas.events.conversation import ConversationSurveyEnded, ConversationSurveyRequested, Status
from schemas.events.csat import SurveyAnswered, SurveySent
from schemas.events.receipts import MessageStatusChanged, ReceiptReceived
from schemas.events.reports import AI_KINDS, ReportKind, bucket_of
from schemas.settings.channel import ChannelSettings
from tests.support.reports import KEY, MONDAY, Count, Reports, Talk, channel
from tests.support.stage import StageBench, all_of

ZONES = (None, "Europe/Madrid", "Asia/Tokyo", "America/New_York")
BOT = "bot"
STEPS = st.timedeltas(timedelta(), timedelta(hours=30))


# --- conversations -------------------------------------------------------------------------------------------------

What = Literal["write", "reply", "ai", "resolve", "auto_resolve", "reopen", "close", "ask", "end_survey"]


class Fact(NamedTuple):
    """Something that happened in a conversation, or was opened."""

    at: datetime
    what: What | Literal["open"]
    by: str | None


class Life:
    """One conversation: tells reports what may happen in it, and remembers that."""

    def __init__(self, reports: Reports, number: int) -> None:
        self.talk = Talk(reports, f"c{number}", partition=number % 2)
        self.facts: list[Fact] = []
        self.surveys = 0

    def live(self, what: What, by: str, person: bool, at: datetime) -> None:
        talk = self.talk
        who = by if what in ("reply", "resolve") or (what == "reopen" and person) else None
        live = talk.status in (Status.OPEN, Status.AI_REPLYING)
        if not self.facts:
            talk.open(at, "agent" if person else "customer")
            self.facts.append(Fact(at, "open", by if person else None))
        match what:
            case "write":
                talk.write(at)
            case "reply" | "ai":
                talk.send(at, by if what == "reply" else BOT, what)
            case "resolve" | "auto_resolve" if live:
                talk.resolve(at, who if what == "resolve" else None)
            case "reopen" if not live:
                talk.reopen(at, who)
            case "close" if talk.status is Status.RESOLVED:
                talk.close(at)
            case "ask" if talk.status is Status.RESOLVED:
                self.surveys += 1
                values = {"header": talk.header(), "survey_id": "s", "resolution": 1, "asked_at": at}
                talk.tell(ConversationSurveyRequested.model_validate(values), at)
            case "end_survey" if self.surveys:
                self.surveys -= 1
                values = {"header": talk.header(), "survey_id": "s", "resolution": 1, "asked_at": at}
                talk.tell(ConversationSurveyEnded.model_validate(values | {"outcome": "expired"}), at)
            case _:
                return
        self.facts.append(Fact(at, what, who))

    def rounds(self) -> list[list[Fact]]:
        """Its facts, cut where it was final and came back."""
        rounds: list[list[Fact]] = [[]]
        closed, surveys = False, 0
        for fact in self.facts:
            if closed and not surveys:
                if fact.what != "reopen":
                    continue  # it is final: nothing counts any more
                rounds.append([])
            closed = fact.what == "close" or (closed and fact.what != "reopen")
            surveys += {"ask": 1, "end_survey": -1}.get(fact.what, 0)
            rounds[-1].append(fact)
        return rounds


def recounted(round: Sequence[Fact], settings: ChannelSettings) -> Counter[Count]:
    """What a round adds to the figures, from its facts alone."""
    found: Counter[Count] = Counter()

    def count(kind: ReportKind, at: datetime, agent: str | None, measure: str) -> None:
        found[Count(kind, local_day(settings, at), agent, measure)] += 1

    def took(name: Literal["first_response", "resolution"], first: datetime) -> ReportKind:
        if name == "resolution":
            return "resolution_open" if is_open(settings.business_hours, first) else "resolution_closed"
        return "first_response_open" if is_open(settings.business_hours, first) else "first_response_closed"

    began = round[0]
    count("conversations", began.at, None, "opened")
    wrote = next((n for n, fact in enumerate(round) if fact.what == "write"), None)
    spoke = next((n for n, fact in enumerate(round) if fact.what in ("reply", "ai")), None)
    if began.by is None and wrote is not None and spoke is not None and wrote < spoke:
        agent = round[spoke].by if round[spoke].what == "reply" else None
        again = [fact.at for fact in round[1:spoke] if fact.what == "reopen"]
        bucket = str(bucket_of(round[spoke].at - max(round[wrote].at, *again, round[wrote].at)))
        if agent is None:
            found[Count("ai_first_response", round[spoke].at.date(), BOT, bucket)] += 1
        count(took("first_response", round[wrote].at), round[spoke].at, agent, bucket)
    for fact in round:
        if fact.what == "ai":
            found[Count("ai", fact.at.date(), BOT, "answers")] += 1
    resolution: int | None = None
    closing: int | None = None
    for n, fact in enumerate(round):
        if fact.what in ("resolve", "auto_resolve"):
            resolution = n
        elif fact.what == "close":
            closing = n
        elif fact.what == "reopen" and n:
            assert resolution is not None
            count("conversations", fact.at, round[resolution].by, "reopened")
            resolution = closing = None
    if resolution is not None:
        resolved = round[resolution]
        outcome = "resolved" if resolved.what == "resolve" else "resolved_automatically"
        count("conversations", resolved.at, resolved.by, outcome)
        first = round[wrote].at if wrote is not None and wrote < resolution else began.at
        count(took("resolution", first), resolved.at, resolved.by, str(bucket_of(resolved.at - began.at)))
        if closing is not None:
            count("conversations", round[closing].at, resolved.by, "closed")
    return found


def local_day(settings: ChannelSettings, at: datetime) -> date:
    return at.astimezone(ZoneInfo(settings.business_hours.timezone)).date()


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3), st.sampled_from(get_args(What)), st.sampled_from(["nadia", "olaf"]), st.booleans(), STEPS
        ),
        max_size=40,
    ),
    st.sampled_from(ZONES),
)
def test_sums_of_conversations_are_a_recount_of_their_final_facts(
    history: list[tuple[int, What, str, bool, timedelta]], zone: str | None
) -> None:
    reports = Reports(REPORTS_CONVERSATIONS, channel(zone))
    lives = [Life(reports, number) for number in range(4)]
    now = MONDAY
    for number, what, by, person, later in history:
        now += later
        lives[number].live(what, by, person, now)
    facts: Counter[Count] = Counter()
    for life in lives:
        if life.facts:
            for round in life.rounds():
                facts.update(recounted(round, reports.settings))
    assert reports.sums == dict(facts)
    check_groups(reports, facts)


def check_groups(reports: Reports, facts: Counter[Count]) -> None:
    """However they are grouped, the sums are the same."""
    for by in get_args(By):
        wanted: defaultdict[tuple[str, ReportKind], Counter[str]] = defaultdict(Counter)
        for count, number in facts.items():
            if (by == "agent" and count.kind in AI_KINDS) or (by == "ai-agent" and count.kind not in AI_KINDS):
                continue
            who = count.agent or "-"
            group = {"channel": "shop", "agent": who, "ai-agent": who, "day": str(count.day)}[by]
            wanted[group, count.kind][count.measure] += number
        groups = summed(reports.partials, by)
        found = {
            (g, kind): counts for g, figures in groups.items() for kind, counts in figures.counts.items() if counts
        }
        assert found == wanted


# --- satisfaction --------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 5), STEPS, st.sampled_from(ZONES)), max_size=25))
def test_a_survey_and_its_last_answer_stand_on_one_day_whatever_becomes_of_the_zone(
    history: list[tuple[int, int, timedelta, str | None]],
) -> None:
    reports = Reports(REPORTS_CSAT, channel())
    asked: dict[int, datetime] = {}
    ratings: dict[int, int] = {}
    now = MONDAY
    for number, rating, later, zone in history:
        now += later
        reports.settings = channel(zone)
        asked_at = asked.setdefault(number, now)
        survey = SurveySent(
            survey_id=f"s{number}",
            conversation_id="c1",
            channel="shop",
            contact="34655010400",
            resolution=1,
            agent=f"a{number}",
            asked_at=asked_at,
        )
        if asked_at == now and number not in ratings:
            reports.tell(survey, now, partition=number % 2)
        answer = {"rating": rating, "previous": ratings.get(number)}
        reports.tell(SurveyAnswered.model_validate(survey.model_dump() | answer), now, partition=number % 2)
        ratings[number] = rating
    for number, rating in ratings.items():
        mine = {count: n for count, n in reports.sums.items() if count.agent == f"a{number}"}
        assert len({count.day for count in mine}) == 1
        assert {count.measure: n for count, n in mine.items()} == {"sent": 1, f"rating_{rating}": 1}
    figures = summed(reports.partials).get("shop")
    assert (figures.surveys_sent if figures else 0) == len(asked)
    assert (figures.satisfied if figures else 0) == sum(rating >= 4 for rating in ratings.values())


# --- messages ------------------------------------------------------------------------------------------------------


class Message:
    """What the status stage would say of a message, in whatever order its receipts come."""

    def __init__(self, id: str) -> None:
        self.bench = StageBench(STATUS, channel())
        self.id = id
        self.first: datetime | None = None
        self.status: str | None = None

    def hear(self, status: str, at: datetime, now: datetime, reports: Reports, partition: int) -> None:
        receipt = ReceiptReceived(provider_message_id=f"p-{self.id}", message_id=self.id, status=status, at=at)
        for changed in all_of(MessageStatusChanged, self.bench.feed(receipt, at=now, key=KEY)):
            self.status = changed.status if changed.timestamps else None
            self.first = self.first or changed.timestamps.get(status)
            reports.tell(changed, now, partition=partition)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3),
            st.sampled_from(["sent", "delivered", "read", "sent_failed", "delivered_failed", "plan", "teleported"]),
            STEPS,
            STEPS,
        ),
        max_size=25,
    ),
    st.sampled_from(ZONES),
)
def test_each_message_counts_once_under_the_status_that_stands(
    history: list[tuple[int, str, timedelta, timedelta]], zone: str | None
) -> None:
    reports = Reports(REPORTS_STATUSES, channel(zone))
    messages = [Message(f"o{number}") for number in range(4)]
    now = MONDAY
    for number, status, later, before in history:
        now += later
        # The status stage forgets a message after 30 days, and so knows it anew: that is another message to it.
        if now - MONDAY < timedelta(days=30):
            messages[number].hear(status, now - before, now, reports, number % 2)
    standing = Counter(
        Count("messages", local_day(reports.settings, message.first), None, message.status)
        for message in messages
        if message.first is not None and message.status is not None
    )
    assert reports.sums == dict(standing)

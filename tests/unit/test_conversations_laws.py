"""What holds whatever happens: random interleavings of everything that conversations reads."""

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.conversation import (
    LIVE,
    ConversationEvent,
    ConversationMessageReceived,
    ConversationRouted,
    ConversationStatusChanged,
    ProposeAssignee,
    Status,
)
from schemas.event import Event
from schemas.messaging import SendMessage
from schemas.system import AssignmentRequested, ConversationChanged, ProposalAnswered
from tests.unit.conversation_desk import ANA, BOT, HELLO, KEY, START, Desk, channel, minutes
from tests.unit.stage_bench import Emitted, all_of, the

LEGAL = {
    (Status.OPEN, Status.AI_REPLYING),
    (Status.OPEN, Status.RESOLVED),
    (Status.AI_REPLYING, Status.OPEN),
    (Status.AI_REPLYING, Status.RESOLVED),
    (Status.RESOLVED, Status.OPEN),
    (Status.RESOLVED, Status.CLOSED),
    (Status.CLOSED, Status.OPEN),
}


class Story:
    """Random steps; proposals answer requests that were made, in any order, late or twice."""

    def __init__(self, single: bool) -> None:
        self.desk = Desk(channel(single=single))
        self.told: list[Event] = []
        self.requests: list[AssignmentRequested] = []

    def play(self, step: str, number: int) -> None:
        desk = self.desk
        match step:
            case "message":
                emitted = desk.message(f"m{number}")
            case "reply":
                emitted = desk.reply(f"o{number}")
            case "template":
                emitted = desk.reply(f"o{number}", text=None, template=HELLO)
            case "resolve":
                emitted = desk.resolve(f"c{number}")
            case "wait" if desk.now + timedelta(hours=number) < START + timedelta(days=6):
                emitted = desk.wait(timedelta(hours=number))
            case "notice":
                emitted = desk.notice(f"n{number}")
            case "sent" if desk.rows:
                emitted = desk.sent(f"o{number}")
            case "unsent" if desk.rows:
                emitted = desk.unsent(f"o{number}", "greeting", "refused")
            case "propose" if self.requests:
                emitted = self._propose(number)
            case _:
                emitted = []
        self.told += [entry.event for entry in emitted]
        self.requests += all_of(AssignmentRequested, emitted)
        desk.wait(minutes(1))

    def _propose(self, number: int) -> list[Emitted]:
        request = self.requests[number % len(self.requests)]
        proposal = ProposeAssignee(
            proposal_id=f"p{len(self.told)}",
            conversation_id=request.conversation_id,
            revision=request.revision,
            assignee=(None, ANA, BOT)[number % 3],
        )
        emitted = self.desk.feed(proposal)
        assert the(ProposalAnswered, emitted).proposal_id == proposal.proposal_id
        return emitted


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ("message", "reply", "template", "resolve", "wait", "notice", "sent", "unsent", "propose", "propose")
        ),
        st.integers(0, 30),
    ),
    max_size=40,
)


@settings(max_examples=300, deadline=None)
@given(steps=STEPS, single=st.booleans())
def test_whatever_happens(steps: list[tuple[str, int]], single: bool) -> None:
    story = Story(single)
    revisions: dict[str, int] = {}
    for step, number in steps:
        known = len(story.told)
        story.play(step, number)
        assert sum(row.status in LIVE for row in story.desk.rows) <= 1
        for event in story.told[known:]:
            if isinstance(event, ConversationEvent):
                _follows(event, revisions)
    _said_once(story.told)


def _follows(event: ConversationEvent, revisions: dict[str, int]) -> None:
    header = event.header
    before = revisions.get(header.conversation_id, 1)
    assert before <= header.revision <= before + 1
    revisions[header.conversation_id] = header.revision
    if isinstance(event, ConversationStatusChanged):
        assert (event.previous, header.status) in LEGAL
        assert header.revision >= 2


def _said_once(told: list[Event]) -> None:
    received = [event.message_id for event in told if isinstance(event, ConversationMessageReceived)]
    assert len(received) == len(set(received))
    sent = [event.message_id for event in told if isinstance(event, SendMessage)]
    assert len(sent) == len(set(sent))
    first = [e.header.conversation_id for e in told if isinstance(e, ConversationRouted) and e.first]
    assert len(first) == len(set(first))
    changed = [(e.conversation_id, e.revision) for e in told if isinstance(e, ConversationChanged)]
    assert len(changed) == len(set(changed))


def test_the_state_stays_small() -> None:
    desk = Desk()
    for number in range(10_000):
        desk.message(f"m{number}", text="x" * 4096, name="n" * 256)
        desk.wait(timedelta(seconds=100))
    assert max(desk.bench.row_sizes()) < 8 * 1024
    assert len(desk.bench.row_names(KEY, "seen/")) <= 8 * 24 * 36

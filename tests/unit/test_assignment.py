from datetime import UTC, datetime

from agents.assignment import ASSIGNMENT
from schemas.channel import ChannelSettings
from schemas.conversation import ProposeAssignee, Status
from schemas.record import Record
from schemas.system import AssignmentRequested, AssignmentWaiting, ConversationChanged, ProposalAnswered
from schemas.topics import ASSIGNMENTS, INBOX
from streams.state import TaskState
from streams.step import step
from tests.unit.stage_bench import StageBench, the

KEY = "kiosk:4915112345678"
AT = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
REQUEST = AssignmentRequested(
    conversation_id="c1", conversation_key=KEY, channel="kiosk", revision=3, reason="opened", at=AT
)
CHANNEL = ChannelSettings(id="kiosk", phone_number="+4930901820", account="acme")


def bench() -> StageBench:
    return StageBench(ASSIGNMENT, CHANNEL)


def test_every_request_gets_a_proposal_and_waits() -> None:
    emitted = bench().feed(REQUEST, at=AT, key="acme")
    assert [(entry.topic, entry.key) for entry in emitted] == [(INBOX, KEY), (ASSIGNMENTS, KEY)]
    proposal, waiting = the(ProposeAssignee, emitted), the(AssignmentWaiting, emitted)
    assert (proposal.conversation_id, proposal.revision, proposal.assignee) == ("c1", 3, None)
    assert proposal.explanation["decision"] == "nobody"
    assert (waiting.conversation_id, waiting.explanation) == ("c1", proposal.explanation)


def test_each_proposal_has_its_own_id() -> None:
    stage = bench()
    ids = {the(ProposeAssignee, stage.feed(REQUEST, at=AT, key="acme")).proposal_id for _ in range(3)}
    assert len(ids) == 3


def test_a_proposal_is_stamped_for_its_conversation_s_channel() -> None:
    record = Record("r1", "/test", AT, "acme", REQUEST, channel="kiosk", settings_revision=7)
    made = step(ASSIGNMENT, TaskState(), record, lambda channel, revision: CHANNEL)
    assert {(out.record.channel, out.record.settings_revision) for out in made.outgoing} == {("kiosk", 7)}


def test_changes_and_answers_are_listened_to_in_silence() -> None:
    changed = ConversationChanged(
        conversation_id="c1", conversation_key=KEY, channel="kiosk", revision=1, status=Status.OPEN
    )
    answered = ProposalAnswered(proposal_id="p1", conversation_id="c1", revision=1, accepted=True)
    assert bench().feed(changed, at=AT, key="acme") == []
    assert bench().feed(answered, at=AT, key="acme") == []

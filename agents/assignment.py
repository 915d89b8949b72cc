"""assignment: decides, for a whole account, who takes a conversation."""

from pydantic import JsonValue

from agents.stage import NOTHING, Context, Decision, Emit, Rows, Stage, TimerFired
from schemas.conversation import ProposeAssignee
from schemas.event import Event
from schemas.system import AssignmentRequested, AssignmentWaiting
from schemas.topics import ACCOUNT_INBOX, ASSIGNMENTS, INBOX


def decide(rows: Rows, event: Event | TimerFired, ctx: Context) -> Decision:  # noqa: ARG001 - it keeps no state
    """A proposal for each conversation that needs somebody: nobody, so that it waits."""
    match event:
        case AssignmentRequested():
            return _nobody(event, ctx)
    return NOTHING


def _nobody(request: AssignmentRequested, ctx: Context) -> Decision:
    explanation: dict[str, JsonValue] = {"decision": "nobody", "reason": "nobody_available"}
    proposal = ProposeAssignee(
        proposal_id=ctx.new_id("proposal"),
        conversation_id=request.conversation_id,
        revision=request.revision,
        explanation=explanation,
    )
    waiting = AssignmentWaiting(
        conversation_id=request.conversation_id, revision=request.revision, explanation=explanation
    )
    key = request.conversation_key
    return Decision(
        emit=(
            Emit(INBOX, key, proposal, channel=request.channel),
            Emit(ASSIGNMENTS, key, waiting, channel=request.channel),
        )
    )


ASSIGNMENT = Stage("assignment", input=ACCOUNT_INBOX, outputs=(INBOX, ASSIGNMENTS), decide=decide)

"""hours: gives every conversation event its business-hours verdict, in its place."""

from agents.stage import NOTHING, Context, Decision, Emit, Rows, Stage, TimerFired
from schemas.conversation import ConversationEvent, ConversationGated
from schemas.event import Event
from schemas.topics import CONVERSATIONS, GATED, OUTBOUND


def decide(rows: Rows, event: Event | TimerFired, ctx: Context) -> Decision:  # noqa: ARG001 - always open, no state
    """The event with its verdict: every channel is always open."""
    match event:
        case ConversationEvent():
            gated = ConversationGated(event_type=event.type, data=event.model_dump(mode="json"), open=True)
            return Decision(emit=(Emit(GATED, ctx.key, gated),))
    return NOTHING


HOURS = Stage("hours", input=CONVERSATIONS, outputs=(GATED, OUTBOUND), decide=decide)

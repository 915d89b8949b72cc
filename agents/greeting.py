"""greeting: greets the customer who began a conversation."""

from agents.stage import NOTHING, Context, Decision, Emit, Rows, Stage, TimerFired
from agents.templates import render
from schemas.channel import ChannelSettings
from schemas.conversation import ConversationGated, ConversationRouted, Header, Status
from schemas.event import Event
from schemas.messaging import SendGreeting
from schemas.topics import GATED, OUTBOUND


def decide(rows: Rows, event: Event | TimerFired, ctx: Context) -> Decision:  # noqa: ARG001 - it keeps no state
    """A greeting at the conversation's first routing, or nothing.

    At most one a conversation without a row to remember it: conversations announces a first routing once, none after a
    reopening, and the message's id derives from that event, so that a repeated decision repeats the id.
    """
    match event:
        case ConversationGated(event_type=ConversationRouted.type):
            routed = ConversationRouted.model_validate(event.data)
            settings = ctx.settings(routed.header.channel)
            if routed.first and _is_due(routed.header, settings):
                return _greet(routed.header, settings, ctx)
    return NOTHING


def _is_due(header: Header, settings: ChannelSettings) -> bool:
    return (
        settings.greeting.enabled
        and header.opened_by == "customer"
        and header.messages_out == 0
        and header.status is not Status.AI_REPLYING
    )


def _greet(header: Header, settings: ChannelSettings, ctx: Context) -> Decision:
    text = render(settings.greeting.text, header, settings)
    if not text:
        return NOTHING
    greeting = SendGreeting(
        message_id=ctx.new_id("greeting"),
        conversation_id=header.conversation_id,
        kind="greeting",
        text=text,
        not_after=header.session_ends,
    )
    return Decision(emit=(Emit(OUTBOUND, ctx.key, greeting),))


GREETING = Stage("greeting", input=GATED, outputs=(OUTBOUND,), decide=decide)

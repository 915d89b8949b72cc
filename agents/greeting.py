"""greeting: greets the customer who began a conversation, once it is routed."""

from agents.stage import NOTHING, Context, Decision, Emit, Rows, Stage, TimerFired
from agents.templates import message_template, render
from schemas.event import Event
from schemas.events.conversation import ConversationGated, ConversationRouted, Header, Status
from schemas.events.sending import SendGreeting
from schemas.settings.channel import ChannelSettings
from schemas.topics import GATED, OUTBOUND


def decide(rows: Rows, event: Event | TimerFired, ctx: Context) -> Decision:  # noqa: ARG001 - it keeps no state
    """A greeting at the conversation's first routing, or nothing, and then never.

    At most one a conversation without a row to remember it: conversations announces a first routing once, none after a
    reopening, and the message's id derives from that event, so that a repeated decision repeats the id.
    """
    match event:
        case ConversationGated(event_type=ConversationRouted.type):
            routed = ConversationRouted.model_validate(event.data)
            settings = ctx.settings(routed.header.channel)
            if (
                routed.first
                and _may_be_greeted(routed.header)
                and not _unavailable_message_goes_instead(event, routed.header, settings)
            ):
                return _greet(routed.header, settings, ctx)
    return NOTHING


def _may_be_greeted(header: Header) -> bool:
    return (
        header.opened_by == "customer"
        and header.messages_out == header.messages_automatic == 0
        and header.status is not Status.AI_REPLYING
        and not header.blocked
    )


def _unavailable_message_goes_instead(gated: ConversationGated, header: Header, settings: ChannelSettings) -> bool:
    # The verdict is the one on the customer's first message, however long the routing took.
    return not gated.open and render(settings.business_hours.unavailable_message, header, settings) != ""


def _greet(header: Header, settings: ChannelSettings, ctx: Context) -> Decision:
    text = render(settings.greeting.text, header, settings) if settings.greeting.enabled else ""
    if not text:
        return NOTHING
    greeting = SendGreeting(
        message_id=ctx.new_id("greeting"),
        conversation_id=header.conversation_id,
        kind="greeting",
        text=text,
        template=message_template(settings.greeting.template),
        not_after=header.session_ends,
        to=header.address if header.address != header.contact else None,
    )
    return Decision(emit=(Emit(OUTBOUND, ctx.key, greeting),))


GREETING = Stage("greeting", input=GATED, outputs=(OUTBOUND,), decide=decide)

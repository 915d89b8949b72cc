"""conversations: the one authority over a contact's conversations; others ask and propose.

A contact has at most one live conversation, its latest. Ended ones stay while time or an answer may still move them.
"""

from agents.conversations.ai import end_ai_request
from agents.conversations.commands import forwarded_command, handle_command
from agents.conversations.customer import receive_message, receive_notice
from agents.conversations.delivered import record_echo, record_failed, record_sent, record_unsent
from agents.conversations.draft import SEEN_FOR, Draft
from agents.conversations.media import end_media
from agents.conversations.proposals import answer_proposal
from agents.conversations.rows import (
    SEEN_PREFIXES,
    Asked,
    CarriedOut,
    Contact,
    Conversation,
    Deadline,
    HeldMessage,
    Survey,
    Whole,
)
from agents.conversations.surveys import (
    answer_survey_proposal,
)
from agents.conversations.timers import TIMERS
from agents.retention import SWEEP, Aged, sweep
from agents.stage import Context, Decision, Rows, Stage, TimerFired
from schemas import topics
from schemas.event import Event
from schemas.events.inbox import (
    AiEnd,
    Command,
    CommandForwarded,
    ContactJoined,
    DeliveryFailed,
    DeliverySent,
    DeliveryUnsent,
    MediaEnd,
    MessageEchoed,
    MessageReceived,
    NoticeReceived,
    ProposeAssignee,
    ProposeSurvey,
)


def decide(rows: Rows, event: Event | TimerFired, ctx: Context) -> Decision:
    """What becomes of the contact's conversations. Key: the conversation key."""
    draft = Draft.begin(rows, ctx)
    match event:
        case MessageEchoed():
            draft = record_echo(draft, event)
        case MessageReceived():
            draft = receive_message(draft, event)
        case NoticeReceived():
            draft = receive_notice(draft, event)
        case ContactJoined():
            draft = draft.store_contact(draft.contact.model_copy(update={"joined": event.contact}))
        case CommandForwarded():
            draft = handle_command(draft, forwarded_command(event))
        case Command():
            draft = handle_command(draft, event)
        case ProposeAssignee():
            draft = answer_proposal(draft, event)
        case AiEnd():
            draft = end_ai_request(draft, event)
        case MediaEnd():
            draft = end_media(draft, event)
        case ProposeSurvey():
            draft = answer_survey_proposal(draft, event)
        case DeliverySent():
            draft = record_sent(draft, event)
        case DeliveryUnsent():
            draft = record_unsent(draft, event)
        case DeliveryFailed():
            draft = record_failed(draft, event)
        case TimerFired(name) if name == SWEEP:
            return sweep(rows, SEEN_PREFIXES, ctx.now, SEEN_FOR)
        case TimerFired(name):
            draft = TIMERS[name](draft)
    return draft.decision()


CONVERSATIONS = Stage(
    "conversations",
    input=topics.INBOX,
    outputs=(
        topics.CONVERSATIONS,
        topics.ACCOUNT_INBOX,
        topics.OUTBOUND,
        topics.AI_REQUESTS,
        topics.MEDIA_REQUESTS,
        topics.INBOX,
    ),
    decide=decide,
    state=(Contact, Conversation, HeldMessage, Asked, Survey, Deadline, Whole, CarriedOut, Aged),
)

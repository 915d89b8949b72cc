"""The topic registry: every topic of the pipeline, its key, its types and who writes them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from schemas.event import Event
from schemas.events.access import AuditRecorded, TokenRevoked, TokenSaved, UserDeleted, UserSaved
from schemas.events.ai import AiCallEnded, AiRequested, AiTold
from schemas.events.assignment import (
    AssignmentDecided,
    AssignmentReleased,
    AssignmentRequested,
    AssignmentWaiting,
    ConversationChanged,
    ProposalAnswered,
)
from schemas.events.callbacks import CallbackTaken, NotificationReceived, WebhookReceived
from schemas.events.channels import ChannelChanged, ChannelSaved, ReconciliationSet
from schemas.events.conversation import (
    ConversationAssigned,
    ConversationBlockChanged,
    ConversationCommandRefused,
    ConversationGated,
    ConversationLabelled,
    ConversationMediaFailed,
    ConversationMediaStored,
    ConversationMessageReceived,
    ConversationMessageSent,
    ConversationMuted,
    ConversationNoteAdded,
    ConversationNoticeReceived,
    ConversationOpened,
    ConversationRated,
    ConversationRatingCommented,
    ConversationRouted,
    ConversationStatusChanged,
    ConversationSurveyEnded,
    ConversationSurveyRefused,
    ConversationSurveyRequested,
    ConversationSurveySent,
)
from schemas.events.csat import (
    SurveyAnswered,
    SurveyCommented,
    SurveyExpired,
    SurveyFailed,
    SurveyRequested,
    SurveySent,
    SurveySkipped,
)
from schemas.events.inbox import (
    AddNote,
    AiAnswered,
    AiFailed,
    AiHandedOver,
    Assign,
    Block,
    CommandForwarded,
    ContactJoined,
    DeliveryFailed,
    DeliverySent,
    DeliveryUnsent,
    HandOver,
    Label,
    MediaFailed,
    MediaStored,
    MessageEchoed,
    MessageReceived,
    Mute,
    NoticeReceived,
    ProposeAssignee,
    ProposeSurvey,
    Reopen,
    Reply,
    Resolve,
    Seen,
    Snooze,
    Unblock,
)
from schemas.events.knowledge import DocumentDeleted, DocumentSaved
from schemas.events.media import MediaRequested
from schemas.events.operations import DeadLettered, DeadLetterReplayed, KeyUnparked, TimersFired
from schemas.events.people import AgentDeleted, AgentSaved, AiAgentDeleted, AiAgentSaved, PresenceChanged
from schemas.events.receipts import (
    EchoSent,
    MessageAnomaly,
    MessageStatusChanged,
    ReceiptReceived,
    SendAccepted,
    SendQueued,
    SendRefused,
    SendUnknown,
)
from schemas.events.reports import ReportUpdated
from schemas.events.sending import EffectEnded, MarkRead, SendConfirmed, SendGreeting, SendMessage, SendUnavailable

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Topic:
    """One topic. `name` is bare: `full_name` adds prefix and version.

    key: what its records are keyed by. writers: event type -> the one that writes it.
    retention None: kept for ever (compacted). partitions None: as many as the deployment chose once.
    """

    name: str
    key: str
    writers: Mapping[type[Event], str]
    holds: str
    retention: timedelta | None = 7 * DAY
    compacted: bool = False
    partitions: int | None = None
    raw: bool = False
    types: dict[str, type[Event]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Any stage's input may carry an operator's order to the runtime.
        types: tuple[type[Event], ...] = (*self.writers, KeyUnparked)
        object.__setattr__(self, "types", {event.type: event for event in types})

    def __hash__(self) -> int:
        return hash(self.name)

    def full_name(self, prefix: str) -> str:
        """The Kafka topic's name: `livedesk.inbox.v1`."""
        return f"{prefix}{self.name}.v1"


WEBHOOKS = Topic(
    "webhooks",
    key="channel id",
    writers={WebhookReceived: "ingress, reconciliation"},
    holds="callbacks, byte for byte",
    retention=30 * DAY,
    raw=True,
)
RECONCILIATIONS = Topic(
    "reconciliations",
    key="channel id",
    writers={ReconciliationSet: "desk", CallbackTaken: "intake", EffectEnded: "reconciliation"},
    holds="channels that ask for it, the messages that came by callbacks, and the ends of reconciliation's effects",
)
CHANNELS = Topic(
    "channels",
    key="channel id / revision",
    writers={ChannelSaved: "desk"},
    holds="channel settings, every revision, secrets encrypted",
    retention=None,
    compacted=True,
    partitions=1,
)
DIRECTORY = Topic(
    "directory",
    key="kind / id",
    writers={AgentSaved: "desk", AgentDeleted: "desk", AiAgentSaved: "desk", AiAgentDeleted: "desk"},
    holds="human and AI agents, as the control API lists them",
    retention=None,
    compacted=True,
    partitions=1,
)
ACCESS = Topic(
    "access",
    key="kind / id",
    writers={TokenSaved: "desk", TokenRevoked: "desk", UserSaved: "desk", UserDeleted: "desk"},
    holds="API tokens and users: hashes of what they show, and their roles",
    retention=None,
    compacted=True,
    partitions=1,
)
AUDIT = Topic(
    "audit",
    key="account id, or *",
    writers={AuditRecorded: "desk"},
    holds="who changed what over the control API",
    retention=365 * DAY,
)
INBOX = Topic(
    "inbox",
    key="conversation key",
    writers={
        MessageReceived: "intake",
        NoticeReceived: "intake",
        MessageEchoed: "intake",
        ContactJoined: "intake",
        CommandForwarded: "conversations",
        Reply: "desk",
        Resolve: "desk",
        AddNote: "desk",
        Reopen: "desk",
        Snooze: "desk",
        Assign: "desk",
        HandOver: "desk",
        Label: "desk",
        Block: "desk",
        Unblock: "desk",
        Mute: "desk",
        Seen: "desk",
        ProposeAssignee: "assignment",
        ProposeSurvey: "csat",
        AiAnswered: "ai",
        AiHandedOver: "ai",
        AiFailed: "ai",
        MediaStored: "media",
        MediaFailed: "media",
        DeliverySent: "delivery",
        DeliveryUnsent: "delivery",
        DeliveryFailed: "status",
    },
    holds="what happened to, or is asked of, a conversation",
)
RECEIPTS = Topic(
    "receipts",
    key="conversation key",
    writers={
        ReceiptReceived: "intake",
        EchoSent: "intake",
        SendQueued: "delivery",
        SendAccepted: "delivery",
        SendRefused: "delivery",
        SendUnknown: "delivery",
    },
    holds="status rows, and how sends ended",
)
NOTIFICATIONS = Topic(
    "notifications",
    key="channel id",
    writers={NotificationReceived: "intake"},
    holds="the provider's notices about the account",
    retention=30 * DAY,
)
ACCOUNT_INBOX = Topic(
    "account-inbox",
    key="account id",
    writers={
        AssignmentRequested: "conversations",
        ConversationChanged: "conversations",
        ProposalAnswered: "conversations",
        PresenceChanged: "desk",
        AgentSaved: "desk",
        AgentDeleted: "desk",
        ChannelChanged: "desk",
    },
    holds="presence, agents, settings changes; conversations that need, hold or free an assignee",
)
CONVERSATIONS = Topic(
    "conversations",
    key="conversation key",
    writers=dict.fromkeys(
        (
            ConversationOpened,
            ConversationMessageReceived,
            ConversationMediaStored,
            ConversationMediaFailed,
            ConversationMessageSent,
            ConversationNoticeReceived,
            ConversationRouted,
            ConversationStatusChanged,
            ConversationAssigned,
            ConversationNoteAdded,
            ConversationLabelled,
            ConversationBlockChanged,
            ConversationMuted,
            ConversationSurveyRequested,
            ConversationSurveyRefused,
            ConversationSurveySent,
            ConversationRated,
            ConversationRatingCommented,
            ConversationSurveyEnded,
            ConversationCommandRefused,
        ),
        "conversations",
    ),
    holds="what became of a conversation",
    retention=30 * DAY,
)
GATED = Topic(
    "gated",
    key="conversation key",
    writers={ConversationGated: "hours"},
    holds="conversation events with the business-hours verdict",
)
ASSIGNMENTS = Topic(
    "assignments",
    key="conversation key",
    writers=dict.fromkeys((AssignmentDecided, AssignmentWaiting, AssignmentReleased), "assignment"),
    holds="assignment's decisions, explained",
    retention=30 * DAY,
)
CSAT = Topic(
    "csat",
    key="conversation key",
    writers=dict.fromkeys(
        (SurveyRequested, SurveySent, SurveyAnswered, SurveyCommented, SurveyExpired, SurveySkipped, SurveyFailed),
        "csat",
    ),
    holds="what became of each survey",
    retention=30 * DAY,
)
AI_REQUESTS = Topic(
    "ai-requests",
    key="conversation key",
    writers={AiRequested: "conversations", AiTold: "conversations", EffectEnded: "ai"},
    holds="what the AI agent is asked and told, and the ends of ai's effects",
)
AI_CALLS = Topic(
    "ai-calls",
    key="conversation key",
    writers={AiCallEnded: "ai"},
    holds="each call of a GPT agent's model or tool, with tokens, cost and time",
    retention=30 * DAY,
)
KNOWLEDGE = Topic(
    "knowledge",
    key="account / collection / document",
    writers={DocumentSaved: "desk", DocumentDeleted: "desk"},
    holds="the documents that GPT agents answer by, cut into passages",
    retention=None,
    compacted=True,
    partitions=1,
)
MEDIA_REQUESTS = Topic(
    "media-requests",
    key="conversation key",
    writers={MediaRequested: "conversations", EffectEnded: "media"},
    holds="the files that are to be fetched, and the ends of media's effects",
)
OUTBOUND = Topic(
    "outbound",
    key="conversation key",
    writers={
        SendMessage: "conversations",
        SendGreeting: "greeting",
        SendUnavailable: "hours",
        SendConfirmed: "status",
        MarkRead: "conversations",
        EffectEnded: "delivery",
    },
    holds="send commands, and the ends of delivery's effects",
)
STATUSES = Topic(
    "statuses",
    key="conversation key",
    writers={MessageStatusChanged: "status", MessageAnomaly: "status"},
    holds="what is known of each message",
    retention=30 * DAY,
)
REPORTS = Topic(
    "reports",
    key="report key / partition / UTC day of counting",
    writers={ReportUpdated: "reports-conversations, reports-csat, reports-statuses, reports-ai"},
    holds="partial sums of the figures, to be summed by whoever reads them",
    retention=None,
    compacted=True,
)
DEAD_LETTERS = Topic(
    "dead-letters",
    key="source key",
    writers={DeadLettered: "intake, runtime", DeadLetterReplayed: "operator"},
    holds="what could not be processed, whole",
    retention=30 * DAY,
)
TIMERS = Topic(
    "timers",
    key="stage / partition",
    writers={TimersFired: "runtime"},
    holds="where in a stage's input its timers fired",
    retention=30 * DAY,
)

TOPICS: tuple[Topic, ...] = (
    WEBHOOKS,
    RECONCILIATIONS,
    CHANNELS,
    DIRECTORY,
    ACCESS,
    AUDIT,
    INBOX,
    RECEIPTS,
    NOTIFICATIONS,
    ACCOUNT_INBOX,
    CONVERSATIONS,
    GATED,
    ASSIGNMENTS,
    CSAT,
    AI_REQUESTS,
    AI_CALLS,
    KNOWLEDGE,
    MEDIA_REQUESTS,
    OUTBOUND,
    STATUSES,
    REPORTS,
    DEAD_LETTERS,
    TIMERS,
)


def state_topic(stage: str) -> Topic:
    """The changelog of a stage: its rows, timers and pending effects, by row key. Compacted."""
    return Topic(
        f"{stage}-state",
        key="row key",
        writers={},
        holds=f"the rows of {stage}",
        retention=None,
        compacted=True,
        raw=True,
    )

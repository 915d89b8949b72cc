"""The topic registry: every topic of the pipeline, its key, its types and who writes them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from schemas.event import Event
from schemas.events import ai as a
from schemas.events import assignment as s
from schemas.events import conversation as c
from schemas.events import csat as q
from schemas.events import reports as r
from schemas.events import sending as m

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
        types: tuple[type[Event], ...] = (*self.writers, s.KeyUnparked)
        object.__setattr__(self, "types", {event.type: event for event in types})

    def __hash__(self) -> int:
        return hash(self.name)

    def full_name(self, prefix: str) -> str:
        """The Kafka topic's name: `livedesk.inbox.v1`."""
        return f"{prefix}{self.name}.v1"


WEBHOOKS = Topic(
    "webhooks",
    key="channel id",
    writers={s.WebhookReceived: "ingress"},
    holds="callbacks, byte for byte",
    retention=30 * DAY,
    raw=True,
)
CHANNELS = Topic(
    "channels",
    key="channel id / revision",
    writers={s.ChannelSaved: "ingress"},
    holds="channel settings, every revision, secrets encrypted",
    retention=None,
    compacted=True,
    partitions=1,
)
DIRECTORY = Topic(
    "directory",
    key="kind / id",
    writers={s.AgentSaved: "ingress", s.AgentDeleted: "ingress"},
    holds="human agents, as the control API lists them",
    retention=None,
    compacted=True,
    partitions=1,
)
INBOX = Topic(
    "inbox",
    key="conversation key",
    writers={
        c.MessageReceived: "intake",
        c.NoticeReceived: "intake",
        c.Reply: "ingress",
        c.Resolve: "ingress",
        c.AddNote: "ingress",
        c.Reopen: "ingress",
        c.Snooze: "ingress",
        c.Assign: "ingress",
        c.HandOver: "ingress",
        c.Label: "ingress",
        c.Block: "ingress",
        c.Unblock: "ingress",
        c.Mute: "ingress",
        c.ProposeAssignee: "assignment",
        c.ProposeSurvey: "csat",
        c.AiAnswered: "ai",
        c.AiHandedOver: "ai",
        c.AiFailed: "ai",
        c.DeliverySent: "delivery",
        c.DeliveryUnsent: "delivery",
    },
    holds="what happened to, or is asked of, a conversation",
)
RECEIPTS = Topic(
    "receipts",
    key="conversation key",
    writers={
        m.ReceiptReceived: "intake",
        m.SendQueued: "delivery",
        m.SendAccepted: "delivery",
        m.SendRefused: "delivery",
        m.SendUnknown: "delivery",
    },
    holds="status rows, and how sends ended",
)
NOTIFICATIONS = Topic(
    "notifications",
    key="channel id",
    writers={s.NotificationReceived: "intake"},
    holds="the provider's notices about the account",
    retention=30 * DAY,
)
ACCOUNT_INBOX = Topic(
    "account-inbox",
    key="account id",
    writers={
        s.AssignmentRequested: "conversations",
        s.ConversationChanged: "conversations",
        s.ProposalAnswered: "conversations",
        s.PresenceChanged: "ingress",
        s.AgentSaved: "ingress",
        s.AgentDeleted: "ingress",
        s.ChannelChanged: "ingress",
    },
    holds="presence, agents, settings changes; conversations that need, hold or free an assignee",
)
CONVERSATIONS = Topic(
    "conversations",
    key="conversation key",
    writers=dict.fromkeys(
        (
            c.ConversationOpened,
            c.ConversationMessageReceived,
            c.ConversationMessageSent,
            c.ConversationNoticeReceived,
            c.ConversationRouted,
            c.ConversationStatusChanged,
            c.ConversationAssigned,
            c.ConversationNoteAdded,
            c.ConversationLabelled,
            c.ConversationBlockChanged,
            c.ConversationMuted,
            c.ConversationSurveyRequested,
            c.ConversationSurveyRefused,
            c.ConversationSurveySent,
            c.ConversationRated,
            c.ConversationSurveyEnded,
            c.ConversationCommandRefused,
        ),
        "conversations",
    ),
    holds="what became of a conversation",
    retention=30 * DAY,
)
GATED = Topic(
    "gated",
    key="conversation key",
    writers={c.ConversationGated: "hours"},
    holds="conversation events with the business-hours verdict",
)
ASSIGNMENTS = Topic(
    "assignments",
    key="conversation key",
    writers=dict.fromkeys((s.AssignmentDecided, s.AssignmentWaiting, s.AssignmentReleased), "assignment"),
    holds="assignment's decisions, explained",
    retention=30 * DAY,
)
CSAT = Topic(
    "csat",
    key="conversation key",
    writers=dict.fromkeys(
        (q.SurveyRequested, q.SurveySent, q.SurveyAnswered, q.SurveyExpired, q.SurveySkipped, q.SurveyFailed), "csat"
    ),
    holds="what became of each survey",
    retention=30 * DAY,
)
AI_REQUESTS = Topic(
    "ai-requests",
    key="conversation key",
    writers={a.AiRequested: "conversations", m.EffectEnded: "ai"},
    holds="what the AI agent is asked, and the ends of ai's effects",
)
OUTBOUND = Topic(
    "outbound",
    key="conversation key",
    writers={
        m.SendMessage: "conversations",
        m.SendGreeting: "greeting",
        m.SendUnavailable: "hours",
        m.SendConfirmed: "status",
        m.EffectEnded: "delivery",
    },
    holds="send commands, and the ends of delivery's effects",
)
STATUSES = Topic(
    "statuses",
    key="conversation key",
    writers={m.MessageStatusChanged: "status", m.MessageAnomaly: "status"},
    holds="what is known of each message",
    retention=30 * DAY,
)
REPORTS = Topic(
    "reports",
    key="report key / partition / UTC day of counting",
    writers={r.ReportUpdated: "reports-conversations, reports-csat, reports-statuses"},
    holds="partial sums of the figures, to be summed by whoever reads them",
    retention=None,
    compacted=True,
)
DEAD_LETTERS = Topic(
    "dead-letters",
    key="source key",
    writers={s.DeadLettered: "intake, runtime", s.DeadLetterReplayed: "operator"},
    holds="what could not be processed, whole",
    retention=30 * DAY,
)
TIMERS = Topic(
    "timers",
    key="stage / partition",
    writers={s.TimersFired: "runtime"},
    holds="where in a stage's input its timers fired",
    retention=30 * DAY,
)

TOPICS: tuple[Topic, ...] = (
    WEBHOOKS,
    CHANNELS,
    DIRECTORY,
    INBOX,
    RECEIPTS,
    NOTIFICATIONS,
    ACCOUNT_INBOX,
    CONVERSATIONS,
    GATED,
    ASSIGNMENTS,
    CSAT,
    AI_REQUESTS,
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

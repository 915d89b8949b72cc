"""The topology on one screen: the stages, in the order of the flow."""

from collections.abc import Mapping

from agents.ai.decide import AI
from agents.assignment.decide import ASSIGNMENT
from agents.conversations.decide import CONVERSATIONS
from agents.csat import CSAT
from agents.delivery import DELIVERY
from agents.greeting import GREETING
from agents.hours import HOURS
from agents.intake import INTAKE
from agents.media import MEDIA
from agents.reconciliation import RECONCILIATION
from agents.reports.ai import REPORTS_AI
from agents.reports.conversations import REPORTS_CONVERSATIONS
from agents.reports.csat import REPORTS_CSAT
from agents.reports.statuses import REPORTS_STATUSES
from agents.stage import Stage
from agents.status import STATUS
from schemas.topics import TOPICS, Topic, state_topic

TOPOLOGY: tuple[Stage, ...] = (
    INTAKE,  #                webhooks      -> inbox, receipts, notifications, reconciliations, dead-letters
    RECONCILIATION,  #        reconciliations -> webhooks
    CONVERSATIONS,  #         inbox         -> conversations, account-inbox, ai-requests, media-requests, outbound
    ASSIGNMENT,  #            account-inbox -> assignments, inbox
    AI,  #                    ai-requests   -> inbox
    MEDIA,  #                 media-requests -> inbox
    HOURS,  #                 conversations -> gated, outbound
    GREETING,  #              gated         -> outbound
    CSAT,  #                  conversations -> csat, inbox
    STATUS,  #                receipts      -> statuses, outbound, inbox
    REPORTS_CONVERSATIONS,  # conversations -> reports
    REPORTS_CSAT,  #          csat          -> reports
    REPORTS_STATUSES,  #      statuses      -> reports
    REPORTS_AI,  #            ai-calls      -> reports
    DELIVERY,  #              outbound      -> receipts, inbox
)


def all_topics(stages: tuple[Stage, ...] = TOPOLOGY) -> tuple[Topic, ...]:
    """Every topic the stages need: the registry's, and a state topic for each stage."""
    return (*TOPICS, *(state_topic(stage.name) for stage in stages))


def upstream(stages: tuple[Stage, ...]) -> Mapping[str, tuple[Stage, ...]]:
    """For each stage, the stages between ingress and it, in the order of the flow.

    The list's order is the flow's: an edge back to an earlier stage (delivery -> inbox) is not upstream of it.
    """
    before: dict[str, tuple[Stage, ...]] = {}
    for position, stage in enumerate(stages):
        feeding = [earlier for earlier in stages[:position] if stage.input in earlier.outputs]
        wanted = {name for earlier in feeding for name in (earlier.name, *(s.name for s in before[earlier.name]))}
        before[stage.name] = tuple(earlier for earlier in stages[:position] if earlier.name in wanted)
    return before

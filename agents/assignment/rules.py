"""Whether a routing rule applies to a customer's message. A rule is judged at the message's own time.

Comparisons of text ignore case (casefold), as who writes "invoice" means "Invoice" too; a pattern is taken as it is,
and says (?i) if it wants that. Of several labels any may do. What is missing (a message without text, a contact
without a name) equals, contains and matches nothing, so that not_equals holds of it.
"""

from typing import NamedTuple

from agents.opening import is_open, local_time
from schemas.events.assignment import AssignmentNeed
from schemas.settings.business_hours import BusinessHours
from schemas.settings.patterns import pattern_matches
from schemas.settings.routing import Condition, ConditionValue, RoutingRule

Value = str | int | bool


class Message(NamedTuple):
    """What rules look at. phone: in digits, empty: unknown. hours: the channel's, by which the time is judged."""

    channel: str
    phone: str
    hours: BusinessHours
    need: AssignmentNeed


def failing(rule: RoutingRule, message: Message) -> Condition | None:
    """The first condition that does not hold; None: the rule applies."""
    return next((condition for condition in rule.when if not holds(condition, message)), None)


def holds(condition: Condition, message: Message) -> bool:
    """Whether the condition holds of the message."""
    found, wanted = _values(condition, message), condition.value
    match condition.op:
        case "exists":
            return bool(found) is wanted
        case "matches":
            return any(pattern_matches(str(wanted), str(value)) for value in found)
        case "contains":
            return any(str(_folded(wanted)) in str(_folded(value)) for value in found)
        case "starts_with":
            return any(str(_folded(value)).startswith(str(_folded(wanted))) for value in found)
        case "in":
            listed = {_folded(item) for item in wanted} if isinstance(wanted, tuple) else set()
            return any(_folded(value) in listed for value in found)
        case "equals":
            return any(_folded(value) == _folded(wanted) for value in found)
        case "not_equals":
            return all(_folded(value) != _folded(wanted) for value in found)


def _values(condition: Condition, message: Message) -> tuple[Value, ...]:
    need = message.need
    match condition.field:
        case "text":
            return _present(need.text)
        case "message.type":
            return _present(need.message_kind)
        case "contact.phone":
            return _present(message.phone)
        case "contact.name":
            return _present(need.contact_name)
        case "contact.returning":
            return (need.returning,)
        case "channel":
            return (message.channel,)
        case "label":
            return need.labels
        case "hour":
            return (local_time(message.hours, need.at).hour,)
        case "business_hours":
            return ("open" if is_open(message.hours, need.at) else "closed",)


def _present(text: str | None) -> tuple[Value, ...]:
    return () if text is None or not text.strip() else (text,)


def _folded(value: ConditionValue) -> ConditionValue:
    return value.casefold() if isinstance(value, str) else value

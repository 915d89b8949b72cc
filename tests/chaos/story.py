"""One key's history, in lines: where to look when something is wrong. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime

from schemas.record import milliseconds
from schemas.topics import WEBHOOKS
from tests.chaos.history import History, InboundRow, Message
from tests.chaos.violation import Violation


def smallest(history: History, violations: Iterable[Violation]) -> str | None:
    """The key with the fewest records, of those whose history shows a violation."""
    keys = {violation.key for violation in violations if violation.key}
    sizes = Counter(dict.fromkeys(keys, 0))
    for topic, messages in history.messages.items():
        if topic is not WEBHOOKS:
            sizes.update(key for message in messages if (key := message.key.decode(errors="replace")) in keys)
    return min(keys, key=lambda key: (sizes[key], key), default=None)


def story(history: History, key: str) -> list[str]:
    """All that the topics and the sandbox know of a key, in the order in which it was written."""
    reported: dict[tuple[int, int], list[str]] = defaultdict(list)

    def tell(at: int, rank: int, line: str) -> None:
        when = datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds")
        reported[at, rank].append(f"{when} {line}")

    for message, rows in history.callbacks:
        for row in rows:
            if isinstance(row, InboundRow) and row.key == key:
                tell(message.timestamp, 0, f"webhooks {_place(message)} {key} message {row.id}")
    for rank, (topic, messages) in enumerate(history.messages.items(), 1):
        for message in messages:
            if topic is not WEBHOOKS and message.key.decode(errors="replace") == key:
                tell(message.timestamp, rank, f"{topic.name} {_place(message)} {(message.value or b'').decode()}")
    contact = key.partition(":")[2]
    for entry in history.sent:
        if entry.contact == contact:
            line = f"sandbox {entry.seq} {contact} {entry.outcome} {entry.id} as {entry.message_id}"
            tell(milliseconds(entry.at), 99, line)
    return [line for at in sorted(reported) for line in reported[at]]


def _place(message: Message) -> str:
    return f"{message.partition}:{message.offset}"

"""The conversations as agents see them while the demo runs: to be asked, and to be waited for."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable

from schemas.events.conversation import (
    ConversationEvent,
    ConversationMessageReceived,
    ConversationMessageSent,
    ConversationSurveyRequested,
    Header,
    Status,
)
from schemas.events.inbox import AiAnswered, AiEnd, AiFailed, AiHandedOver
from schemas.events.receipts import MessageStatusChanged
from schemas.ids import contact_of
from schemas.record import Record


class Conversations:
    """The conversations by contact; in the demo a customer has one. Fed with conversations, statuses and inbox."""

    def __init__(self) -> None:
        self._headers: dict[str, Header] = {}
        self._joined: set[str] = set()
        self._sent: Counter[tuple[str, str]] = Counter()
        self._ai_ends: Counter[str] = Counter()
        self._ai_says: Counter[str] = Counter()
        self._surveys: dict[str, str] = {}
        self._statuses: dict[str, str] = {}
        self._waiting: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []

    def take(self, record: Record) -> None:
        """Take in a record; of other topics: nothing."""
        match record.event:
            case ConversationMessageReceived(message_id=id):
                self._joined.add(id)
            case ConversationMessageSent(header=header, kind=kind):
                self._sent[header.contact, kind] += 1
            case ConversationSurveyRequested(header=header, survey_id=id):
                self._surveys[header.contact] = id
            case MessageStatusChanged(message_id=id, status=status):
                self._statuses[id] = status
            case AiEnd(also=also):
                contact = contact_of(record.subject)
                self._ai_ends[contact] += 1 + len(also)
                self._ai_says[contact] += says(record.event)
        if isinstance(record.event, ConversationEvent):
            self._headers[record.event.header.contact] = record.event.header
        self._wake()

    def status(self, contact: str) -> Status | None:
        """The status of the customer's conversation."""
        header = self._headers.get(contact)
        return None if header is None else header.status

    def holder(self, contact: str) -> str | None:
        """The human agent who holds the customer's conversation, if it is Open."""
        header = self._headers.get(contact)
        if header is None or header.status is not Status.OPEN or header.assignee is None:
            return None
        return header.assignee.id if header.assignee.kind == "human" else None

    def has(self, messages: Iterable[str]) -> bool:
        """Whether the customers' messages are in their conversations."""
        return self._joined.issuperset(messages)

    def times_sent(self, contact: str, kind: str) -> int:
        """How many messages of a kind the provider has accepted for the customer."""
        return self._sent[contact, kind]

    def is_answered(self, contact: str, questions: int) -> bool:
        """Whether so many questions to the AI agent have their end, and all that it said was sent."""
        said = self.times_sent(contact, "ai") >= self._ai_says[contact]
        return said and self._ai_ends[contact] >= questions

    def survey_status(self, contact: str) -> str | None:
        """The status of the customer's survey; None: nothing is known of it."""
        return self._statuses.get(self._surveys.get(contact, ""))

    async def until(self, seen: Callable[[], bool]) -> None:
        """Wait until it can be seen."""
        if not seen():
            future = asyncio.get_running_loop().create_future()
            self._waiting.append((seen, future))
            await future

    def _wake(self) -> None:
        still = []
        for seen, future in self._waiting:
            if future.done():
                continue
            if seen():
                future.set_result(None)
            else:
                still.append((seen, future))
        self._waiting = still


def says(end: AiEnd) -> bool:
    """Whether the customer is told anything."""
    return isinstance(end, AiAnswered | AiHandedOver | AiFailed) and end.text is not None

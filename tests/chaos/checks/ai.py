"""AI agents: each question one end, each answer its own words, sent only while it held the conversation. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from schemas.events.ai import AiRequested, AiTold
from schemas.events.conversation import Assignee, ConversationEvent, Header, Status
from schemas.events.inbox import AiAnswered, AiEnd, AiFailed, AiHandedOver
from schemas.events.sending import SendMessage
from schemas.record import Record
from schemas.settings.ai import GptAgent
from schemas.topics import AI_REQUESTS, CONVERSATIONS, INBOX, OUTBOUND
from tests.chaos.history import History
from tests.chaos.violation import Violation


@dataclass
class _Questions:
    """asked: by id, in order. ends: by the question's id. ended_as: record id -> end.

    stretches: questions to GPT agents, by key, a list for each time that an agent had the conversation.
    """

    asked: dict[str, Record] = field(default_factory=dict)
    times: Counter[str] = field(default_factory=Counter)
    ends: dict[str, list[AiEnd]] = field(default_factory=lambda: defaultdict(list))
    ended_as: dict[str, AiEnd] = field(default_factory=dict)
    stretches: dict[str, list[list[str]]] = field(default_factory=lambda: defaultdict(lambda: [[]]))

    @classmethod
    def gather(cls, history: History) -> "_Questions":
        questions = cls()
        for record in history.records(AI_REQUESTS, AiRequested, AiTold):
            match record.event:
                case AiRequested(request_id=id):
                    questions.asked[id] = record
                    questions.times[id] += 1
                    if _is_gpt(record, history):
                        questions.stretches[record.subject][-1].append(id)
                case AiTold(what="released"):
                    questions.stretches[record.subject].append([])
        for record in history.records(INBOX, AiEnd):
            if isinstance(record.event, AiEnd) and not _is_postscript(record.event):
                for id in (record.event.request_id, *record.event.also):
                    questions.ends[id].append(record.event)
                questions.ended_as[record.id] = record.event
        return questions

    def released(self) -> Iterator[str]:
        """Questions to GPT agents that may have no end: those after the last with one, before the agent lost it all."""
        for stretches in self.stretches.values():
            for stretch in stretches[:-1]:
                for id in reversed(stretch):
                    if self.ends.get(id):
                        break
                    yield id


def _is_gpt(asked: Record, history: History) -> bool:
    settings = history.settings(asked.channel or "", asked.settings_revision or 0)
    return isinstance(settings.ai_agent(_request(asked).agent), GptAgent)


def _is_postscript(end: AiEnd) -> bool:
    """Whether it only tells what a GPT agent's tool may have done, when the question was over for other reasons."""
    return isinstance(end, AiFailed) and end.reason is None and bool(end.notes)


def check_questions(history: History) -> Iterator[Violation]:
    """Each question ends once, and as something that its AI agent said.

    One that was dropped came after one of its conversation that went to a human; of a GPT agent: it came last before
    the agent was told that it has the conversation no longer.
    """
    questions = _Questions.gather(history)
    released = set(questions.released())
    with_humans: set[str] = set()
    for id, asked in questions.asked.items():
        ends, conversation = questions.ends.get(id, []), _request(asked).conversation_id
        is_gpt = _is_gpt(asked, history)
        dropped = not ends and (id in released if is_gpt else conversation in with_humans)
        if questions.times[id] != 1 or not (len(ends) == 1 or dropped):
            yield Violation("AI question not ended once", asked.subject, f"{id}: {len(ends)} ends")
        if any(not isinstance(end, AiAnswered) for end in ends):
            with_humans.add(conversation)
        for end in ends:
            if not _was_said(end, history, is_gpt=is_gpt):
                yield Violation("not what the AI agent said", asked.subject, f"{id}: {end.type}")
    for id in questions.ends.keys() - questions.asked.keys():
        yield Violation("AI question not ended once", "", f"{id}: nobody asked it")


def _was_said(end: AiEnd, history: History, *, is_gpt: bool) -> bool:
    said = history.answered.get(end.request_id, ())
    match end:
        case AiAnswered(text=text) if is_gpt:
            return text in history.gpt.said
        case AiHandedOver() if is_gpt:
            return end.reason is not None
        case AiAnswered(text=text):
            return any(answer.text == text for answer in said)
        case AiHandedOver():
            return any(answer.answer == "handoff" for answer in said)
        case AiFailed():
            return True  # nothing may have come of any attempt
    return False


def _text(end: AiEnd) -> str | None:
    """What the customer is told, at a hand-over too."""
    return end.text if isinstance(end, AiAnswered | AiHandedOver | AiFailed) else None


def _request(asked: Record) -> AiRequested:
    assert isinstance(asked.event, AiRequested)
    return asked.event


def check_ai_answers(history: History) -> Iterator[Violation]:
    """An answer is sent once, as given, only while the AI agent holds the conversation; always where it kept it."""
    questions = _Questions.gather(history)
    sent = [
        (record, record.event)
        for record in history.records(OUTBOUND, SendMessage)
        if isinstance(record.event, SendMessage) and record.event.kind == "ai"
    ]
    causes = Counter(record.causation_id for record, _ in sent)
    reported = _Reported.gather(history, {asked.subject for asked in questions.asked.values()})
    for record, message in sent:
        end = questions.ended_as.get(record.causation_id or "")
        if end is None or _text(end) != message.text or causes[record.causation_id] != 1:
            yield Violation("AI message without its answer", record.subject, message.message_id)
        elif end.request_id not in questions.asked:
            yield Violation("AI message without its answer", record.subject, f"{message.message_id}: nobody asked")
        elif True not in reported.held(questions.asked[end.request_id], record.causation_id or ""):
            detail = f"{message.message_id} of conversation {message.conversation_id}"
            yield Violation("AI answer after its conversation was taken away", record.subject, detail)
    for id, end in questions.ended_as.items():
        asked = questions.asked.get(end.request_id)
        if _text(end) is None or asked is None or causes[id]:
            continue
        if all(reported.held(asked, id, since_asked=True)):
            yield Violation("AI answer not sent", asked.subject, f"of question {end.request_id}")


@dataclass
class _Reported:
    """What was said of some keys' conversations, with where in inbox its cause was: None for what a timer did."""

    offsets: Mapping[str, int]
    headers: Mapping[str, Sequence[tuple[int | None, Header]]]

    @classmethod
    def gather(cls, history: History, keys: set[str]) -> "_Reported":
        wanted = {key.encode() for key in keys}
        offsets: dict[str, int] = {}
        for message, reported in zip(history.messages.get(INBOX, ()), history.envelopes(INBOX), strict=True):
            if message.key in wanted:
                offsets[reported.id] = message.offset
        headers = defaultdict[str, list[tuple[int | None, Header]]](list)
        for record in history.records(CONVERSATIONS, ConversationEvent):
            if record.subject in keys and isinstance(record.event, ConversationEvent):
                headers[record.event.header.conversation_id].append(
                    (offsets.get(record.causation_id or ""), record.event.header)
                )
        return cls(offsets, headers)

    def held(self, asked: Record, answer: str, *, since_asked: bool = False) -> list[bool]:
        """Whether the AI agent held the conversation just before its answer came, or at each step since it was asked.

        Just before: several, where timers did something that may have come before the answer or after it.
        """
        request = _request(asked)
        begin, end = self.offsets.get(asked.causation_id or "", -1), self.offsets.get(answer, -1)
        steps: list[Header] = []
        for offset, header in self.headers.get(request.conversation_id, ()):
            if offset is not None and offset >= end:
                break
            goes_on = offset is None or (since_asked and offset > begin)
            steps = [*steps, header] if goes_on else [header]
        ai = Assignee(kind="ai", id=request.agent)
        return [header.status is Status.AI_REPLYING and header.assignee == ai for header in steps]

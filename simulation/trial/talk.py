"""A customer's talk with a GPT agent, and what is seen of it."""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Final, Literal, Self
from uuid import uuid4

from pydantic import StringConstraints, model_validator

from schemas.effects import GptRequest, GptResult, KnowledgeRequest, KnowledgeResult, Passage
from schemas.events.ai import AiCallEnded, AiRequested
from schemas.events.content import Citation
from schemas.events.inbox import AiAnswered, AiEnd, AiFailed, AiHandedOver
from schemas.record import Record
from schemas.settings.types import SettingsModel
from simulation.scenario.driver_run import DriverWorld, at_once
from simulation.scenario.render import Callbacks
from simulation.scenario.steps import Inbound
from simulation.trial.services import Seen, Services
from simulation.trial.subject import Subject
from streams.effects.contract import Done
from streams.effects.knowledge import KnowledgeFinder

BETWEEN: Final = timedelta(minutes=1)
"""From one message of the customer to the next, on the clock of the trial: who is quicker counts as a machine."""
LONGEST: Final = timedelta(minutes=3)
"""That an answer is waited for, on that clock: tries that failed come again within it."""
CUSTOMER: Final = "+34600100200"
_RESULT: Final = re.compile(r'<result number="\d+">\n(.*)\n</result>', re.DOTALL)


class Written(SettingsModel):
    """A message of the customer. link: of its file."""

    text: Annotated[str, StringConstraints(min_length=1)] | None = None
    type: Literal["text", "image", "audio", "video", "document", "sticker"] = "text"
    link: str | None = None
    filename: str | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.type == "text" and self.text is None:
            raise ValueError("must have a text, or another type")
        return self


@dataclass(frozen=True)
class ToolCall:
    """A tool that the model called. output: what it was told of it; None: nothing, as the question ended."""

    name: str
    arguments: str
    output: str | None = None


@dataclass(frozen=True)
class Turn:
    """What came of one message. read: what the customer read since. ends: the agent's. seconds: of waiting."""

    read: tuple[str, ...]
    ends: tuple[AiEnd, ...]
    calls: tuple[ToolCall, ...]
    passages: tuple[Passage, ...]
    tokens: int
    cost_micros: int
    seconds: float

    @property
    def citations(self) -> tuple[Citation, ...]:
        return tuple(cited for end in self.ends if isinstance(end, AiAnswered) for cited in end.citations)

    @property
    def handed_over(self) -> AiHandedOver | None:
        return next((end for end in self.ends if isinstance(end, AiHandedOver)), None)

    @property
    def failed(self) -> AiFailed | None:
        return next((end for end in self.ends if isinstance(end, AiFailed)), None)


class Talk:
    """One conversation, from its first message on.

    pause: in the place of waiting, for so many seconds, before a call is tried again.
    """

    def __init__(
        self,
        subject: Subject,
        services: Services,
        finder: KnowledgeFinder,
        at: datetime,
        *,
        contact: str = CUSTOMER,
        name: str | None = None,
        pause: Callable[[float], None] | None = None,
    ) -> None:
        self._contact, self._name, self._pause = contact, name, pause or services.pause
        self._id = uuid4().hex
        self._seen: list[Seen] = []
        self._messages = self._records = self._log = 0
        scenario = subject.scenario(at)
        self._world = at_once(
            DriverWorld.build(scenario, lambda store, clock: services.performers(store, clock, finder, self._seen))
        )
        self._callbacks = Callbacks(scenario, self._world.webhook_url)

    def say(self, message: Written) -> Turn:
        """The customer writes. Returns once the agent is done with it."""
        began, first = time.monotonic(), len(self._seen)
        at = self._world.now + (BETWEEN if self._messages else timedelta())
        at_once(self._world.advance(at))
        self._messages += 1
        at_once(self._world.begin(self._messages, at))
        row = Inbound(
            # Another talk's are others: services answer again what they answered to the same call.
            id=f"{self._id}-{self._messages}",
            contact=self._contact,
            name=self._name,
            type=message.type,
            text=message.text,
            link=message.link,
            filename=message.filename,
            provider_time=at,
        )
        channel, requests = self._callbacks.render(0, (row,), ())
        for request in requests:
            at_once(self._world.hand_in_callback(channel, request))
        at_once(self._world.settle(at))
        while (deadline := self._next_try(at + LONGEST)) is not None:
            self._pause((deadline - self._world.now).total_seconds())
            at_once(self._world.advance(deadline))
        return self._turn(self._seen[first:], time.monotonic() - began)

    def _next_try(self, until: datetime) -> datetime | None:
        """When the next thing happens that an answer may come from; None: none is to come."""
        if not _open(self._new_records()):
            return None
        deadline = self._world.next_deadline()
        return deadline if deadline is not None and deadline <= until else None

    def _new_records(self) -> Sequence[Record]:
        return [record for _, record in at_once(self._world.evidence()).records[self._records :]]

    def _turn(self, seen: Sequence[Seen], seconds: float) -> Turn:
        events = [record.event for record in self._new_records()]
        evidence = at_once(self._world.evidence())
        log = evidence.log[self._log :]
        self._records, self._log = len(evidence.records), len(evidence.log)
        spent = [event for event in events if isinstance(event, AiCallEnded)]
        found = [
            KnowledgeResult.model_validate(one.outcome.result)
            for one in seen
            if isinstance(one.request, KnowledgeRequest) and isinstance(one.outcome, Done)
        ]
        return Turn(
            read=tuple(entry.text or f"[{entry.type}]" for entry in log if entry.outcome == "accepted"),
            ends=tuple(event for event in events if isinstance(event, AiEnd)),
            calls=tuple(_calls(seen)),
            passages=found[-1].passages if found else (),
            tokens=sum(one.tokens_in + one.tokens_out for one in spent),
            cost_micros=sum(one.cost_micros for one in spent),
            seconds=seconds,
        )


def _open(records: Sequence[Record]) -> set[str]:
    """The requests that have no end yet."""
    asked = {record.event.request_id for record in records if isinstance(record.event, AiRequested)}
    for record in records:
        if isinstance(record.event, AiEnd):
            asked -= {record.event.request_id, *record.event.also}
    return asked


def _calls(seen: Sequence[Seen]) -> Iterator[ToolCall]:
    """Those that the model's last call was told of, and those that it made itself."""
    last = next((one for one in reversed(seen) if isinstance(one.request, GptRequest)), None)
    if last is None or not isinstance(last.request, GptRequest):
        return
    outputs = {str(one.get("tool_call_id")): str(one["content"]) for one in last.request.messages if "content" in one}
    for message in last.request.messages:
        made = message.get("tool_calls")
        for call in made if isinstance(made, list) else ():
            if isinstance(call, dict) and isinstance(function := call.get("function"), dict):
                output = outputs.get(str(call.get("id")), "")
                marked = _RESULT.fullmatch(output)
                yield ToolCall(
                    str(function["name"]), str(function["arguments"]), marked[1] if marked is not None else output
                )
    if isinstance(last.outcome, Done):
        result = GptResult.model_validate(last.outcome.result)
        yield from (ToolCall(call.name, call.arguments) for call in result.calls)

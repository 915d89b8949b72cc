"""What GPT agents have spent today, over all processes: their budgets are by the UTC day."""

import logging
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time

from schemas.effects import GptRequest, GptResult
from schemas.events.ai import AiCallEnded
from schemas.ids import channel_of
from schemas.record import UndecodableRecord, decode
from schemas.settings.ai import AiLimits
from schemas.topics import AI_CALLS
from streams.clock import Clock
from streams.effects.runner import end_id

logger = logging.getLogger(__name__)

STAGE = "ai"
"""The stage whose calls these are."""


@dataclass(slots=True)
class _Spent:
    tokens: int = 0
    cost_micros: int = 0

    def add(self, tokens: int, cost_micros: int) -> None:
        self.tokens += tokens
        self.cost_micros += cost_micros


class Spending:
    """Adds up the records of ai-calls, and what this process's calls cost whose records have not come back yet.

    Exact but for the calls under way, of all processes: by what those cost a budget is overspent at most.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._day = date.min
        self._spent: defaultdict[tuple[str, str], _Spent] = defaultdict(_Spent)
        self._own: dict[str, tuple[str, str, int, int]] = {}

    def begin(self) -> datetime:
        """When the present day began: older records of ai-calls need not be read."""
        return datetime.combine(self._clock().astimezone(UTC).date(), time(), UTC)

    def apply(self, _key: bytes, value: bytes | None) -> None:
        """Take in one record of ai-calls. One that can't be read is left out, with a line in the log."""
        try:
            record = decode(value or b"", AI_CALLS.types)
        except UndecodableRecord as error:
            logger.error("a record of %s was left out: %s", AI_CALLS.name, error)
            return
        call = record.event
        if record.replayed_for is not None or not isinstance(call, AiCallEnded):
            return
        self._own.pop(record.causation_id or "", None)
        if call.at.astimezone(UTC).date() == self._today():
            place = channel_of(record.subject), call.agent
            self._spent[place].add(call.tokens_in + call.tokens_out, call.cost_micros)

    def add(self, request: GptRequest, result: GptResult) -> None:
        """A call of this process ended, which counts before its record is written and read."""
        self._today()
        cause = end_id(STAGE, request.effect_id)
        self._own[cause] = request.channel, request.agent, result.tokens_in + result.tokens_out, result.cost_micros

    def is_used_up(self, channels: Iterable[str], agent: str, limits: AiLimits) -> bool:
        """Whether the agent may be asked no more today. channels: those of its account."""
        if limits.tokens_a_day is None and limits.cost_a_day is None:
            return False
        self._today()
        total, places = _Spent(), {(channel, agent) for channel in channels}
        for place in places & self._spent.keys():
            total.add(self._spent[place].tokens, self._spent[place].cost_micros)
        for channel, of, tokens, cost_micros in self._own.values():
            if (channel, of) in places:
                total.add(tokens, cost_micros)
        over_tokens = limits.tokens_a_day is not None and total.tokens >= limits.tokens_a_day
        return over_tokens or (limits.cost_a_day is not None and total.cost_micros >= limits.cost_a_day * 1_000_000)

    def _today(self) -> date:
        today = self._clock().astimezone(UTC).date()
        if today != self._day:
            self._day = today
            self._spent.clear()
            self._own.clear()
        return today

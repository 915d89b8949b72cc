"""How an effect can end, and who performs it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from pydantic import BaseModel, JsonValue


@dataclass(frozen=True, slots=True)
class Done:
    """It was done; the result says what came of it, a refusal too."""

    result: dict[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unknown:
    """It may or may not have happened."""


@dataclass(frozen=True, slots=True)
class Postponed:
    """It was not tried."""


Outcome = Done | Unknown | Postponed

Performer = Callable[[BaseModel], Awaitable[Outcome]]
"""Does what a request asks. Raises nothing that it expects: an exception counts as unknown."""

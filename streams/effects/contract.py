"""How an effect can end, and who performs it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import JsonValue

from schemas.effects import EffectRequest


@dataclass(frozen=True, slots=True)
class Done:
    """It was done; the result says what came of it, a refusal too."""

    result: dict[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unknown:
    """It may or may not have happened."""


@dataclass(frozen=True, slots=True)
class Postponed:
    """It was not tried. after_s: seconds after which it may be, where that is known."""

    after_s: float | None = None


Outcome = Done | Unknown | Postponed

RequestT = TypeVar("RequestT", bound=EffectRequest)
Perform = Callable[[RequestT], Awaitable[Outcome]]
"""Does what a request asks. Raises nothing that it expects: an exception counts as unknown."""

Performers = Mapping[type[EffectRequest], Perform[Any]]
"""Type of request -> its performer: one table for worker, driver and broker run."""

"""Where a scenario's steps are performed: in memory, or by the real processes on a broker."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from deploy.sandbox.accounts import Behaviour
from deploy.sandbox.provider import LogEntry
from deploy.scenario.steps import CommandStep
from schemas.record import Record
from schemas.topics import Topic


@dataclass(frozen=True)
class Refusal:
    """What ingress refuses at the front door: it leaves no record. code: a refusal code of docs/scenarios.md."""

    code: str
    reason: str


@dataclass(frozen=True)
class Evidence:
    """What is known of what happened.

    records: everything written, as (topic, record), in the order written. log: what the provider was asked to send.
    """

    records: tuple[tuple[Topic, Record], ...]
    log: tuple[LogEntry, ...]


class World(Protocol):
    """Performs steps. What is handed in is processed at settle() or advance(), not before."""

    async def advance(self, to: datetime) -> None:
        """Let time pass until `to`: timers due by then fire, earliest first."""

    async def hand_in_callback(self, at: datetime, channel: str, body: bytes) -> None:
        """The provider calls back."""

    async def hand_in_command(
        self, at: datetime, channel: str, command: CommandStep, command_id: str
    ) -> Refusal | None:
        """A person asks something of a conversation."""

    async def change_settings(self, at: datetime, channel: str, change: Mapping[str, object]) -> Refusal | None:
        """A partial change of a channel's settings."""

    async def set_provider(self, channel: str, behaviour: Behaviour) -> None:
        """How the provider answers the channel's next sends."""

    async def settle(self, at: datetime) -> None:
        """Process until quiet, at that instant; no timer fires on its own account."""

    async def evidence(self) -> Evidence:
        """All that happened so far."""

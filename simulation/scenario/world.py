"""Where a scenario's steps are performed: in memory, or by the real processes on a broker."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Protocol

from desk.people import PresenceRequest
from schemas.record import Record
from schemas.settings.channel import ChannelSettings
from schemas.topics import Topic
from simulation.sandbox.accounts import Behaviour
from simulation.sandbox.calls import CallbackRequest, Json
from simulation.sandbox.gpt.script import GptScript, ToolScript
from simulation.sandbox.happenings import Written
from simulation.sandbox.providers import LogEntry

PUBLIC_URL = "https://livedesk.example"
"""Where the providers, who are played here, would reach ingress: it stands in signatures and in what is sent."""


@dataclass(frozen=True)
class Refusal:
    """What ingress refuses at the front door: it leaves no record. code: a refusal code of docs/scenarios.md."""

    code: str
    reason: str


@dataclass(frozen=True)
class Evidence:
    """What is known of what happened.

    records: everything written, as (topic, record), in the order written. log: what the provider was asked to send.
    asked: the bodies of what GPT agents' models were asked.
    """

    records: tuple[tuple[Topic, Record], ...]
    log: tuple[LogEntry, ...]
    asked: tuple[Json, ...] = ()


class StepIds:
    """Ids for what ingress writes: they name the step. Called for each new one.

    base: separates the records of one scenario from another's. What is written before the first step is of none.
    """

    def __init__(self, base: str) -> None:
        self._base = base
        self.begin(None)

    def begin(self, step: int | None) -> None:
        """The next ids are of that step."""
        self._step, self._numbers = "start" if step is None else str(step), count(1)

    def __call__(self) -> str:
        number = next(self._numbers)
        return f"{self._base}/{self._step}" + (f"-{number}" if number > 1 else "")


def step_of(record_id: str | None) -> int | None:
    """The step whose record has that id; None for any other id."""
    own = re.fullmatch(r"[^/]+/([0-9]+)(-[0-9]+)?(\.[0-9]+)?", record_id or "")
    return int(own[1]) if own else None


class World(Protocol):
    """Performs steps. What is handed in is processed at settle() or advance(), not before."""

    async def advance(self, to: datetime) -> None:
        """Let time pass until `to`: timers due by then fire, earliest first."""

    async def begin(self, step: int, at: datetime) -> None:
        """What is handed in from now on is the step's, at that instant."""

    def webhook_url(self, channel: str) -> str:
        """Where the provider posts the channel's callbacks."""

    async def provider_keeps(self, channel: str, message: Written) -> None:
        """The provider knows of a customer's message."""

    async def hand_in_callback(self, channel: str, request: CallbackRequest) -> None:
        """The provider calls back. Signed with the channel's newest credentials."""

    async def hand_in_command(
        self, channel: str, contact: str, body: Mapping[str, object], command_id: str
    ) -> Refusal | None:
        """A person asks something of the contact's conversation. body: but for the id."""

    async def change_settings(self, channel: str, change: Mapping[str, object]) -> Refusal | None:
        """A partial change of a channel's settings."""

    async def set_presence(self, account: str, agent: str, presence: PresenceRequest) -> Refusal | None:
        """A human agent's state, chosen by a person or sent by a desk."""

    async def set_member(self, account: str, channel: str | None, agent: str, member: bool) -> Refusal | None:
        """A human agent joins or leaves a channel; None: every channel of the account."""

    async def delete_agent(self, account: str, agent: str) -> Refusal | None:
        """A human agent leaves the account."""

    async def set_provider(self, channel: str, behaviour: Behaviour) -> None:
        """How the provider answers the channel's next sends."""

    async def set_ai(self, channel: str, answer: str) -> None:
        """How the channel's AI agent answers from now on: error, handoff, or a text."""

    async def set_gpt(self, script: GptScript) -> None:
        """What a GPT agent's model does from now on."""

    async def set_tool(self, script: ToolScript) -> None:
        """What a GPT agent's tool answers from now on."""

    async def settle(self, at: datetime) -> None:
        """Process until quiet, at that instant; no timer fires on its own account."""

    async def settings(self, channel: str) -> ChannelSettings:
        """The channel's newest settings."""

    async def evidence(self) -> Evidence:
        """All that happened so far."""

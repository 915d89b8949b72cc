"""Human agents: who they are, and whether they are there."""

from typing import ClassVar, Literal

from pydantic import JsonValue

from schemas.event import Event

PresenceState = Literal["online", "busy", "idle", "offline"]


class PresenceChanged(Event):
    """A human agent's state. Key: account id. Written by ingress.

    source: a person's choice stays until it is changed; a desk's heartbeat holds for 90 s.
    """

    type: ClassVar[str] = "presence.changed"

    agent: str
    state: PresenceState
    source: Literal["person", "heartbeat"] = "person"


class AgentSaved(Event):
    """A human agent of the account, as it is from now on. Key: account id. Written by ingress.

    workload: open conversations at most; None: no limit; "default": the channel's workload_default.
    """

    type: ClassVar[str] = "agent.saved"

    agent: str
    name: str = ""
    workload: int | Literal["default"] | None = "default"
    teams: tuple[str, ...] = ()


class AgentDeleted(Event):
    """A human agent left the account, and every channel of it. Key: account id. Written by ingress."""

    type: ClassVar[str] = "agent.deleted"

    agent: str


class AiAgentSaved(Event):
    """One revision of an AI agent of the account; its secrets are encrypted text. Key: `ai/{account}/{id}`."""

    type: ClassVar[str] = "ai_agent.saved"

    account: str
    settings: dict[str, JsonValue]


class AiAgentDeleted(Event):
    """The account has it no more."""

    type: ClassVar[str] = "ai_agent.deleted"

    account: str
    agent: str

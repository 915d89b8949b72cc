"""A channel's settings were saved."""

from typing import ClassVar

from pydantic import JsonValue

from schemas.event import Event


class ChannelSaved(Event):
    """One revision of a channel's settings; credentials are encrypted text. Key: `{channel id}/{revision}`."""

    type: ClassVar[str] = "channel.saved"

    settings: dict[str, JsonValue]


class ChannelChanged(Event):
    """A channel has new settings, which the record is stamped with. Key: account id. Written by ingress.

    left: the human agents who have left the channel.
    """

    type: ClassVar[str] = "channel.changed"

    channel: str
    left: tuple[str, ...] = ()


class ReconciliationSet(Event):
    """Whether the channel's callbacks are compared with its provider's list may have changed. Key: channel id.

    Written by desk.
    """

    type: ClassVar[str] = "reconciliation.set"

"""Trying a channel's credentials, and subscribing: the calls that its provider plans, made one after the other."""

from collections.abc import Awaitable, Callable
from typing import Literal

from providers.provider import Answer, Call, Checked, Checking
from schemas.settings.channel import ChannelSettings

Make = Callable[[ChannelSettings, Call], Awaitable[Answer | None]]
"""Makes a call to the channel's provider; None: it gave no answer."""

Unreachable = Literal["unreachable"]


async def carry_out(checking: Checking, settings: ChannelSettings, make: Make) -> Checked | Unreachable:
    """What came of it."""
    try:
        call = next(checking)
        while True:
            answer = await make(settings, call)
            if answer is None:
                checking.close()
                return "unreachable"
            call = checking.send(answer)
    except StopIteration as end:
        checked: Checked = end.value
        return checked

"""Reading the records of the channels topic: every process does, for its own use."""

import logging
from collections.abc import Callable

from schemas.events.channels import ChannelSaved
from schemas.record import UndecodableRecord, decode
from schemas.settings.channel import ChannelSettings, from_stored
from schemas.topics import CHANNELS

logger = logging.getLogger(__name__)


def read_channel(key: bytes, value: bytes | None, decrypt: Callable[[str], str]) -> ChannelSettings | None:
    """The settings in a message of the channels topic; None, and a line in the log, where there are none.

    Raises what decrypt raises.
    """
    if value is None:
        return None
    try:
        event = decode(value, CHANNELS.types).event
    except UndecodableRecord as error:
        logger.error("a record of the channels topic was left out (key %s): %s", key.decode(), error)
        return None
    return from_stored(event.settings, decrypt) if isinstance(event, ChannelSaved) else None

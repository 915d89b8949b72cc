"""What the media stage is asked to fetch."""

from typing import ClassVar

from schemas.event import Event
from schemas.events.conversation import Media


class MediaRequested(Event):
    """A file of a customer's message is to be fetched. Written by conversations. index: which of its files, from 0."""

    type: ClassVar[str] = "media.requested"

    conversation_id: str
    message_id: str
    index: int
    media: Media

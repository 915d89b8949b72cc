"""Customers' files: each is asked for once, and is stored once, or told to be missing, or still tried. Pure."""

from collections import Counter
from collections.abc import Iterator

import orjson

from schemas.events.conversation import ConversationMediaFailed, ConversationMediaStored, ConversationMessageReceived
from schemas.events.media import MediaRequested
from schemas.topics import CONVERSATIONS, MEDIA_REQUESTS
from tests.chaos.history import History
from tests.chaos.violation import Violation

File = tuple[str, str, int]
"""Conversation key, message id, which of the message's files."""


def check_media(history: History) -> Iterator[Violation]:
    """Every file of a message is asked for once, and ends once, with the hash that was stated, or is still tried."""
    sent = {
        (record.subject, record.event.message_id, index)
        for record in history.records(CONVERSATIONS, ConversationMessageReceived)
        if isinstance(record.event, ConversationMessageReceived) and record.event.media is not None
        for index in range(1 + len(record.event.more_media))
    }
    asked = dict[File, MediaRequested]()
    times = Counter[File]()
    for record in history.records(MEDIA_REQUESTS, MediaRequested):
        if isinstance(record.event, MediaRequested):
            file = (record.subject, record.event.message_id, record.event.index)
            asked[file] = record.event
            times[file] += 1
    for file in sent | times.keys():
        if times[file] != 1 or file not in sent:
            yield Violation("file not asked for once", file[0], f"{file[1]}: {times[file]} times")
    tried, ends = set(_still_tried(history)), Counter[File]()
    for record in history.records(CONVERSATIONS, ConversationMediaStored, ConversationMediaFailed):
        match record.event:
            case ConversationMediaStored(message_id=id, index=index, sha256=stored):
                file = (record.subject, id, index)
                ends[file] += 1
                stated = asked[file].media.sha256 if file in asked else None
                if stated not in (None, stored):
                    yield Violation("not the file that was sent", record.subject, id)
            case ConversationMediaFailed(message_id=id, index=index, final=True):
                ends[record.subject, id, index] += 1
    for file in asked.keys() | ends.keys():
        if ends[file] != (file not in tried):
            yield Violation("file not ended once", file[0], f"{file[1]}: {ends[file]} ends")


def _still_tried(history: History) -> Iterator[File]:
    for rows in history.states["media"].values():
        for (key, name), row in rows.items():
            if name == "head" or name.startswith("queue/"):
                request = orjson.loads(row)["request"]
                yield key, request["message_id"], request["index"]

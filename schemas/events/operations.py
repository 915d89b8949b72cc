"""The pipeline itself: dead letters, keys that were unparked, where timers fired."""

from datetime import datetime
from typing import ClassVar, Literal

from schemas.event import Event


class DeadLettered(Event):
    """What could not be processed, whole. body: text, or base64 when it is not UTF-8 text.

    topic, partition and offset say where it was read; they are left out by the in-memory driver.
    """

    type: ClassVar[str] = "record.dead_lettered"

    reason: str
    detail: str = ""
    stage: str
    topic: str
    partition: int | None = None
    offset: int | None = None
    body: str
    encoding: Literal["text", "base64"] = "text"
    headers: dict[str, str] = {}


class DeadLetterReplayed(Event):
    """The dead letter was written back to the topic it was read from. Key: as the letter's. Written by operators."""

    type: ClassVar[str] = "dead_letter.replayed"

    letter_id: str


class KeyUnparked(Event):
    """Records of the key are to be processed again. Written by operators, to the input of the stage that parked it.

    letter_id: the key's newest dead letter that the writer knew of; where there is a newer one the key stays parked,
    so that nothing is overtaken. None: unpark it all the same.
    """

    type: ClassVar[str] = "key.unparked"

    letter_id: str | None = None


class TimersFired(Event):
    """The timers due by `due` fired before the input record at `offset`. Key: `{stage}/{partition}`."""

    type: ClassVar[str] = "timers.fired"

    stage: str
    partition: int
    due: datetime
    offset: int

"""The rows of GPT agents: the talk with a customer, and the question that is being answered."""

from datetime import datetime
from typing import Final, Literal, cast

import orjson

from agents.queue import SEEN
from agents.retention import Aged
from agents.stage import Row

TALK: Final = "gpt/talk"
SAID: Final = "gpt/said/"
RUN: Final = "gpt/run"
SOURCE: Final = "gpt/source/"
STEP: Final = "gpt/step/"
REJECTED: Final = "gpt/rejected"
KEPT: Final = (SEEN, SAID, TALK)
"""Prefixes of the rows that go when they are old."""
MAX_BYTES: Final = 6_000
"""Of a text in a row."""
_CUT: Final = "…"

Speaker = Literal["customer", "ai", "human", "business", "released", "returned", "resolved"]


class Talk(Aged):
    """`gpt/talk`: the talk as a whole. since: when a question last came.

    next: the number of the next row said. answers: since the talk began, in_a_row: since the agent has it. held: the
    agent has it. asked_else: its last answer asked if anything is open. unreadable: its last answer said that it can't
    read the message. answered_at: when its last answer was sent; None: the customer has written since. machine:
    messages in a row that a machine seems to have written. name: the contact's.
    """

    agent: str
    conversation_id: str
    next: int = 0
    answers: int = 0
    in_a_row: int = 0
    held: bool = True
    asked_else: bool = False
    unreadable: bool = False
    answered_at: datetime | None = None
    machine: int = 0
    name: str | None = None


class Said(Aged):
    """`gpt/said/{number}`: something that was said, or where a stretch of the talk ended. since: when it was known.

    request: the one that asks for an answer to it, until it has one. unsent: an answer that is not known to be sent.
    """

    number: int
    conversation_id: str
    by: Speaker
    text: str | None = None
    kind: str = "text"
    message_id: str | None = None
    at: datetime
    request: str | None = None
    unsent: bool = False


class Run(Row):
    """`gpt/run`: the question that is being answered.

    request_id: the first that it answers. upto: the number of the last message that the model was shown. phase: the
    call that is made; effect: its attempt in flight, None while it waits to be made again; calls: how many calls of
    the model there were. stale: more was written meanwhile, so that its end counts for nothing; restarts: how often.
    dropped: nobody wants its answer. repair: why the model is asked again. resolve: the talk ends with the answer.
    """

    agent: str
    conversation_id: str
    request_id: str
    upto: int
    phase: Literal["knowledge", "model", "tool"] = "model"
    effect: str | None = None
    attempts: int = 0
    calls: int = 0
    stale: bool = False
    restarts: int = 0
    dropped: bool = False
    repair: tuple[Literal["empty", "long"], ...] = ()
    resolve: bool = False
    labels: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Source(Row):
    """`gpt/source/{number}`: a passage that was found for the question."""

    id: str
    title: str
    text: str


class Step(Row):
    """`gpt/step/{number}`: a tool's call that the model asked for. outcome: None: it was not made yet.

    round: by the model's call it came with. call_id: the same for the same arguments, within a question.
    """

    number: int
    round: int
    name: str
    arguments: str
    call_id: str
    outcome: Literal["done", "refused", "unknown"] | None = None
    output: str = ""
    is_source: bool = False


class Rejected(Row):
    """`gpt/rejected`: an answer that was too long."""

    text: str


def cut(text: str, limit: int = MAX_BYTES) -> str:
    """The text, or its beginning that takes so many bytes in a row, in which a line's end takes two."""
    data = orjson.dumps(text)[1:-1]
    if len(data) <= limit:
        return text
    data = data[: limit - len(_CUT.encode())]
    # Not within a character, nor within the escape that stands for one.
    return next(read for length in range(len(data), 0, -1) if (read := _read(data[:length])) is not None) + _CUT


def _read(data: bytes) -> str | None:
    try:
        return cast("str", orjson.loads(b'"%b"' % data))
    except orjson.JSONDecodeError:
        return None

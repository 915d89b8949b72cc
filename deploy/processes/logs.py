"""How the processes log: one line an event, to standard error, without customers' data."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiokafka.errors import (
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    KafkaConnectionError,
    NodeNotReadyError,
)

FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"

_COORDINATOR: Final = (CoordinatorNotAvailableError, CoordinatorLoadInProgressError, KafkaConnectionError)

EXPECTED: Final = {
    # The error follows, and whoever has to do with it says what to do.
    "aiokafka": {'Unable connect to "%s:%s": %s': (Exception,)},
    # Kafka makes its own topics at the first start; groups meet, and part, whenever a worker starts or stops.
    "aiokafka.consumer.group_coordinator": {
        "Group Coordinator Request failed: %s": _COORDINATOR,
        "Error sending %s to node %s [%s] -- marking coordinator dead": _COORDINATOR,
        "LeaveGroup request failed: %s": _COORDINATOR,
        "Marking the coordinator dead (node %s)for group %s.": (),
        "Heartbeat failed for group %s because it is rebalancing": (),
    },
    # A consumer that is stopped closes its connection under its own fetch; one whose broker is away asks again.
    "aiokafka.consumer.fetcher": {"Failed fetch messages from %s: %s": (KafkaConnectionError, NodeNotReadyError)},
}
"""What aiokafka logs as errors and warnings of a healthy system: by logger and message, the errors in the arguments."""

LASTS_S = 10.0
"""Seconds after which an expected state is one no longer."""
_OVER_AFTER_S = 5.0
_AGAIN_S = 60.0


@dataclass
class _State:
    began: float
    latest: float
    said: float | None = None


class ExpectedStates(logging.Filter):
    """Leaves out what is expected; what lasts is a warning, once a minute."""

    def __init__(self) -> None:
        super().__init__()
        self._states: dict[str, _State] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is logged (logging's protocol)."""
        if not _expected(record):
            return True
        now = record.created
        state = self._states.get(record.msg)
        if state is None or now - state.latest > _OVER_AFTER_S:
            state = self._states[record.msg] = _State(now, now)
        state.latest = now
        if now - state.began < LASTS_S or (state.said is not None and now - state.said < _AGAIN_S):
            return False
        state.said = now
        record.levelno, record.levelname = logging.WARNING, logging.getLevelName(logging.WARNING)
        return True


def _expected(record: logging.LogRecord) -> bool:
    errors = EXPECTED.get(record.name, {}).get(record.msg)
    if errors is None:
        return False
    arguments = record.args if isinstance(record.args, tuple) else ()
    return not errors or any(isinstance(argument, errors) for argument in arguments)


_expected_states = ExpectedStates()


def quiet_expected_states() -> None:
    """Have this process log no expected states of the libraries as errors. Can be repeated."""
    for name in EXPECTED:
        logging.getLogger(name).addFilter(_expected_states)


def configure_logging(level: int = logging.INFO, file: Path | None = None) -> None:
    """Log from `level` on, to standard error or to the file; the libraries only from WARNING on."""
    logging.basicConfig(level=level, format=FORMAT, filename=file)
    for noisy in ("aiokafka", "faust", "mode", "asyncio", "aiohttp", "httpcore2", "httpx2", "openai"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    quiet_expected_states()

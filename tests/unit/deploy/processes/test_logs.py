"""What is left out of the logs, with records as aiokafka makes them."""

import importlib
import inspect
import logging

import pytest
from aiokafka.errors import (
    CoordinatorNotAvailableError,
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    UnknownTopicOrPartitionError,
)

from deploy.processes.logs import EXPECTED, LASTS_S, ExpectedStates, quiet_expected_states

COORDINATOR = "aiokafka.consumer.group_coordinator"
FETCHER = "aiokafka.consumer.fetcher"
NO_COORDINATOR = "Group Coordinator Request failed: %s"


def record(name: str, message: str, *arguments: object, at: float = 0.0) -> logging.LogRecord:
    made = logging.LogRecord(name, logging.ERROR, "", 0, message, arguments, None)
    made.created = at
    return made


def unavailable(at: float) -> logging.LogRecord:
    return record(COORDINATOR, NO_COORDINATOR, CoordinatorNotAvailableError(), at=at)


@pytest.mark.parametrize(
    "expected",
    [
        unavailable(0),
        record(COORDINATOR, "Heartbeat failed for group %s because it is rebalancing", "livedesk.intake"),
        record(FETCHER, "Failed fetch messages from %s: %s", 1, KafkaConnectionError("closed")),
        record("aiokafka", 'Unable connect to "%s:%s": %s', "127.0.0.1", 9, ConnectionRefusedError()),
    ],
    ids=lambda one: one.getMessage(),
)
def test_expected_states_are_left_out(expected: logging.LogRecord) -> None:
    assert not ExpectedStates().filter(expected)


@pytest.mark.parametrize(
    "other",
    [
        record(COORDINATOR, NO_COORDINATOR, GroupAuthorizationFailedError("g")),
        record(FETCHER, "Failed fetch messages from %s: %s", 1, UnknownTopicOrPartitionError()),
        record("streams.runtime.worker", NO_COORDINATOR, CoordinatorNotAvailableError()),
        record(COORDINATOR, "Heartbeat failed: %r", CoordinatorNotAvailableError()),
    ],
    ids=lambda one: one.getMessage(),
)
def test_other_records_are_logged(other: logging.LogRecord) -> None:
    assert ExpectedStates().filter(other)
    assert other.levelno == logging.ERROR


def test_an_expected_state_that_lasts_is_a_warning_once_a_minute() -> None:
    states = ExpectedStates()
    lasting = [unavailable(at) for at in range(int(LASTS_S) + 70)]
    said = [one for one in lasting if states.filter(one)]
    assert [one.created for one in said] == [LASTS_S, LASTS_S + 60]
    assert {one.levelname for one in said} == {"WARNING"}


def test_an_expected_state_that_comes_back_later_begins_anew() -> None:
    states = ExpectedStates()
    assert not any(states.filter(unavailable(at)) for at in (0, 4, 8, 60, 64))


def test_the_loggers_leave_it_out(caplog: pytest.LogCaptureFixture) -> None:
    quiet_expected_states()
    logger = logging.getLogger(COORDINATOR)
    logger.error(NO_COORDINATOR, CoordinatorNotAvailableError())
    logger.error(NO_COORDINATOR, GroupAuthorizationFailedError("g"))
    assert len(caplog.records) == 1


@pytest.mark.parametrize("name", EXPECTED)
def test_aiokafka_logs_these_messages(name: str) -> None:
    source = inspect.getsource(importlib.import_module("aiokafka.client" if name == "aiokafka" else name))
    plain = source.replace('"\n                    "', "").replace('"\n                " ', " ")
    assert [message for message in EXPECTED[name] if message not in plain] == []

"""Posts callbacks when they are due, and again where their provider does so."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

import aiohttp
from yarl import URL

from simulation.sandbox.accounts import Accounts
from simulation.sandbox.calls import ScheduledCallback
from simulation.sandbox.contract import Failure, StandIn
from simulation.sandbox.stand_in import STAND_INS

logger = logging.getLogger(__name__)

MAX_BACKOFF_SECONDS = 8
KEPT_ATTEMPTS = 100_000


@dataclass(frozen=True)
class CallbackAttempt:
    """One request to a callback address.

    account: its number. status: the HTTP status, or None with an error's name. attempt: from 1. delivered: whether the
    provider takes the answer.
    """

    at: datetime
    account: str
    size: int
    attempt: int
    status: int | None
    error: str | None
    delivered: bool = False


@dataclass(frozen=True)
class CallbackCounts:
    """Attempts that were taken, attempts that failed, and callbacks not delivered or given up yet."""

    delivered: int
    failed: int
    pending: int


class CallbackSender:
    """A queue of callbacks and the task that posts them.

    clock: the wall clock; call wake() after moving any other one. redeliver_on_failure: try again, with growing pauses,
    until taken, even where the provider does not. timeout: seconds; None: the provider's own.
    """

    def __init__(
        self,
        accounts: Accounts,
        clock: Callable[[], datetime],
        *,
        redeliver_on_failure: bool = False,
        timeout: float | None = None,
        max_in_flight: int = 16,
    ) -> None:
        self._accounts = accounts
        self._clock = clock
        self._redeliver = redeliver_on_failure
        self._timeout = timeout
        self._slots = asyncio.Semaphore(max_in_flight)
        self._queue: list[tuple[datetime, int, int, ScheduledCallback]] = []
        self._numbers = itertools.count()
        self._changed = asyncio.Event()
        self._attempts: deque[CallbackAttempt] = deque(maxlen=KEPT_ATTEMPTS)
        self._in_flight = 0
        self._delivered = 0
        self._failed = 0

    @property
    def attempts(self) -> tuple[CallbackAttempt, ...]:
        """The attempts so far, oldest first."""
        return tuple(self._attempts)

    @property
    def counts(self) -> CallbackCounts:
        """How many callbacks are where."""
        return CallbackCounts(self._delivered, self._failed, len(self._queue) + self._in_flight)

    def schedule(self, callbacks: Iterable[ScheduledCallback]) -> None:
        """Queue callbacks for the instants they carry."""
        for callback in callbacks:
            self._push(callback, callback.at, attempt=1)

    def wake(self) -> None:
        """Look at the clock again."""
        self._changed.set()

    async def run(self) -> None:
        """Post callbacks until cancelled."""
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as posts:
            while True:
                self._changed.clear()
                while self._queue and self._queue[0][0] <= self._clock():
                    await self._slots.acquire()
                    _, _, attempt, callback = heapq.heappop(self._queue)
                    self._in_flight += 1
                    posts.create_task(self._post(session, callback, attempt))
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._seconds_to_next()):
                        await self._changed.wait()

    def _seconds_to_next(self) -> float | None:
        if not self._queue:
            return None
        return max(0.0, (self._queue[0][0] - self._clock()).total_seconds())

    def _push(self, callback: ScheduledCallback, at: datetime, attempt: int) -> None:
        heapq.heappush(self._queue, (at, next(self._numbers), attempt, callback))
        self._changed.set()

    async def _post(self, session: aiohttp.ClientSession, callback: ScheduledCallback, attempt: int) -> None:
        account = self._accounts.get(callback.account)
        stand_in, request = STAND_INS[account.provider], callback.request
        url = request.to or account.callback_url
        status: int | None = None
        error: str | None = None
        failure: Failure = "refused"
        try:
            if url is None:
                error = "NoCallbackAddress"
            else:
                signature = stand_in.sign(account, url, request, self._clock())
                headers = {**signature, "Content-Type": request.content_type}
                timeout = aiohttp.ClientTimeout(total=self._timeout or stand_in.callback_timeout_s)
                # The address as it is signed, byte for byte.
                address = URL(url.partition("#")[0], encoded=True)
                async with session.post(address, data=request.body, headers=headers, timeout=timeout) as response:
                    status = response.status
                    if not stand_in.takes(status, response.headers.get("Content-Type", "")):
                        error = "NotTaken"
        except aiohttp.ClientConnectorError as problem:
            error, failure = type(problem).__name__, "unconnected"
        except (aiohttp.ClientError, TimeoutError, OSError) as problem:
            error, failure = type(problem).__name__, "silent"
        finally:
            self._in_flight -= 1
            self._slots.release()
        now = self._clock()
        done = CallbackAttempt(
            now, account.phone_number, len(request.body), attempt, status, error, delivered=error is None
        )
        self._attempts.append(done)
        self._count(done, callback, stand_in, failure)

    def _count(self, done: CallbackAttempt, callback: ScheduledCallback, stand_in: StandIn, failure: Failure) -> None:
        if done.delivered:
            self._delivered += 1
            return
        self._failed += 1
        logger.warning("callback not taken: status=%s error=%s attempt=%d", done.status, done.error, done.attempt)
        pause = stand_in.retry_after_s(done.attempt, failure, (done.at - callback.at).total_seconds())
        if self._redeliver:
            pause = min(2 ** (done.attempt - 1), MAX_BACKOFF_SECONDS)
        if pause is not None:
            self._push(callback, done.at + timedelta(seconds=pause), done.attempt + 1)

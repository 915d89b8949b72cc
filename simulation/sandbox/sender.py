"""Posts callbacks when they are due, as EngageLab does: 3 seconds to answer, and no second attempt."""

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

from simulation.sandbox.accounts import Account, Accounts
from simulation.sandbox.engagelab.callbacks import signature_header
from simulation.sandbox.engagelab.receipts import ScheduledCallback

logger = logging.getLogger(__name__)

MAX_BACKOFF_SECONDS = 8
KEPT_ATTEMPTS = 100_000


@dataclass(frozen=True)
class CallbackAttempt:
    """One request to a callback address. status: the HTTP status, or None with an error's name. attempt: from 1."""

    at: datetime
    account: str
    size: int
    attempt: int
    status: int | None
    error: str | None

    @property
    def delivered(self) -> bool:
        """Whether it was answered with 200, the only answer that EngageLab takes (docs, confirmed)."""
        return self.status == 200


@dataclass(frozen=True)
class CallbackCounts:
    """Attempts answered with 200, attempts that failed, and callbacks not delivered or given up yet."""

    delivered: int
    failed: int
    pending: int


class CallbackSender:
    """A queue of callbacks and the task that posts them.

    clock: the wall clock; call wake() after moving any other one. redeliver_on_failure: try again, with growing pauses,
    until answered with 200; EngageLab promises no such thing. timeout: seconds.
    """

    def __init__(
        self,
        accounts: Accounts,
        clock: Callable[[], datetime],
        *,
        redeliver_on_failure: bool = False,
        timeout: float = 3.0,
        max_in_flight: int = 16,
    ) -> None:
        self._accounts = accounts
        self._clock = clock
        self._redeliver = redeliver_on_failure
        self._timeout = aiohttp.ClientTimeout(total=timeout)
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
        async with aiohttp.ClientSession(timeout=self._timeout) as session, asyncio.TaskGroup() as posts:
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
        account = self._accounts.get(callback.dev_key)
        status, error = None, None
        try:
            if account.callback_url is None:
                error = "NoCallbackAddress"
            else:
                headers = self._headers(account)
                async with session.post(account.callback_url, data=callback.body, headers=headers) as response:
                    status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError) as problem:
            error = type(problem).__name__
        finally:
            self._in_flight -= 1
            self._slots.release()
        done = CallbackAttempt(self._clock(), account.phone_number, len(callback.body), attempt, status, error)
        self._attempts.append(done)
        self._count(done, callback)

    def _count(self, done: CallbackAttempt, callback: ScheduledCallback) -> None:
        if done.delivered:
            self._delivered += 1
            return
        self._failed += 1
        logger.warning("callback not taken: status=%s error=%s attempt=%d", done.status, done.error, done.attempt)
        if self._redeliver:
            pause = min(2 ** (done.attempt - 1), MAX_BACKOFF_SECONDS)
            self._push(callback, done.at + timedelta(seconds=pause), done.attempt + 1)

    def _headers(self, account: Account) -> dict[str, str]:
        headers = {"Content-Type": "application/json"}
        if account.callback_secret is not None:
            now = int(self._clock().timestamp())
            secret = account.callback_secret.get_secret_value()
            headers["X-CALLBACK-ID"] = signature_header(
                secret, account.callback_username, now, str(next(self._numbers))
            )
        return headers

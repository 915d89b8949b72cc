"""Signing in with a password and, where the user has one, a second factor."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from desk.access.directory import AccessDirectory, as_login
from desk.access.lockout import OF_A_LOGIN, OF_AN_ADDRESS, Lockout, address_subject, login_subject
from desk.access.passwords import MAX_CHARACTERS, Passwords
from desk.access.second_factor import code_step, recovery_hash
from desk.access.store import AccessStore
from desk.access.writer import AccessWriter
from schemas.events.access import SecondFactor, UserSaved

logger = logging.getLogger(__name__)

AT_ONCE: Final = 50
"""Passwords are hashed two at a time: whoever came after so many others would wait for seconds."""


class SignInRefused(Exception):
    """Refused, whatever the reason: the login or password is wrong, nobody's or locked, or the user is disabled."""


class CodeNeeded(Exception):
    """The password is right, and the second factor is missing."""


class TooManyTries(Exception):
    """From this address, or at once. wait: how long."""

    def __init__(self, wait: timedelta) -> None:
        super().__init__(str(wait))
        self.wait = wait


@dataclass(frozen=True)
class Shown:
    """What somebody shows who wants to sign in."""

    login: str = field(repr=False)
    password: str = field(repr=False)
    code: str | None = field(default=None, repr=False)


class SignIn:
    """Judges what is shown. decrypt: the secrets of second factors."""

    def __init__(
        self,
        directory: AccessDirectory,
        store: AccessStore,
        passwords: Passwords,
        writer: AccessWriter,
        *,
        decrypt: Callable[[str], str],
        clock: Callable[[], datetime],
    ) -> None:
        self._directory, self._store, self._passwords, self._writer = directory, store, passwords, writer
        self._decrypt, self._clock = decrypt, clock
        self._lockout = Lockout(store)
        self._under_way = 0

    async def admit(self, shown: Shown, address: str | None) -> UserSaved:
        """The user who shows this. Raises SignInRefused, CodeNeeded, TooManyTries; NotDurable.

        SignInRefused comes after the same time, whatever the reason.
        """
        if self._under_way >= AT_ONCE:
            raise TooManyTries(timedelta(seconds=1))
        self._under_way += 1
        try:
            return await self._admit(shown, address)
        finally:
            self._under_way -= 1

    async def _admit(self, shown: Shown, address: str | None) -> UserSaved:
        now = self._clock()
        subject, place = login_subject(as_login(shown.login)), address_subject(address)
        wait = await self._lockout.admit(place, OF_AN_ADDRESS, now)
        if wait is not None:
            raise TooManyTries(wait)
        locked = await self._lockout.admit(subject, OF_A_LOGIN, now) is not None
        try:
            user = await self._judge(shown, locked, now)
        except CodeNeeded:
            await self._lockout.take_back(subject, now)
            await self._lockout.take_back(place, now)
            raise
        await self._lockout.forget(subject)
        await self._lockout.take_back(place, now)
        return user

    async def confirm(self, user: UserSaved, password: str) -> None:
        """Have somebody who is signed in show the password again. Raises SignInRefused."""
        now, subject = self._clock(), login_subject(user.login)
        locked = await self._lockout.admit(subject, OF_A_LOGIN, now) is not None
        if not (await self._passwords.check(None if locked else user.password, password)).right:
            raise SignInRefused
        await self._lockout.forget(subject)

    async def _judge(self, shown: Shown, locked: bool, now: datetime) -> UserSaved:
        user = self._directory.user_by_login(shown.login)
        usable = user is not None and not user.disabled and not locked and len(shown.password) <= MAX_CHARACTERS
        checked = await self._passwords.check(user.password if user and usable else None, shown.password)
        if user is None or not checked.right:
            logger.info("sign-in refused: %s", "an unknown login" if user is None else f"user/{user.id}")
            raise SignInRefused
        how = "a password"
        if user.second_factor is not None:
            if not shown.code:
                raise CodeNeeded
            how += f" and {await self._check_code(user, user.second_factor, shown.code, now)}"
        logger.info("signed in: user/%s, with %s", user.id, how)
        if checked.stale:
            await self._writer.rehash_password(user, await self._passwords.hash(shown.password))
        return user

    async def _check_code(self, user: UserSaved, factor: SecondFactor, code: str, now: datetime) -> str:
        """What it is. Each code counts once. Raises SignInRefused."""
        step = code_step(self._decrypt(factor.secret), code, now)
        if step is not None and await self._store.use_step(user.id, step):
            return "an authenticator"
        if step is None and await self._writer.use_recovery_code(user.id, recovery_hash(code)):
            return "a recovery code"
        logger.info("sign-in refused: user/%s, by the second factor", user.id)
        raise SignInRefused

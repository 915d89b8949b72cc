"""An AccessStore in the read model's database."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Executable,
    Integer,
    Table,
    Text,
    delete,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from desk.access.store import Session, Tries
from desk.view.database import Database
from desk.view.instant import Instant
from desk.view.schema import METADATA

SESSION: Final = Table(
    "sessions",
    METADATA,
    Column("hash", Text, primary_key=True),
    Column("user", Text, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("began_at", Instant, nullable=False),
    Column("seen_at", Instant, nullable=False),
    Column("strong", Boolean, nullable=False),
)
"""People who are signed in (desk.access.store). No record leads to this table and the next three: they may be lost."""

TRIES: Final = Table(
    "tries",
    METADATA,
    Column("subject", Text, primary_key=True),
    Column("number", Integer, nullable=False),
    Column("again_at", Instant, nullable=False),
)
"""How often somebody has tried to sign in."""

CODE_STEP: Final = Table(
    "code_steps", METADATA, Column("user", Text, primary_key=True), Column("step", BigInteger, nullable=False)
)
"""The last code that each authenticator showed."""

LAST_USE: Final = Table(
    "last_uses", METADATA, Column("actor", Text, primary_key=True), Column("at", Instant, nullable=False)
)
"""When each actor called last."""


class TableStore:
    """See AccessStore. Every method is one statement, so that processes may compete."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._insert = sqlite.insert if database.is_sqlite else postgresql.insert

    async def add_session(self, session: Session) -> None:
        """See AccessStore."""
        values = {column.name: getattr(session, column.name) for column in SESSION.c}
        await self._write(SESSION.insert().values(values))

    async def session(self, hash: str) -> Session | None:
        """See AccessStore."""
        rows = await self._read(select(SESSION).where(SESSION.c.hash == hash))
        return Session(**rows[0]._mapping) if rows else None

    async def session_seen(self, hash: str, at: datetime) -> None:
        """See AccessStore."""
        await self._write(update(SESSION).where(SESSION.c.hash == hash).values(seen_at=at))

    async def end_session(self, hash: str) -> None:
        """See AccessStore."""
        await self._write(delete(SESSION).where(SESSION.c.hash == hash))

    async def tries(self, subject: str) -> Tries | None:
        """See AccessStore."""
        rows = await self._read(select(TRIES.c.number, TRIES.c.again_at).where(TRIES.c.subject == subject))
        return Tries(*rows[0]) if rows else None

    async def replace_tries(self, subject: str, before: Tries | None, after: Tries | None) -> bool:
        """See AccessStore."""
        if before is None:
            if after is None:
                return await self.tries(subject) is None
            insert = self._insert(TRIES).values(subject=subject, **after._asdict()).on_conflict_do_nothing()
            return await self._write(insert.returning(TRIES.c.subject))
        same = (TRIES.c.subject == subject, TRIES.c.number == before.number, TRIES.c.again_at == before.again_at)
        if after is None:
            return await self._write(delete(TRIES).where(*same).returning(TRIES.c.subject))
        return await self._write(update(TRIES).where(*same).values(after._asdict()).returning(TRIES.c.subject))

    async def use_step(self, user: str, step: int) -> bool:
        """See AccessStore."""
        insert = self._insert(CODE_STEP).values(user=user, step=step)
        later = insert.on_conflict_do_update(
            index_elements=[CODE_STEP.c.user],
            set_={"step": insert.excluded.step},
            where=CODE_STEP.c.step < insert.excluded.step,
        )
        return await self._write(later.returning(CODE_STEP.c.user))

    async def used(self, actor: str, at: datetime) -> None:
        """See AccessStore."""
        insert = self._insert(LAST_USE).values(actor=actor, at=at)
        await self._write(insert.on_conflict_do_update(index_elements=[LAST_USE.c.actor], set_={"at": at}))

    async def last_used(self) -> dict[str, datetime]:
        """See AccessStore."""
        return dict(map(tuple, await self._read(select(LAST_USE.c.actor, LAST_USE.c.at))))

    async def purge(self, before: datetime) -> None:
        """See AccessStore."""
        await self._write(delete(SESSION).where(SESSION.c.began_at < before))
        await self._write(delete(TRIES).where(TRIES.c.again_at < before))

    async def _read(self, statement: Executable) -> list[Any]:
        async with self._database.reading() as connection:
            return list(await connection.execute(statement))

    async def _write(self, statement: Executable) -> bool:
        """Whether it returned a row."""

        def execute(connection: Connection) -> bool:
            result = connection.execute(statement)
            return result.returns_rows and result.first() is not None

        return await self._database.write(execute)

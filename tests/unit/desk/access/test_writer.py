"""Writing users where another change comes between. The rest is tried over the API."""

from datetime import UTC, datetime

from desk.access.directory import AccessDirectory
from desk.access.permissions import Actor
from desk.access.writer import UserFields
from schemas.events.access import Grant, Role
from tests.support.access import AccessJournal, front_door

NOW = datetime(2026, 3, 9, 8, 30, tzinfo=UTC)
ROOT = Actor("test", "", Grant(role=Role.ADMIN))


async def test_a_hash_that_is_made_anew_does_not_bring_back_a_password_that_was_changed_meanwhile() -> None:
    directory = AccessDirectory()
    writer = front_door(AccessJournal(directory, lambda: NOW), lambda: NOW).writer
    fields = UserFields(grant=Grant(role=Role.READ), password="stale")
    before = await writer.create_user(ROOT, "marta@example.com", fields)
    await writer.change_user(ROOT, before.id, UserFields(password="changed"))
    await writer.rehash_password(before, "of the one before")
    after = directory.user(before.id)
    assert after is not None
    assert (after.password, after.epoch) == ("changed", 1)

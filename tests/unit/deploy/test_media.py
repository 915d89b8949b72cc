"""The media store of an installation, and what goes from it in time."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deploy.errors import LiveDeskError
from deploy.media import delete_old_files, open_store
from deploy.settings import Settings


async def test_files_are_in_the_data_folder_unless_said_otherwise(tmp_path: Path) -> None:
    await open_store(Settings(data_dir=tmp_path)).put("in/shop/a.txt", b"x")
    assert (tmp_path / "media" / "in" / "shop" / "a.txt").read_bytes() == b"x"
    other = Settings(data_dir=tmp_path, media_url=(tmp_path / "other").as_uri())
    await open_store(other).put("in/shop/b.txt", b"x")
    assert (tmp_path / "other" / "in" / "shop" / "b.txt").exists()


def test_a_store_that_can_t_be_opened_says_which_variable_to_set(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for url in ((tmp_path / "file" / "below").as_uri(), "s3://"):
        with pytest.raises(LiveDeskError, match="LIVEDESK_MEDIA_URL"):
            open_store(Settings(data_dir=tmp_path, media_url=url))


async def test_old_files_are_deleted_for_as_long_as_it_runs(tmp_path: Path) -> None:
    store = open_store(Settings(data_dir=tmp_path))
    await store.put("in/shop/a.txt", b"x")
    now = datetime.now(UTC)
    sweeper = asyncio.create_task(delete_old_files(store, 30, lambda: now + timedelta(days=29)))
    await asyncio.sleep(0)
    sweeper.cancel()
    assert await store.find("in/shop/a.txt") is not None
    sweeper = asyncio.create_task(delete_old_files(store, 30, lambda: now + timedelta(days=31)))
    async with asyncio.timeout(10):
        while await store.find("in/shop/a.txt") is not None:  # noqa: ASYNC110 - that it is gone is no event
            await asyncio.sleep(0.01)
    assert not sweeper.done()
    sweeper.cancel()

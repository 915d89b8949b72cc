"""The media store of an installation, and what is deleted from it in time."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, Never

from deploy.errors import LiveDeskError
from deploy.settings import Settings
from media.store import MediaStore, StoreUnavailable

logger = logging.getLogger(__name__)

SWEEP_EVERY_S: Final = 6 * 3_600.0


def open_store(settings: Settings) -> MediaStore:
    """The media store that the settings name. Raises LiveDeskError."""
    try:
        return MediaStore(settings.media_store_url)
    except StoreUnavailable as error:
        raise LiveDeskError(
            f"The media store {settings.media_store_url} can't be used: {error}.",
            "Set LIVEDESK_MEDIA_URL, and what the store itself needs (AWS_…).",
        ) from None


async def delete_old_files(store: MediaStore, days: int, clock: Callable[[], datetime]) -> Never:
    """Delete files that are older, again and again. Several processes may do so at once."""
    while True:
        try:
            deleted = await store.delete_older(clock() - timedelta(days=days))
            if deleted:
                logger.info("%d files older than %d days were deleted", deleted, days)
        except StoreUnavailable as error:
            logger.warning("old files could not be deleted: %s", error)
        await asyncio.sleep(SWEEP_EVERY_S)

"""Lists that are in memory, by pages as those of the view are."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable
from typing import TypeVar

from desk.api.problems import bad_cursor
from desk.api.reading import PageQuery

ItemT = TypeVar("ItemT")


def page_of(
    items: Iterable[ItemT], key: Callable[[ItemT], str], asked: PageQuery
) -> tuple[tuple[ItemT, ...], str | None]:
    """The items behind the cursor, and the next page's cursor. items: in the order of their keys. Raises Problem."""
    last = None
    if asked.cursor is not None:
        try:
            last = urlsafe_b64decode(asked.cursor).decode()
        except ValueError:
            raise bad_cursor() from None
    left = [item for item in items if last is None or key(item) > last]
    page = tuple(left[: asked.limit])
    more = len(left) > asked.limit
    return page, urlsafe_b64encode(key(page[-1]).encode()).decode() if more else None

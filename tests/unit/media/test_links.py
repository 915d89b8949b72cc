"""Links to files: nobody else can make one."""

from datetime import UTC, datetime, timedelta

import pytest

from media.links import LINK_LIVES, MEDIA_PATH, Links
from providers.address import webhook_token

NOW = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)
LINKS = Links(lambda: [b"key"])
KEY = "out/shop/abc.pdf"


def read(links: Links, link: str, now: datetime = NOW) -> tuple[str, str | None] | None:
    path, _, query = link.removeprefix(MEDIA_PATH + "/").partition("?")
    return links.read(path, query, now)


@pytest.mark.parametrize("name", [None, "a.pdf", "Factura nº 7&x=1.pdf", 'a"\r\n/b'])
def test_a_link_says_file_and_name(name: str | None) -> None:
    assert read(LINKS, LINKS.path(KEY, name, NOW)) == (KEY, name)


def test_a_link_expires() -> None:
    link = LINKS.path(KEY, None, NOW)
    assert read(LINKS, link, NOW + LINK_LIVES - timedelta(seconds=1)) is not None
    assert read(LINKS, link, NOW + LINK_LIVES) is None


def test_another_installation_s_link_is_none() -> None:
    assert read(Links(lambda: [b"another"]), LINKS.path(KEY, None, NOW)) is None


def test_no_character_of_a_link_can_be_changed() -> None:
    link = LINKS.path(KEY, "a.pdf", NOW)
    for at in range(len(MEDIA_PATH) + 1, len(link)):
        changed = link[:at] + ("a" if link[at] != "a" else "b") + link[at + 1 :]
        assert read(LINKS, changed) is None, changed


def test_links_are_signed_with_a_key_of_their_own() -> None:
    """What is signed for another purpose with the installation's key opens nothing."""
    expires = int((NOW + LINK_LIVES).timestamp())
    token = webhook_token(b"key", f"{expires}/{KEY}")
    assert read(LINKS, f"{MEDIA_PATH}/{expires}.{token}/{KEY}") is None

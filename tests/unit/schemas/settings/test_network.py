"""Who makes a request, through whatever proxies."""

from ipaddress import ip_network

import pytest

from schemas.settings.network import client_address, within

PROXIES = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.7", [], "203.0.113.7"),
        ("203.0.113.7", ["198.51.100.1"], "203.0.113.7"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["192.0.2.66, 198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["192.0.2.66", "198.51.100.1, 10.0.0.2"], "198.51.100.1"),
        ("fd00::1", ["::ffff:198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1, nonsense"], None),
        (None, ["198.51.100.1"], None),
    ],
)
def test_what_a_trusted_proxy_says_counts_and_nothing_else(peer: str | None, forwarded: list[str], client: str) -> None:
    found = client_address(peer, forwarded, PROXIES)
    assert (None if found is None else str(found)) == client


def test_an_address_that_nobody_knows_is_of_no_network() -> None:
    assert not within(None, [ip_network("0.0.0.0/0")])
    assert within(client_address("10.9.9.9", [], ()), PROXIES)
    assert not within(client_address("11.9.9.9", [], ()), PROXIES)

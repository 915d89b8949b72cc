"""Addresses that requests come from, and networks of them."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Network = IPv4Network | IPv6Network


def client_address(
    peer: str | None, forwarded: Iterable[str], trusted: Iterable[Network]
) -> IPv4Address | IPv6Address | None:
    """Who makes a request. None: nobody knows.

    peer: the other end of the connection. forwarded: the values of X-Forwarded-For, in order. They count as far as
    trusted proxies wrote them: from the end on, up to the first that is no such proxy.
    """
    trusted, address = tuple(trusted), _address(peer or "")
    hops = [hop for value in forwarded for hop in value.split(",")]
    while address is not None and hops and within(address, trusted):
        address = _address(hops.pop())
    return address


def within(address: IPv4Address | IPv6Address | None, networks: Iterable[Network]) -> bool:
    """Whether the address is of one of the networks."""
    return address is not None and any(address in network for network in networks)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(text.strip())
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found

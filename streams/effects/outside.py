"""Calls to addresses that others name: customers, providers, accounts. They lead to the public internet alone."""

import ipaddress
import socket
from collections.abc import Iterable

from aiohttp import ClientSession, DummyCookieJar, TCPConnector, ThreadedResolver
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL


class ForbiddenAddress(Exception):
    """The address is not of the public internet, nor one that the operator set."""


class Outside:
    """Which addresses may be called: public ones, and the hosts and ports of URLs that the operator set."""

    def __init__(self, trusted_urls: Iterable[str]) -> None:
        self._trusted = {(url.host, url.port) for url in map(URL, trusted_urls)}

    def check(self, url: URL) -> None:
        """Refuse what needs no look-up to be refused. Raises ForbiddenAddress."""
        if url.scheme not in ("http", "https") or url.host is None or url.user is not None:
            raise ForbiddenAddress
        try:
            ipaddress.ip_address(url.host)
        except ValueError:
            return  # a name: the resolver sees to it
        if not self.allows(url.host, url.port or 0, url.host):
            raise ForbiddenAddress

    def allows(self, host: str, port: int, address: str) -> bool:
        """Whether a connection to the address may be made that the host's name led to."""
        return not self._trusted.isdisjoint({(host, port), (address, port)}) or _is_public(address)


class OutsideResolver(AbstractResolver):
    """Looks names up, and leaves out what leads anywhere else but outside: what was checked is what is called."""

    def __init__(self, outside: Outside, resolver: AbstractResolver) -> None:
        self._outside, self._resolver = outside, resolver

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The host's addresses. Raises ForbiddenAddress, OSError."""
        found = await self._resolver.resolve(host, port, family)
        allowed = [one for one in found if self._outside.allows(host, port, one["host"])]
        if not allowed:
            raise ForbiddenAddress
        return allowed

    async def close(self) -> None:
        """Close the resolver that looks up."""
        await self._resolver.close()


def outside_session(outside: Outside, limit: int, *, auto_decompress: bool = True) -> ClientSession:
    """A session with connections, cookies and names of its own. limit: of connections."""
    connector = TCPConnector(limit=limit, resolver=OutsideResolver(outside, ThreadedResolver()))
    return ClientSession(connector=connector, cookie_jar=DummyCookieJar(), auto_decompress=auto_decompress)


def _is_public(text: str) -> bool:
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    one = mapped or address
    return one.is_global and not one.is_multicast

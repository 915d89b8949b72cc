"""The TCP ports that processes listen on, and the error where one of them can't be had."""

import errno
import os
import resource
import socket
import sys
from contextlib import suppress

import psutil
from aiohttp import web

from deploy.errors import LiveDeskError

_REASONS = {
    errno.EADDRNOTAVAIL: "this machine has no such address",
    errno.EACCES: "ports below 1024 are for administrators",
}


def check_port_free(what: str, port: int, hint: str) -> None:
    """Raises LiveDeskError, with the hint, when nobody can listen on the port of 127.0.0.1. what: who wants to."""
    with socket.socket() as probe:
        # As Java and asyncio do: without it a port is taken for a minute after its process stopped.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise _cannot_listen(what, "127.0.0.1", port, error, hint) from error


async def listen(runner: web.BaseRunner, what: str, host: str, port: int, hint: str, *, shared: bool = False) -> None:
    """Have the runner listen there. Raises LiveDeskError, with the hint. what: who wants to.

    shared: with other processes that want so, too; the kernel gives each connection to one of them.
    """
    try:
        await web.TCPSite(runner, host, port, reuse_port=shared or None).start()
    except OSError as error:
        raise _cannot_listen(what, host, port, error, hint) from error


def open_files() -> int:
    """How many files and connections this process may have open: as many as it is allowed to ask for."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError):  # macOS says that there is no limit, and allows less
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return sys.maxsize if allowed == resource.RLIM_INFINITY else allowed


def _cannot_listen(what: str, host: str, port: int, error: OSError, hint: str) -> LiveDeskError:
    if error.errno == errno.EADDRINUSE:
        reason = f"the port is in use by {_port_owner(port)}"
    elif isinstance(error, socket.gaierror):
        reason = "there is no host of that name"
    else:
        reason = _REASONS.get(error.errno or 0) or error.strerror or type(error).__name__
    return LiveDeskError(f"{what} can't listen on {host}:{port}: {reason}.", hint)


def _port_owner(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port
            if listens and connection.pid:
                return _described(connection.pid)
    except psutil.Error:
        pass
    return "another process"


def _described(pid: int) -> str:
    name = "this command itself" if pid == os.getpid() else psutil.Process(pid).name()
    return f"process {pid} ({name})"

"""What the handlers work with that let people in: users, sessions and tokens."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from aiohttp import web

from desk.access.admission import Admission, AdmissionRules
from desk.access.directory import AccessDirectory
from desk.access.oidc import OidcClient
from desk.access.passwords import Passwords
from desk.access.seals import Seals
from desk.access.sessions import Sessions
from desk.access.sign_in import SignIn
from desk.access.store import AccessStore
from desk.access.writer import AccessWriter
from desk.journal import Journal


def peer(request: web.Request) -> str | None:
    """The address that a request comes from, where no proxy is between."""
    return request.remote


@dataclass(frozen=True)
class Means:
    """What is needed for secrets. keys: the installation's, by which encrypt and decrypt keep others."""

    keys: Callable[[], Sequence[bytes]] = field(repr=False)
    encrypt: Callable[[str], str]
    decrypt: Callable[[str], str]
    random_bytes: Callable[[int], bytes]
    new_id: Callable[[], str]
    clock: Callable[[], datetime]


class FrontDoor:
    """The parts. oidc: None: nobody signs in at a provider. address: where a request comes from.

    require_second_factor: who signs in with a password may do nothing before they have one.
    """

    def __init__(
        self,
        directory: AccessDirectory,
        journal: Journal,
        store: AccessStore,
        means: Means,
        *,
        passwords: Passwords,
        oidc: tuple[OidcClient, AdmissionRules] | None = None,
        address: Callable[[web.Request], str | None] = peer,
        require_second_factor: bool = False,
    ) -> None:
        self.directory, self.store, self.means, self.address = directory, store, means, address
        self.passwords = passwords
        self.seals = Seals(means.keys)
        self.sessions = Sessions(directory, store, means.random_bytes, require_strong=require_second_factor)
        self.writer = AccessWriter(directory, journal, new_id=means.new_id, random_bytes=means.random_bytes)
        self.sign_in = SignIn(directory, store, self.passwords, self.writer, decrypt=means.decrypt, clock=means.clock)
        self.oidc = None if oidc is None else oidc[0]
        self.admission = None if oidc is None else Admission(directory, self.writer, oidc[1])

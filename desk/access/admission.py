"""Which of those who sign in at the OIDC provider are users, and with which grant."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from desk.access.directory import AccessDirectory
from desk.access.oidc import Identity, OidcRefused
from desk.access.permissions import Actor
from desk.access.writer import AccessWriter, LoginTaken, UnknownUser, UserFields
from schemas.events.access import Grant, Role, UserSaved

_PROVIDER = Actor("oidc", "the OIDC provider", Grant(role=Role.ADMIN))


@dataclass(frozen=True)
class AdmissionRules:
    """domains: of email addresses; none: all. claim: its value, or each of its values, may have a grant in grants.

    Where there is a claim, everybody needs a grant by it, which is theirs from then on, and nobody needs to be a user
    already. The first of several in the order of grants counts.
    """

    domains: frozenset[str] = frozenset()
    claim: str | None = None
    grants: Mapping[str, Grant] = field(default_factory=dict)

    def grant(self, identity: Identity) -> Grant | None:
        """The identity's, by the claim."""
        said = identity.claims.get(self.claim or "")
        values = said if isinstance(said, list) else [said]
        return next((grant for value, grant in self.grants.items() if value in values), None)


class Admission:
    """Finds the user, or makes one."""

    def __init__(self, directory: AccessDirectory, writer: AccessWriter, rules: AdmissionRules) -> None:
        self._directory, self._writer, self._rules = directory, writer, rules

    async def admit(self, identity: Identity) -> UserSaved:
        """The user who has that identity. Raises OidcRefused; NotDurable."""
        rules = self._rules
        domain = (identity.email or "").rpartition("@")[2]
        if rules.domains and domain not in rules.domains:
            raise OidcRefused("no verified address of an allowed domain")
        grant = rules.grant(identity)
        if rules.claim is not None and grant is None:
            raise OidcRefused("the claim has no value that has a grant")
        user = self._known(identity)
        try:
            if user is None:
                return await self._create(identity, grant)
            if user.disabled:
                raise OidcRefused(f"user/{user.id} is disabled")
            fields = UserFields(grant=grant, subject=identity.subject)
            return await self._writer.change_user(_PROVIDER, user.id, fields)
        except (LoginTaken, UnknownUser):
            raise OidcRefused("the user was changed meanwhile") from None

    def _known(self, identity: Identity) -> UserSaved | None:
        found = self._directory.user_by_subject(identity.subject)
        if found is not None or identity.email is None:
            return found
        # By the address only once: then the account there is the user's, whatever becomes of the address.
        by_email = self._directory.user_by_login(identity.email)
        if by_email is not None and by_email.subject is not None:
            raise OidcRefused("the address is the login of a user with another identity")
        return by_email

    async def _create(self, identity: Identity, grant: Grant | None) -> UserSaved:
        if grant is None or identity.email is None:
            raise OidcRefused("there is no such user")
        fields = UserFields(name=identity.name or None, grant=grant, subject=identity.subject)
        return await self._writer.create_user(_PROVIDER, identity.email, fields)

"""Writing tokens and users. Every change is audited in its own transaction."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from desk.access.directory import AccessDirectory, as_login
from desk.access.permissions import Actor, exceeds
from desk.access.tokens import new_token, token_hash
from desk.journal import Change, Journal
from schemas.events.access import Grant, SecondFactor, TokenSaved, UserSaved


class UnknownToken(LookupError):
    """There is no token of that id that one may see."""


class UnknownUser(LookupError):
    """There is no user of that id that one may see."""


class LoginTaken(Exception):
    """Another user signs in so."""


@dataclass(frozen=True)
class UserFields:
    """What is asked for a user. None: it stays, or is not given. password: its hash, in no repr."""

    name: str | None = None
    grant: Grant | None = None
    password: str | None = field(default=None, repr=False)
    disabled: bool | None = None
    subject: str | None = None
    second_factor_removed: bool = False
    signed_out: bool = False


class AccessWriter:
    """Saves tokens and users. All methods raise NotDurable.

    by: who does it. What others than they could have given is unknown to them. Whether they may give what they give is
    judged before (desk/api/grants.py): then what is missing of it does not tell what there is.
    """

    def __init__(
        self,
        directory: AccessDirectory,
        journal: Journal,
        *,
        new_id: Callable[[], str],
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._directory, self._journal = directory, journal
        self._new_id, self._random_bytes = new_id, random_bytes

    async def create_token(
        self, by: Actor, name: str, grant: Grant, expires_at: datetime | None = None
    ) -> tuple[TokenSaved, str]:
        """Save a new token, and return it: nothing shows it again."""
        id, secret = self._new_id(), new_token(self._random_bytes)

        def fill(change: Change) -> None:
            saved = TokenSaved(
                id=id,
                name=name,
                hash=token_hash(secret),
                grant=grant,
                created_at=change.time,
                created_by=by.id,
                expires_at=expires_at,
            )
            change.save_token(saved)
            change.audit(by.id, "create_token", f"tokens/{id}", None, saved, grant.account)

        await self._journal.write(fill)
        return self._token(id, by), secret

    async def revoke_token(self, by: Actor, id: str) -> None:
        """Make a token count no more. Raises UnknownToken."""

        def fill(change: Change) -> None:
            before = self._token(id, by)
            change.revoke_token(id)
            change.audit(by.id, "revoke_token", f"tokens/{id}", before, None, before.grant.account)

        await self._journal.write(fill)

    async def create_user(self, by: Actor, login: str, fields: UserFields) -> UserSaved:
        """Save a new user. fields: needs a grant. Raises LoginTaken."""
        grant = fields.grant
        if grant is None:
            raise ValueError("a user needs a grant")
        id, wanted = self._new_id(), as_login(login)

        def fill(change: Change) -> None:
            if self._directory.user_by_login(wanted) is not None:
                raise LoginTaken(wanted)
            user = UserSaved(
                id=id,
                login=wanted,
                name=fields.name or wanted,
                grant=grant,
                created_at=change.time,
                created_by=by.id,
                password=fields.password,
                subject=fields.subject,
            )
            change.save_user(user)
            change.audit(by.id, "create_user", f"users/{id}", None, user, grant.account)

        await self._journal.write(fill)
        return self._user(id, by)

    async def change_user(self, by: Actor, id: str, fields: UserFields) -> UserSaved:
        """Save what is given for a user. Their sessions end where that is asked, or it is about more than the name.

        Raises UnknownUser.
        """
        return await self._change(by, "change_user", id, lambda user: user.model_copy(update=_updates(user, fields)))

    async def delete_user(self, by: Actor, id: str) -> None:
        """Delete a user, whose sessions end. Raises UnknownUser."""

        def fill(change: Change) -> None:
            before = self._user(id, by)
            change.delete_user(id)
            change.audit(by.id, "delete_user", f"users/{id}", before, None, before.grant.account)

        await self._journal.write(fill)

    async def sign_out_everywhere(self, by: Actor, id: str) -> UserSaved:
        """End all of a user's sessions. Raises UnknownUser."""
        return await self._change(by, "sign_out_everywhere", id, lambda user: _renewed(user, {}))

    async def set_password(self, by: Actor, id: str, hash: str) -> UserSaved:
        """Change one's own password, which ends all sessions. Raises UnknownUser."""
        return await self._change(by, "change_password", id, lambda user: _renewed(user, {"password": hash}))

    async def set_second_factor(self, by: Actor, id: str, factor: SecondFactor | None) -> UserSaved:
        """Set or remove one's own second factor, which ends all sessions. Raises UnknownUser."""
        action = "remove_second_factor" if factor is None else "confirm_second_factor"
        return await self._change(by, action, id, lambda user: _renewed(user, {"second_factor": factor}))

    async def rehash_password(self, user: UserSaved, hash: str) -> None:
        """Keep the same password under today's parameters, unless it was changed meanwhile."""

        def fill(change: Change) -> None:
            now = self._directory.user(user.id)
            if now is not None and now.password == user.password:
                change.save_user(now.model_copy(update={"password": hash}))

        await self._journal.write(fill)

    async def use_recovery_code(self, id: str, hash: str) -> bool:
        """Take a recovery code. False: the user has none such."""
        taken = False

        def fill(change: Change) -> None:
            nonlocal taken
            user = self._directory.user(id)
            factor = None if user is None else user.second_factor
            taken = factor is not None and hash in factor.recovery
            if user is None or factor is None or not taken:
                return
            left = tuple(kept for kept in factor.recovery if kept != hash)
            after = user.model_copy(update={"second_factor": factor.model_copy(update={"recovery": left})})
            change.save_user(after)
            change.audit(f"user/{id}", "use_recovery_code", f"users/{id}", user, after, user.grant.account)

        await self._journal.write(fill)
        return taken

    async def _change(self, by: Actor, action: str, id: str, change_of: Callable[[UserSaved], UserSaved]) -> UserSaved:
        def fill(change: Change) -> None:
            before = self._user(id, by)
            after = change_of(before)
            if after != before:
                change.save_user(after)
                change.audit(by.id, action, f"users/{id}", before, after, after.grant.account)

        await self._journal.write(fill)
        found = self._directory.user(id)
        if found is None:
            raise UnknownUser(id)
        return found

    def _token(self, id: str, by: Actor) -> TokenSaved:
        found = self._directory.token(id)
        if found is None or exceeds(found.grant, by.grant) is not None:
            raise UnknownToken(id)
        return found

    def _user(self, id: str, by: Actor) -> UserSaved:
        found = self._directory.user(id)
        if found is None or (by.id != f"user/{id}" and exceeds(found.grant, by.grant) is not None):
            raise UnknownUser(id)
        return found


def _updates(user: UserSaved, fields: UserFields) -> dict[str, object]:
    given: dict[str, object] = {
        "name": fields.name,
        "grant": fields.grant,
        "password": fields.password,
        "disabled": fields.disabled,
        "subject": fields.subject,
    }
    changed = {name: value for name, value in given.items() if value not in (None, getattr(user, name))}
    if fields.second_factor_removed and user.second_factor is not None:
        changed["second_factor"] = None
    if fields.signed_out or changed.keys() - {"name", "subject"}:
        changed["epoch"] = user.epoch + 1
    return changed


def _renewed(user: UserSaved, updates: Mapping[str, object]) -> UserSaved:
    return user.model_copy(update={**updates, "epoch": user.epoch + 1})

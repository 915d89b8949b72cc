"""Who calls EngageLab's API."""

from simulation.sandbox.accounts import Account
from simulation.sandbox.calls import ApiError, is_secret
from simulation.sandbox.contract import Asked


def authenticate(asked: Asked) -> Account:
    """The caller's account. Raises ApiError 2001 (missing or wrong) or 2002 (disabled)."""
    key, secret = asked.request.basic or ("", "")
    accounts = asked.state.accounts.of("engagelab")
    account = next((account for account in accounts if account.dev_key == key), None)
    if account is None or not is_secret(secret, account.dev_secret):
        raise ApiError(2001, "authentication failed: missing or wrong DevKey:DevSecret")
    if not account.enabled:
        raise ApiError(2002, "token expired or disabled")
    return account

"""Signing in at an OpenID Connect provider: the authorization code flow with PKCE, state and nonce."""

import base64
import hashlib
import hmac
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

import orjson
from aiohttp import ClientError, ClientSession, ClientTimeout, StreamReader
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet
from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384")
"""With a public key: a client's secret signs nothing here."""
LEEWAY_SECONDS: Final = 60
KEYS_KEPT_SECONDS: Final = 3600.0
KEYS_EVERY_SECONDS: Final = 60.0
"""At most so often they are fetched for a key that is not known."""
MAX_ANSWER_BYTES: Final = 1 << 20
_TIMEOUT: Final = ClientTimeout(total=10)


class OidcRefused(Exception):
    """What came back does not prove who signs in. The message is for the log, and holds nothing that came."""


class OidcUnreachable(Exception):
    """The provider does not answer, or not as it must."""


@dataclass(frozen=True)
class OidcSettings:
    """Where people sign in, and as which client. client_secret: None: a public client."""

    issuer: str
    client_id: str
    redirect_uri: str
    client_secret: SecretStr | None = None
    scopes: tuple[str, ...] = ("openid", "email", "profile")


@dataclass(frozen=True)
class Begun:
    """A sign-in that was begun: what must come back with its end, and what proves that its end is ours."""

    state: str = field(repr=False)
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)


@dataclass(frozen=True)
class Identity:
    """Who signed in. subject: issuer and the id there. email: only one that the provider verified, in lower case."""

    subject: str
    email: str | None
    name: str
    claims: Mapping[str, Any] = field(repr=False)


class Configuration(BaseModel):
    """What the provider says of itself (OpenID Connect Discovery 1.0, 3)."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)

    def why_not(self, issuer: str) -> str | None:
        """Why it can't be that issuer's; None: it can."""
        if self.issuer != issuer:
            return "the provider's configuration is another issuer's: LIVEDESK_OIDC_ISSUER must be exactly the same"
        addresses = (self.authorization_endpoint, self.token_endpoint, self.jwks_uri)
        if issuer.startswith("https:") and not all(address.startswith("https:") for address in addresses):
            return "the provider's configuration has an address without TLS"
        return None


class OidcClient:
    """A client of one provider. monotonic: seconds, for what is cached."""

    def __init__(
        self,
        settings: OidcSettings,
        http: ClientSession,
        *,
        clock: Callable[[], datetime],
        random_bytes: Callable[[int], bytes],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings, self._http = settings, http
        self._clock, self._random_bytes, self._monotonic = clock, random_bytes, monotonic
        self._configuration: Configuration | None = None
        self._keys: KeySet | None = None
        self._keys_at = 0.0

    async def begin(self) -> tuple[str, Begun]:
        """Where to send the browser, and what to keep until it comes back. Raises OidcUnreachable."""
        configuration = await self._configured()
        begun = Begun(*(_text(self._random_bytes(32)) for _ in range(3)))
        query = urlencode(
            {
                "response_type": "code",
                "client_id": self._settings.client_id,
                "redirect_uri": self._settings.redirect_uri,
                "scope": " ".join(self._settings.scopes),
                "state": begun.state,
                "nonce": begun.nonce,
                "code_challenge": _text(hashlib.sha256(begun.verifier.encode()).digest()),
                "code_challenge_method": "S256",
            }
        )
        joint = "&" if urlsplit(configuration.authorization_endpoint).query else "?"
        return f"{configuration.authorization_endpoint}{joint}{query}", begun

    async def finish(self, begun: Begun, state: str, code: str) -> Identity:
        """Who came back. Raises OidcRefused, OidcUnreachable."""
        if not hmac.compare_digest(begun.state.encode(), state.encode()):
            raise OidcRefused("the state is another one")
        configuration = await self._configured()
        token = await self._redeem(configuration, code, begun.verifier)
        claims = await self._verified(configuration, token, begun.nonce)
        email = claims.get("email")
        verified = claims.get("email_verified") is True and isinstance(email, str)
        return Identity(
            subject=f"{configuration.issuer} {claims['sub']}",
            email=str(email).strip().casefold() if verified else None,
            name="".join(filter(str.isprintable, str(claims.get("name") or "")))[:200],
            claims=claims,
        )

    async def _configured(self) -> Configuration:
        if self._configuration is None:
            base = self._settings.issuer.rstrip("/")
            data = await self._get(f"{base}/.well-known/openid-configuration")
            try:
                found = Configuration.model_validate(data)
            except ValidationError:
                raise OidcUnreachable("the provider's configuration can't be read") from None
            reason = found.why_not(self._settings.issuer)
            if reason is not None:
                raise OidcUnreachable(reason)
            self._configuration = found
        return self._configuration

    async def _redeem(self, configuration: Configuration, code: str, verifier: str) -> str:
        """The ID token for a code."""
        settings = self._settings
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": settings.redirect_uri,
            "code_verifier": verifier,
        }
        headers = {}
        if settings.client_secret is None:
            form["client_id"] = settings.client_id
        elif "client_secret_basic" in configuration.token_endpoint_auth_methods_supported:
            secret = settings.client_secret.get_secret_value()
            # Each as in a form, before they are joined (RFC 6749, 2.3.1).
            pair = f"{quote(settings.client_id, safe='')}:{quote(secret, safe='')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            form |= {"client_id": settings.client_id, "client_secret": settings.client_secret.get_secret_value()}
        status, data = await self._ask("POST", configuration.token_endpoint, form, headers)
        if status >= 500:
            raise OidcUnreachable(f"the token endpoint answered {status}")
        token = data.get("id_token")
        if status != 200 or not isinstance(token, str):
            raise OidcRefused(f"the token endpoint answered {status}, or without an ID token")
        return token

    async def _verified(self, configuration: Configuration, token: str, nonce: str) -> dict[str, Any]:
        """The ID token's claims (OpenID Connect Core 1.0, 3.1.3.7)."""
        keys = await self._current_keys(configuration)
        try:
            try:
                decoded = jwt.decode(token, keys, algorithms=ALGORITHMS)
            except InvalidKeyIdError:
                decoded = jwt.decode(token, await self._newer_keys(configuration, keys), algorithms=ALGORITHMS)
            now = int(self._clock().timestamp())
            jwt.JWTClaimsRegistry(
                now=now,
                leeway=LEEWAY_SECONDS,
                iss={"essential": True, "value": configuration.issuer},
                sub={"essential": True},
                aud={"essential": True, "value": self._settings.client_id},
                exp={"essential": True},
                iat={"essential": True},
                nonce={"essential": True, "value": nonce},
            ).validate(decoded.claims)
        except (JoseError, ValueError) as error:
            raise OidcRefused(f"the ID token does not hold: {type(error).__name__}") from None
        audience = decoded.claims["aud"]
        several = isinstance(audience, Sequence) and not isinstance(audience, str) and len(audience) > 1
        party = decoded.claims.get("azp")
        if party not in (None, self._settings.client_id) or (several and party is None):
            raise OidcRefused("the ID token was issued to another client")
        return dict(decoded.claims)

    async def _current_keys(self, configuration: Configuration) -> KeySet:
        if self._keys is None or self._monotonic() - self._keys_at >= KEYS_KEPT_SECONDS:
            return await self._fetch_keys(configuration)
        return self._keys

    async def _newer_keys(self, configuration: Configuration, known: KeySet) -> KeySet:
        if self._monotonic() - self._keys_at < KEYS_EVERY_SECONDS:
            return known
        return await self._fetch_keys(configuration)

    async def _fetch_keys(self, configuration: Configuration) -> KeySet:
        data: Any = await self._get(configuration.jwks_uri)
        try:
            self._keys = KeySet.import_key_set(data)
        except (JoseError, ValueError, KeyError, TypeError):
            raise OidcUnreachable("the provider's keys can't be read") from None
        self._keys_at = self._monotonic()
        return self._keys

    async def _get(self, url: str) -> dict[str, Any]:
        status, data = await self._ask("GET", url)
        if status != 200:
            raise OidcUnreachable(f"the provider answered {status}")
        return data

    async def _ask(
        self, method: str, url: str, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, Any]]:
        try:
            asked = self._http.request(method, url, data=form, headers=headers, timeout=_TIMEOUT, allow_redirects=False)
            async with asked as answer:
                status, body = answer.status, await _read(answer.content)
        except (ClientError, TimeoutError, OSError) as error:
            raise OidcUnreachable(f"the provider can't be reached: {type(error).__name__}") from None
        try:
            data = orjson.loads(body)
        except orjson.JSONDecodeError:
            data = {}
        return status, data if isinstance(data, dict) else {}


async def _read(content: StreamReader) -> bytes:
    body = b""
    async for chunk in content.iter_any():
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise OidcUnreachable("the provider's answer is too long")
    return body


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")

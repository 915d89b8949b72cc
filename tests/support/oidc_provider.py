"""A small OpenID Connect provider over real HTTP, whose people and faults are the test's."""

import base64
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from aiohttp import web
from joserfc import jwt
from joserfc.jwk import Key, KeySet, RSAKey

CLIENT, SECRET = "livedesk", "planted-client-secret/+"


class OidcProvider:
    """Whoever comes is signed in as `claims`. changes: to the ID token; key: which signs it."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self.url = ""
        self.claims: dict[str, Any] = {"sub": "m-1", "email": "marta@example.com", "email_verified": True}
        self.changes: dict[str, Any] = {}
        self.configuration: dict[str, Any] = {}
        self.algorithm = "RS256"
        self.keys: list[Key] = [RSAKey.generate_key(2048, {"kid": "first"})]
        self.key: Any = self.keys[0]
        self.asked: list[str] = []
        self.failing: dict[str, web.Response] = {}
        self.codes: dict[str, dict[str, str]] = {}
        self.app = web.Application(middlewares=[self._count])
        self.app.router.add_get("/.well-known/openid-configuration", self._configuration)
        self.app.router.add_get("/keys", self._keys)
        self.app.router.add_post("/token", self._token)

    def authorize(self, location: str) -> dict[str, str]:
        """What a browser brings back that was sent to `location`."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(location).query, strict_parsing=True).items()}
        assert location.startswith(f"{self.url}/authorize?")
        assert (asked["response_type"], asked["client_id"], asked["code_challenge_method"]) == ("code", CLIENT, "S256")
        assert "openid" in asked["scope"].split()
        code = f"code-{len(self.codes)}"
        self.codes[code] = asked
        return {"state": asked["state"], "code": code, "iss": self.url}

    @web.middleware
    async def _count(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.asked.append(request.path)
        if request.path in self.failing:
            return self.failing[request.path]
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _configuration(self, _: web.Request) -> web.Response:
        found = {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
        }
        return web.json_response({**found, **self.configuration})

    async def _keys(self, _: web.Request) -> web.Response:
        return web.json_response(KeySet(self.keys).as_dict(private=False))

    async def _token(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        asked = self.codes.pop(form.get("code", ""), None)
        if asked is None or not self._is_client(request, form) or form["redirect_uri"] != asked["redirect_uri"]:
            return web.json_response({"error": "invalid_grant"}, status=400)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).decode()
        if challenge.rstrip("=") != asked["code_challenge"]:
            return web.json_response({"error": "invalid_grant"}, status=400)
        now = int(self._clock().timestamp())
        claims = {"iss": self.url, "aud": CLIENT, "exp": now + 300, "iat": now, "nonce": asked["nonce"]}
        claims |= {**self.claims, **self.changes}
        claims = {name: value for name, value in claims.items() if value is not None}
        header = {"alg": self.algorithm, "kid": getattr(self.key, "kid", None) or "first"}
        token = jwt.encode(header, claims, self.key, algorithms=[self.algorithm])
        return web.json_response({"access_token": "a", "token_type": "Bearer", "id_token": token})

    def _is_client(self, request: web.Request, form: dict[str, str]) -> bool:
        if self.configuration.get("token_endpoint_auth_methods_supported") == ["client_secret_post"]:
            return (form.get("client_id"), form.get("client_secret")) == (CLIENT, SECRET)
        wanted = base64.b64encode(f"{CLIENT}:planted-client-secret%2F%2B".encode()).decode()
        return request.headers.get("Authorization") == f"Basic {wanted}"


@asynccontextmanager
async def oidc_provider(clock: Callable[[], datetime]) -> AsyncIterator[OidcProvider]:
    provider = OidcProvider(clock)
    runner = web.AppRunner(provider.app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        provider.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield provider
    finally:
        await runner.cleanup()

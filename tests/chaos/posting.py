"""Asking ingress until it takes what is asked, and what it took."""

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

import orjson
from aiohttp import ClientError, ClientSession

AGAIN_S = 0.3
_JSON: Final = MappingProxyType({"Content-Type": "application/json"})


@dataclass
class Asked:
    """What was acknowledged: messages and commands by id, with their conversation keys; a reply is a command, too.

    settings: channel and revision of each change. presences: how many were reported.
    unexpected: answers that there should not be, by what was asked.
    """

    messages: dict[str, str] = field(default_factory=dict)
    replies: dict[str, str] = field(default_factory=dict)
    commands: dict[str, str] = field(default_factory=dict)
    settings: set[tuple[str, int]] = field(default_factory=set)
    presences: int = 0
    unexpected: Counter[str] = field(default_factory=Counter)
    requests: int = 0
    not_taken: int = 0


@dataclass(frozen=True)
class Answer:
    """An answer. unexpected: not one that there should be."""

    status: int
    body: bytes
    unexpected: bool = False


class Poster:
    """Asks again whenever there was no answer, or one that says that something broke (500 and above).

    sign_in: headers of calls of the control API.
    """

    def __init__(self, http: ClientSession, asked: Asked, sign_in: Mapping[str, str]) -> None:
        self._http, self._asked, self._sign_in = http, asked, {**_JSON, **sign_in}

    async def ask(
        self,
        method: str,
        url: str,
        body: bytes | Mapping[str, object],
        answers: Collection[int],
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Returns when it was answered. answers: the status that it should be."""
        data = body if isinstance(body, bytes) else orjson.dumps(body)
        headers = self._sign_in if headers is None else headers
        while True:
            self._asked.requests += 1
            try:
                async with self._http.request(method, url, data=data, headers=headers) as response:
                    answer = Answer(response.status, await response.read())
            except (ClientError, TimeoutError, OSError):
                answer = None
            if answer is not None and answer.status in answers:
                return answer
            self._asked.not_taken += 1
            path = urlsplit(url).path
            # A callback has a place in the spool while Kafka is away.
            if answer is not None and (answer.status != 503 or path.startswith("/webhooks")):
                what = "/webhooks" if path.startswith("/webhooks") else path  # the rest of it is a secret
                self._asked.unexpected[f"{method} {what}: {answer.status}"] += 1
                if answer.status < 500:
                    return replace(answer, unexpected=True)
            await asyncio.sleep(AGAIN_S)

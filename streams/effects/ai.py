"""The AI agent's client: asks one question, and says honestly how that ended."""

import logging
from typing import Final

from aiohttp import ClientError, ClientSession, ClientTimeout
from pydantic import BaseModel, ValidationError

from schemas.effects import AiRequest, AiResult
from streams.effects.contract import Done, Outcome, Unknown

logger = logging.getLogger(__name__)

CONNECT_S: Final = 3.0
TOTAL_S: Final = 9.5
"""Less than the runtime gives an effect, so that a log line says why it ended."""

_ASK_AGAIN: Final = (408, 429)


class AiClient:
    """Asks the AI agent over HTTP: POST `{base_url}/v1/answers`, an AiQuestion; the answer is an AiResult.

    session: of its own, so that a slow AI agent takes no connection from the provider. base_url: None: there is no AI
    agent, and every conversation goes to a human. total_s: seconds for all that one question takes.
    """

    def __init__(self, session: ClientSession, base_url: str | None, *, total_s: float = TOTAL_S) -> None:
        self._session, self._total_s = session, total_s
        self._url = None if base_url is None else f"{base_url.rstrip('/')}/v1/answers"

    async def perform(self, request: BaseModel) -> Outcome:
        """Ask once. Done holds an AiResult; Unknown: asking again may help. Raises TypeError: not an AiRequest."""
        if not isinstance(request, AiRequest):
            raise TypeError(f"not a question: {type(request).__name__}")
        channel = request.question.channel
        if self._url is None:
            logger.warning("channel %s: there is no AI agent to ask: LIVEDESK_AI_URL is not set", channel)
            return _CANT_ANSWER
        try:
            async with self._session.post(
                self._url,
                data=request.question.model_dump_json(),
                headers={"Content-Type": "application/json"},
                timeout=ClientTimeout(total=self._total_s, connect=min(CONNECT_S, self._total_s / 2)),
                # The customer's words go nowhere but to the address that was configured.
                allow_redirects=False,
            ) as response:
                status, body = response.status, await response.read()
        except (ClientError, TimeoutError) as error:
            logger.warning("channel %s: the AI agent gave no answer: %s", channel, type(error).__name__)
            return Unknown()
        outcome = read_answer(status, body)
        if outcome in (Unknown(), _CANT_ANSWER):
            logger.warning("channel %s: the AI agent gave no answer (HTTP %d)", channel, status)
        return outcome


def read_answer(status: int, body: bytes) -> Outcome:
    """What the AI agent's answer means. Unknown: it is overloaded or broken, and asking again may help."""
    if status >= 500 or status in _ASK_AGAIN:
        return Unknown()
    if not 200 <= status < 300:
        return _CANT_ANSWER
    try:
        return _done(AiResult.model_validate_json(body))
    except ValidationError:
        return _CANT_ANSWER


def _done(result: AiResult) -> Done:
    return Done(result.model_dump(mode="json", exclude_defaults=True))


_CANT_ANSWER: Final = _done(AiResult(answer="error"))

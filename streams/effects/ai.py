"""The client of AI agents that answer questions over HTTP: asks one, and says honestly how that ended."""

import logging
from collections.abc import Callable
from typing import Final

from pydantic import ValidationError

from providers.provider import Call
from schemas.effects import AiQuestion, AiRequest, AiResult
from schemas.settings.ai import HttpAgent
from schemas.settings.channel import ChannelSettings
from streams.effects.contract import Done, Outcome, Postponed, Unknown
from streams.effects.http import NoAnswer, NotSent, Transport

logger = logging.getLogger(__name__)

TOTAL_S: Final = 9.5
"""Less than the runtime gives an effect, so that a log line says why it ended."""

_ASK_AGAIN: Final = (408, 429)


class AiClient:
    """Asks an AI agent over HTTP: POST `{url}/v1/answers`, an AiQuestion; the answer is an AiResult.

    transport: with connections of its own, so that a slow AI agent takes none from the provider. newest: a channel's
    newest settings, with its agents; raises LookupError. base_url: of the agents that have no settings; None: there
    are none, and their conversations go to a human. total_s: seconds for all that one question takes.
    """

    def __init__(
        self,
        transport: Transport,
        newest: Callable[[str], ChannelSettings],
        base_url: str | None,
        *,
        total_s: float = TOTAL_S,
    ) -> None:
        self._transport, self._newest, self._base_url, self._total_s = transport, newest, base_url, total_s

    async def perform(self, request: AiRequest) -> Outcome:
        """Ask once. Done holds an AiResult; Unknown: asking again may help."""
        channel = request.question.channel
        try:
            url, headers = self._service(request.question)
        except LookupError:
            return Postponed()
        if url is None:
            logger.warning("channel %s: there is no AI agent to ask: LIVEDESK_AI_URL is not set", channel)
            return _CANT_ANSWER
        body = request.question.model_dump_json().encode()
        call = Call("POST", "/v1/answers", {"Content-Type": "application/json", **headers}, body=body)
        try:
            answer = await self._transport(url, call, self._total_s)
        except (NotSent, NoAnswer) as error:
            logger.warning("channel %s: the AI agent gave no answer: %s", channel, error)
            return Unknown()
        outcome = read_answer(answer.status, answer.body)
        if outcome in (Unknown(), _CANT_ANSWER):
            logger.warning("channel %s: the AI agent gave no answer (HTTP %d)", channel, answer.status)
        return outcome

    def _service(self, question: AiQuestion) -> tuple[str | None, dict[str, str]]:
        """The agent's URL, if it has one, and the headers that it is to be called with."""
        agent = self._newest(question.channel).ai_agent(question.agent)
        if not isinstance(agent, HttpAgent):
            return None if agent else self._base_url, {}
        key = agent.api_key
        return agent.url, {} if key is None else {"Authorization": f"Bearer {key.get_secret_value()}"}


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

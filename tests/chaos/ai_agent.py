"""The AI agent of a run: it answers, hands over, errs, and loses answers on their way. What it said is kept."""

import asyncio
import random
from types import TracebackType

from aiohttp import web

from schemas.effects import AiQuestion, AiResult

HANDS_OVER, ERRS, LOSES, IS_DOWN, HANGS = 0.05, 0.03, 0.05, 0.03, 0.01
"""Shares of the questions. Lost: it made up its mind, and the connection ends without an answer."""
HANGS_S = 12.0
"""Longer than an effect may take."""


class AiAgent:
    """POST /v1/answers, inside `async with`. said: its answers by request, the lost ones too. seed: of what it does."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._asked: dict[str, int] = {}
        self.said: dict[str, list[AiResult]] = {}
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> "AiAgent":
        app = web.Application()
        app.add_routes([web.post("/v1/answers", self._answer)])
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        question = AiQuestion.model_validate_json(await request.read())
        id = question.request_id
        attempt = self._asked[id] = self._asked.get(id, 0) + 1
        drawn = random.Random(f"{self._seed}:{id}:{attempt}").random()
        if drawn < IS_DOWN:
            return web.Response(status=503)
        if drawn < IS_DOWN + HANGS:
            await asyncio.sleep(HANGS_S)
            return web.Response(status=503)
        answer, lost = answer_to(question, attempt, drawn - IS_DOWN - HANGS)
        self.said.setdefault(id, []).append(answer)
        if lost and request.transport is not None:
            request.transport.abort()
        return web.json_response(answer.model_dump(exclude_none=True))


def answer_to(question: AiQuestion, attempt: int, drawn: float) -> tuple[AiResult, bool]:
    """What it says, and whether that gets lost. drawn: from 0 to 1."""
    if drawn < HANDS_OVER:
        return AiResult(answer="handoff"), False
    if drawn < HANDS_OVER + ERRS:
        return AiResult(answer="error"), False
    text = f"answer {attempt} to {question.message.id}"
    return AiResult(answer="text", text=text), drawn < HANDS_OVER + ERRS + LOSES

"""A decision about a GPT agent in the making: its rows, and what was said."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, cast

from agents.ai.rows import KEPT, REJECTED, RUN, SAID, SOURCE, STEP, TALK, Run, Said, Source, Speaker, Step, Talk, cut
from agents.queue import KEEP, SEEN, Seen
from agents.retention import sweep_timer
from agents.stage import Context, Decision, Effect, Emit, Row, Rows, RowT
from schemas.event import Event
from schemas.ids import channel_of
from schemas.settings.ai import GptAgent
from schemas.settings.channel import ChannelSettings
from schemas.topics import Topic

ASK_AGAIN: Final = "ask_again"
"""The name of the timer after which a call is made again."""
MAX_SAID: Final = 60
"""Of what was said, beside what waits for an answer."""


@dataclass
class Work:
    """What is decided so far."""

    rows: Rows
    ctx: Context
    writes: dict[str, Row | None] = field(default_factory=dict)
    emitted: list[Emit] = field(default_factory=list)
    timers: dict[str, datetime | None] = field(default_factory=dict)
    effects: list[Effect] = field(default_factory=list)

    def decision(self) -> Decision:
        """All of it."""
        if self.writes and self.rows.get(TALK, Talk) is None:
            self.timers.update(sweep_timer(self.rows, KEPT, self.ctx.now, KEEP))
        return Decision(self.writes, tuple(self.emitted), self.timers, tuple(self.effects))

    # --- what is known -----------------------------------------------------------------------------------------------

    @property
    def settings(self) -> ChannelSettings:
        return self.ctx.settings(channel_of(self.ctx.key))

    def agent(self, id: str) -> GptAgent | None:
        """The GPT agent's settings, while the channel lists it."""
        agent = self.settings.ai_agent(id)
        return agent if isinstance(agent, GptAgent) else None

    def get(self, name: str, model: type[RowT]) -> RowT | None:
        """A row, as it will be."""
        if name in self.writes:
            return cast("RowT | None", self.writes[name])
        return self.rows.get(name, model)

    def scan(self, prefix: str, model: type[RowT]) -> Iterator[RowT]:
        """The rows, as they will be, in order: new ones have the greatest names."""
        before = [name for name, _ in self.rows.scan(prefix, model)]
        new = [name for name in self.writes if name.startswith(prefix) and name not in before]
        for name in (*before, *new):
            row = self.get(name, model)
            if row is not None:
                yield row

    @property
    def run(self) -> Run | None:
        return self.get(RUN, Run)

    @property
    def talk(self) -> Talk:
        """The talk; one that nobody has said anything in, if there is none."""
        return self.get(TALK, Talk) or Talk(since=self.ctx.now, agent="", conversation_id="", held=False)

    @property
    def said(self) -> list[Said]:
        return list(self.scan(SAID, Said))

    @property
    def open(self) -> list[Said]:
        """What waits for an answer."""
        return [one for one in self.said if one.request is not None]

    @property
    def sources(self) -> list[Source]:
        return list(self.scan(SOURCE, Source))

    @property
    def steps(self) -> list[Step]:
        return list(self.scan(STEP, Step))

    # --- what is decided ---------------------------------------------------------------------------------------------

    def emit(self, topic: Topic, event: Event) -> None:
        self.emitted.append(Emit(topic, self.ctx.key, event))

    def remember(self, id: str) -> None:
        """Write that the request was taken."""
        self.timers.update(sweep_timer(self.rows, KEPT, self.ctx.now, KEEP))
        self.writes[f"{SEEN}{id}"] = Seen(since=self.ctx.now)

    def know(self, **update: object) -> Talk:
        """Write the talk, changed so."""
        talk = self.talk.model_copy(update=update)
        self.writes[TALK] = talk
        return talk

    def put(self, one: Said) -> None:
        self.writes[f"{SAID}{one.number:012d}"] = one

    def say(
        self,
        by: Speaker,
        at: datetime,
        *,
        text: str | None = None,
        kind: str = "text",
        message_id: str | None = None,
        request: str | None = None,
        unsent: bool = False,
    ) -> None:
        """Something was said. What was said long before is forgotten."""
        talk = self.know(next=self.talk.next + 1)
        one = Said(
            since=self.ctx.now,
            number=talk.next - 1,
            conversation_id=talk.conversation_id,
            by=by,
            text=None if text is None else cut(text),
            kind=kind,
            message_id=message_id,
            at=at,
            request=request,
            unsent=unsent,
        )
        self.put(one)
        settled = [one.number for one in self.said if one.request is None]
        for number in settled[:-MAX_SAID]:
            self.writes[f"{SAID}{number:012d}"] = None

    def store(self, run: Run) -> None:
        self.writes[RUN] = run

    def store_step(self, step: Step) -> None:
        self.writes[f"{STEP}{step.number:03d}"] = step

    def store_sources(self, sources: list[Source]) -> None:
        """In the place of those before."""
        self._drop(SOURCE, Source)
        for number, source in enumerate(sources):
            self.writes[f"{SOURCE}{number:02d}"] = source

    def clear(self) -> None:
        """Nothing is being answered."""
        if self.run is None:
            return
        self._drop(SOURCE, Source)
        self._drop(STEP, Step)
        self.writes |= {RUN: None, REJECTED: None}
        self.timers[ASK_AGAIN] = None

    def drop_run(self) -> None:
        """Nobody wants the answer: what is in flight ends for itself."""
        run = self.run
        if run is not None and run.effect is not None:
            self.store(run.model_copy(update={"dropped": True}))
        else:
            self.clear()

    def _drop(self, prefix: str, model: type[Row]) -> None:
        for name, _ in self.rows.scan(prefix, model):
            self.writes[name] = None
        for name in [name for name in self.writes if name.startswith(prefix)]:
            self.writes[name] = None

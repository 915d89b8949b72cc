"""`livedesk ai try`: a talk with a GPT agent in the terminal."""

import logging
import os
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from dataclasses import replace
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Annotated, Final
from zoneinfo import ZoneInfo

import typer
from rich.console import Console

from cli.ai import KEY
from cli.knowledge import documents_in
from deploy.errors import LiveDeskError
from deploy.settings import Settings
from desk.ai_services import Tried
from schemas.settings.ai import GptAgent
from simulation.trial.services import Services, open_services
from simulation.trial.subject import Installation, Subject, from_file, from_kafka, read_documents
from simulation.trial.talk import Talk, Turn, Written

app = typer.Typer(rich_markup_mode=None, add_completion=False)

FileOption = Annotated[
    Path | None,
    typer.Option(
        "--file",
        exists=True,
        dir_okay=False,
        help="A channels file that has the agent (docs/channels.example.yaml). Left out: the installation's settings "
        "and knowledge, read from its Kafka.",
        show_default=False,
    ),
]
AccountOption = Annotated[
    str | None, typer.Option(help="The account. Left out: main; of a file, all.", show_default=False)
]
ChannelOption = Annotated[
    str | None,
    typer.Option(
        help="The channel, for its hours. Left out: the first that lists the agent, else one that is always open.",
        show_default=False,
    ),
]
KnowledgeOption = Annotated[
    list[Path] | None,
    typer.Option("--knowledge", exists=True, help="A file or folder that it answers by, too; may be repeated."),
]
SandboxOption = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="A running livedesk sandbox, in the place of the agent's service and tools: http://127.0.0.1:8900",
    ),
]
_SHOWN: Final = 300
"""Characters of a tool's result or a passage."""


@app.command()
def try_agent(
    context: typer.Context,
    agent: Annotated[str, typer.Argument(help="The AI agent's id.")],
    file: FileOption = None,
    account: AccountOption = None,
    channel: ChannelOption = None,
    knowledge: KnowledgeOption = None,
    hour: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="When it is: 21:30 of the channel's day, or 2026-06-01T21:30:00Z. Left out: now.",
            show_default=False,
        ),
    ] = None,
    sandbox: SandboxOption = None,
) -> None:
    """Talk with a GPT agent, as a customer would.

    Each line is a customer's message; Ctrl-D ends. What the customer reads is shown, and in grey what colleagues would
    see: tools, passages, hand-overs, tokens, cost. The decisions are those of the workers; its service and tools are
    really called, and cost what they cost. Nothing is sent to anybody, and nothing is kept.

    A channel's routing rules and people are left out: the agent answers all. The day's budget begins anew. A key that
    the agent has not is taken from LIVEDESK_AI_KEY. Without a terminal the lines of the standard input are said, and
    the exit code is 1 where one got no answer.
    """
    settings = context.ensure_object(Settings)
    installation = installed(settings, file, account)
    subject = installation.subject(agent, channel, sandbox)
    if knowledge:
        subject = subject.with_documents(read_documents(documents_in(knowledge)))
    at = _instant(hour, subject)
    with quiet(), open_services(tool_urls(settings, sandbox), limit=4) as services:
        try:
            failed = _talk(subject, services, at, mended(file, subject.agent))
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
    if failed and not sys.stdin.isatty():
        raise typer.Exit(1)


def installed(settings: Settings, file: Path | None, account: str | None) -> Installation:
    """What may be tried. Raises LiveDeskError."""
    found = from_kafka(settings, account) if file is None else from_file(file, account)
    return replace(found, key=os.environ.get(KEY))


def tool_urls(settings: Settings, sandbox: str | None) -> frozenset[str]:
    """Addresses of the own network that tools may call."""
    return settings.tool_urls | ({sandbox} if sandbox else frozenset())


def mended(file: Path | None, agent: GptAgent) -> str:
    """Where an agent's settings are changed."""
    return f"livedesk ai agent edit {agent.id}" if file is None else f"its entry in {file}"


@contextmanager
def quiet() -> Iterator[None]:
    """What a call came to is shown as its result, not as a warning about this process. Of tools it is both."""
    logger, tools = logging.getLogger("streams"), logging.getLogger("streams.effects.tools")
    nobody, told = logging.NullHandler(), logging.StreamHandler(sys.stderr)
    logger.addHandler(nobody)
    tools.addHandler(told)
    logger.propagate, before = False, logger.propagate
    try:
        yield
    finally:
        logger.propagate = before
        logger.removeHandler(nobody)
        tools.removeHandler(told)


def advice(tried: Tried, agent: GptAgent, where: str, key: str = KEY) -> str:
    """Why a service gave no answer, and what to do about it. where: its settings are changed; key: a variable."""
    match tried.problem:
        case None:
            return "The service answers now: try again."
        case "wrong_key" if agent.api_key is None:
            return f"{_sentence(tried)} It was given none: set {key}, or api_key: {where}."
        case "wrong_key":
            return f"{_sentence(tried)} Give it another: {where}."
        case "unreachable":
            return f"{agent.base_url} can't be reached. Is it running? Else correct base_url: {where}."
        case "throttled" | "unreadable":
            return f"{_sentence(tried)} Try again later."
    return f"{_sentence(tried)} Correct {tried.field}: {where}."


def _sentence(tried: Tried) -> str:
    return f"{tried.message[:1].upper()}{tried.message[1:]}."


# --- the talk --------------------------------------------------------------------------------------------------------


def _talk(subject: Subject, services: Services, at: datetime, where: str) -> bool:
    """Talk until the input ends. True: a message got no answer."""
    show = _Screen(subject)
    show.begin(at)
    failed = False
    with closing(services.finder(subject.memory)) as finder:
        for document in subject.documents:
            finder.apply(*document)
        talk = Talk(subject, services, finder, at)
        for line in _lines(show):
            with show.waiting():
                turn = talk.say(Written(text=line))
            show.turn(turn)
            if turn.failed is not None:
                failed = True
                why = advice(services.tried(subject.agent), subject.agent, where)
                show.problem(f"no answer ({turn.failed.reason}): {why}")
            if turn.handed_over is not None or turn.failed is not None:
                show.note("The next line begins a new conversation.")
                talk = Talk(subject, services, finder, at)
    show.end()
    return failed


def _lines(show: "_Screen") -> Iterator[str]:
    """What the customer writes."""
    if not sys.stdin.isatty():
        for line in sys.stdin:
            if line.strip():
                show.customer(line.strip())
                yield line.strip()
        return
    with suppress(ImportError):
        import readline  # noqa: F401 - input() then has arrows and a history
    while True:
        try:
            line = input("you       ").strip()
        except EOFError:
            print()  # noqa: T201 - the prompt's line ends
            return
        if line:
            yield line


class _Screen:
    """Prints a talk. Colours and the waiting are left out where nobody looks."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._console = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)
        self._tokens = self._micros = self._messages = 0

    def begin(self, at: datetime) -> None:
        agent, channel = self._subject.agent, self._subject.channel
        local = at.astimezone(ZoneInfo(channel.business_hours.timezone))
        self.note(f"{agent.id}: {agent.model} at {agent.base_url}. It is {local:%A %Y-%m-%d %H:%M} on {channel.id}.")
        if sys.stdin.isatty():
            self.note("Each line is a message of the customer. Ctrl-D ends.")

    def waiting(self) -> AbstractContextManager[object]:
        return self._console.status("…") if self._console.is_terminal else nullcontext()

    def customer(self, text: str) -> None:
        self._say("you", text)

    def turn(self, turn: Turn) -> None:
        self._tokens, self._micros = self._tokens + turn.tokens, self._micros + turn.cost_micros
        self._messages += 1
        for call in turn.calls:
            self.note(f"tool      {call.name}({call.arguments})" + (f" -> {short(call.output)}" if call.output else ""))
        for passage in turn.passages:
            cited = "cited" if passage.id in {one.id for one in turn.citations} else "found"
            self.note(f"{cited}     {passage.id} {short(passage.title, 60)}: {short(passage.text, 80)}")
        for text in turn.read:
            self._say(self._subject.agent.id[:9], text, style="green")
        for end in turn.ends:
            for what, said in (("label", end.labels), ("note", end.notes)):
                for text in said:
                    self.note(f"{what:10}{text}")
        over = turn.handed_over
        if over is not None:
            self.note(f"handed over to a person: {over.reason}" + (f". {over.summary}" if over.summary else ""))
        if not turn.read and over is None and turn.failed is None:
            self.note("(the customer is told nothing)")
        self.note(f"{turn.tokens} tokens, {cost(turn.cost_micros, self._subject.agent)}, {turn.seconds:.1f} s")

    def problem(self, text: str) -> None:
        self._console.print(plain(text), style="red")

    def note(self, text: str) -> None:
        self._console.print(plain(text), style="dim")

    def end(self) -> None:
        spent = cost(self._micros, self._subject.agent)
        self.note(f"{self._messages} messages, {self._tokens} tokens, {spent}.")

    def _say(self, who: str, text: str, style: str = "") -> None:
        for number, line in enumerate(plain(text).splitlines() or [""]):
            self._console.print(f"{'' if number else who:10}{line}", style=style)


def cost(micros: int, agent: GptAgent) -> str:
    """What calls cost, in the currency of the agent's prices."""
    return f"cost {micros / 1_000_000:.6f}" if agent.price_in or agent.price_out else "cost unknown: no prices are set"


def plain(text: str) -> str:
    """Text that does nothing to a terminal."""
    return "".join(" " if unicodedata.category(one) == "Cc" and one != "\n" else one for one in text)


def short(text: str, most: int = _SHOWN) -> str:
    """Its beginning, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def _instant(hour: str | None, subject: Subject) -> datetime:
    now = datetime.now(UTC)
    if hour is None:
        return now
    try:
        if len(hour) <= len("hh:mm"):
            zone = ZoneInfo(subject.channel.business_hours.timezone)
            return datetime.combine(now.astimezone(zone).date(), time.fromisoformat(hour), zone).astimezone(UTC)
        at = datetime.fromisoformat(hour)
        if at.tzinfo is not None:
            return at.astimezone(UTC)
    except ValueError:
        pass
    raise LiveDeskError(f"--hour {hour!r} is no time.", "Write 21:30, or with its day and zone 2026-06-01T21:30:00Z.")

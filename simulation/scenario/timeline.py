"""A scenario's run as a timeline for people: each step, and what the pipeline did about it."""

from collections.abc import Iterator, Mapping
from datetime import datetime

from pydantic import JsonValue
from rich.table import Table
from rich.text import Text

from schemas.event import Event
from schemas.events.callbacks import NotificationReceived
from schemas.events.conversation import (
    Assignee,
    ConversationAssigned,
    ConversationBlockChanged,
    ConversationCommandRefused,
    ConversationLabelled,
    ConversationMessageReceived,
    ConversationMessageSent,
    ConversationMuted,
    ConversationNoteAdded,
    ConversationNoticeReceived,
    ConversationOpened,
    ConversationRated,
    ConversationRouted,
    ConversationStatusChanged,
    ConversationSurveyEnded,
    ConversationSurveyRequested,
)
from schemas.events.csat import SurveySkipped
from schemas.events.operations import DeadLettered
from schemas.events.receipts import MessageAnomaly, MessageStatusChanged
from schemas.events.sending import SendCommand
from schemas.record import format_time
from simulation.sandbox.gpt.script import GptScript, ToolScript
from simulation.scenario.result import OpenResult, Result
from simulation.scenario.run import Finished
from simulation.scenario.steps import (
    AiAnswer,
    CommandStep,
    Inbound,
    MessageRef,
    Presence,
    Probe,
    ProviderAnswer,
    RawCallback,
    SettingsChange,
    StatusUpdate,
    Step,
)
from simulation.scenario.world import step_of

_MAX_TEXT = 60
_TREATMENTS = {
    "ordinary": "",
    "quiet": ", quietly",
    "rating": ", as the answer to a survey",
    "comment": ", as the comment on a rating",
}


class _Telling:
    """The timeline while it is written: the steps that are still to come, and what was already said."""

    def __init__(self, run: Finished) -> None:
        self._run = run
        self._shown = {step for _, record in run.evidence.records if (step := step_of(record.id)) is not None}
        self._pending = list(enumerate(run.scenario.steps))
        probes = [index for index, step in self._pending if step.probe is not None]
        self._probes = dict(zip(probes, run.result.open, strict=True))

    def until(self, own: int | None, time: datetime | None) -> Iterator[Text]:
        """The steps up to one's own, and those without any record up to a time; None: all of them."""
        while self._pending:
            index, step = self._pending[0]
            due = time is None or (own is not None and index <= own) or (index not in self._shown and step.at < time)
            if not due:
                return
            yield from self._step(*self._pending.pop(0))

    def _step(self, index: int, step: Step) -> Iterator[Text]:
        yield _line(step.at, f"{index}: {said(step)}", "bold")
        if index in self._probes:
            yield _line(step.at, f"   {_found(self._probes[index])}", "")
        for one in self._run.result.refused:
            if one.step == index and index not in self._shown:
                yield _line(step.at, f"   refused: {one.code}: {one.reason}", "red")


def timeline(run: Finished) -> Iterator[Text]:
    """One line a step, followed by a line for each thing that the pipeline did."""
    names, telling = _names(run), _Telling(run)
    for _, record in run.evidence.records:
        yield from telling.until(step_of(record.id), record.time)
        happened = happening(record.event, names)
        if happened is not None:
            yield _line(record.time, f"   {happened}", _style(record.event))
    yield from telling.until(None, None)


def tables(result: Result) -> Iterator[Table]:
    """How it stands at the end."""
    ai = {one.id for one in result.sent if one.kind == "ai"}
    if result.conversations:
        columns = ("contact", "status", "assignee", "messages", "labels", "notes")
        table = _table("Conversations", *columns)
        for one in result.conversations:
            messages = ", ".join("(AI)" if id in ai else id for id in one.messages)
            texts = (messages, ", ".join(one.labels), str(one.notes or ""))
            table.add_row(one.contact, one.status, _assignee(one.assignee), *texts)
        yield table
    if result.surveys:
        table = _table("Surveys", "contact", "resolution", "state", "rating", "credited")
        for survey in result.surveys:
            rating = str(survey.rating or "")
            table.add_row(survey.contact, str(survey.resolution), survey.state, rating, survey.agent or "")
        yield table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for column in columns:
        # Ids are broken over lines where they don't fit, never cut off.
        table.add_column(column, overflow="fold", no_wrap=column == "contact")
    return table


def said(step: Step) -> str:
    """What the step says, in words."""
    match step.action:
        case Inbound() | StatusUpdate() as row:
            return _row(row)
        case tuple(entries):
            return "one callback: " + "; ".join(_row(entry.row) for entry in entries)
        case str(id):
            return f"the callback of {id} comes again"
        case RawCallback():
            return "a raw callback"
        case CommandStep() as command:
            return _command(command)
        case SettingsChange() as change:
            return f"settings change: {', '.join(change.change)}"
        case Presence() as presence:
            return _presence(presence)
        case ProviderAnswer(answer=answer, code=code, times=times):
            often = {None: "from now on", 1: "the next time"}.get(times, f"the next {times} times")
            return f"the provider answers {answer}{f' {code}' if code else ''}, {often}"
        case AiAnswer(answer=answer):
            does = {"error": "fails", "handoff": "hands over"}.get(answer, f"answers {_quoted(answer)}")
            return f"the AI agent {does} from now on"
        case GptScript(agent=agent, turns=turns):
            return f"the model of {agent or 'every AI agent'} gets a script of {len(turns)}"
        case ToolScript(agent=agent, tool=tool, turns=turns):
            return f"the tool {tool} of {agent} gets a script of {len(turns)}"
        case Probe(channel=channel):
            return f"is {channel or 'the channel'} open?"
        case None:
            return "time passes"
    return step.kind or ""


def happening(event: Event, names: Mapping[str, str]) -> str | None:
    """What the pipeline did, in words; None for what is only plumbing. names: of messages, by id."""
    match event:
        case ConversationOpened(header=header):
            return f"a conversation of {header.contact} begins"
        case ConversationMessageReceived(message_id=id, treatment=treatment):
            return f"{id} joins it{_TREATMENTS[treatment]}"
        case ConversationNoticeReceived(kind=kind):
            return f"a notice joins it: {kind}"
        case ConversationRouted(header=header, explanation=why):
            # The line before says to whom it was assigned, and why.
            return f"routed to {_assignee(header.assignee)}" if header.assignee else f"waits{_because(why)}"
        case ConversationStatusChanged(header=header, previous=previous, reason=reason):
            return f"{previous} -> {header.status} ({reason})"
        case ConversationAssigned(header=header, by=by, explanation=why):
            return f"assigned to {_assignee(header.assignee) or 'nobody'}{f' by {by}' if by else ''}{_because(why)}"
        case ConversationLabelled(added=added, removed=removed):
            return f"labels: {_labels(added, removed)}"
        case ConversationBlockChanged(header=header):
            return f"{header.contact} is {'blocked' if header.blocked else 'no longer blocked'}"
        case ConversationMuted():
            return "muted"
        case ConversationNoteAdded(text=text):
            return f"note: {text}"
        case ConversationCommandRefused(code=code, reason=reason):
            return f"refused: {code}: {reason}"
        case NotificationReceived(event=name):
            return f"notice about the account: {name}"
        case DeadLettered(stage=stage, reason=reason, detail=detail):
            return f"dead letter of {stage}: {reason} {detail}".rstrip()
    return _of_message(event, names) or _of_survey(event)


def _of_message(event: Event, names: Mapping[str, str]) -> str | None:
    match event:
        case SendCommand(message_id=id, text=text, template=template):
            content = f"template {template.name}" if text is None and template else _quoted(text)
            return f"to be sent: {names.get(id, id)} {content}"
        case ConversationMessageSent(message_id=id, via=via, repeat=repeat):
            return f"sent: {names.get(id, id)} (as {via}{', a repeat' if repeat else ''})"
        case MessageStatusChanged(message_id=id, reported=reported, status=status):
            now = "" if reported == status else f", so it stays {status}"
            return f"{names.get(id, id)}: {reported}{now}"
        case MessageAnomaly(message_id=id, standing=standing, reported=reported):
            return f"{names.get(id, id)}: {reported} contradicts {standing}"
    return None


def _of_survey(event: Event) -> str | None:
    match event:
        case ConversationSurveyRequested(resolution=resolution):
            return f"a survey is asked for, about resolution {resolution}"
        case SurveySkipped(reason=reason, resolution=resolution):
            return f"no survey about resolution {resolution}: {reason}"
        case ConversationRated(rating=rating, resolution=resolution, previous=previous):
            return f"resolution {resolution} is rated {rating}{f', no longer {previous}' if previous else ''}"
        case ConversationSurveyEnded(outcome=outcome, resolution=resolution):
            return f"the survey about resolution {resolution} is over: {outcome}"
    return None


def _names(run: Finished) -> dict[str, str]:
    """Automatic messages are called by their kind: nobody knows their ids."""
    commands = (record.event for _, record in run.evidence.records if isinstance(record.event, SendCommand))
    return {one.message_id: _NAMES.get(one.kind, f"the {one.kind}") for one in commands if one.kind != "reply"}


_NAMES = {"ai": "the AI agent's answer", "unavailable": "the unavailable message", "goodbye": "the goodbye message"}


def _line(at: datetime, text: str, style: str) -> Text:
    return Text.assemble((format_time(at), "dim"), "  ", (text, style))


def _style(event: Event) -> str:
    match event:
        case DeadLettered() | ConversationCommandRefused() | MessageAnomaly():
            return "red"
        case SendCommand() | ConversationMessageSent() | MessageStatusChanged():
            return "green"
    return ""


def _row(row: Inbound | StatusUpdate) -> str:
    if isinstance(row, Inbound):
        content = _quoted(row.text) if row.text is not None else f"[{row.type}]"
        return f"{row.contact} writes {row.id}: {content}"
    return f"receipt: {_reference(row.message)} {row.status}{f' {row.error_code}' if row.error_code else ''}"


def _reference(reference: MessageRef) -> str:
    return reference if isinstance(reference, str) else f"the {reference.kind} to {reference.contact}"


def _command(command: CommandStep) -> str:
    command_line = f"{command.by}: {command.type.replace('_', ' ')} {command.contact}"
    match command:
        case CommandStep(template=template) if template is not None:
            return f"{command_line} {command.id or ''}: template {template.name}"
        case CommandStep(text=str(text)):
            return f"{command_line}{f' {command.id}' if command.id else ''}: {_quoted(text)}"
        case CommandStep(until=datetime() as until):
            return f"{command_line} until {format_time(until)}"
        case CommandStep(to=to) if to is not None:
            return f"{command_line} to {to.kind} {to.id}"
        case CommandStep(type="label"):
            return f"{command_line}: {_labels(command.add, command.remove)}"
    return command_line


def _presence(presence: Presence) -> str:
    match presence:
        case Presence(state=str(state)):
            return f"{presence.agent} is {state}{' by heartbeat' if presence.source == 'heartbeat' else ''}"
        case Presence(deleted=True):
            return f"{presence.agent} leaves the account"
    return f"{presence.agent} {'joins' if presence.member else 'leaves'} {presence.channel or 'every channel'}"


def _found(probe: OpenResult) -> str:
    opens = "" if probe.next_opening is None else f"; opens next at {format_time(probe.next_opening)}"
    return f"{'open' if probe.open else 'closed'}{opens}"


def _because(explanation: Mapping[str, JsonValue]) -> str:
    why, rules = explanation.get("because"), explanation.get("rules")
    taken = [rule for rule in rules if isinstance(rule, dict)] if isinstance(rules, list) else []
    names = [str(rule.get("name") or rule.get("rule")) for rule in taken if rule.get("result") == "taken"]
    named = f" ({', '.join(names)})" if names else ""
    return f": {str(why).replace('_', ' ')}{named}" if why else ""


def _labels(added: tuple[str, ...], removed: tuple[str, ...]) -> str:
    return " ".join((*(f"+{label}" for label in added), *(f"-{label}" for label in removed)))


def _quoted(text: str | None) -> str:
    return "" if text is None else f'"{_short(" ".join(text.split()))}"'


def _short(text: str) -> str:
    return text if len(text) <= _MAX_TEXT else f"{text[: _MAX_TEXT - 1]}…"


def _assignee(assignee: Assignee | None) -> str:
    return "" if assignee is None else f"{assignee.kind} {assignee.id}"

"""A scenario's run as a timeline for people: each step, and what the pipeline did about it."""

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime

from rich.table import Table
from rich.text import Text

from deploy.scenario.result import Result
from deploy.scenario.run import Finished
from deploy.scenario.steps import (
    CommandStep,
    Inbound,
    MessageRef,
    ProviderAnswer,
    RawCallback,
    SettingsChange,
    StatusUpdate,
    Step,
)
from schemas.conversation import (
    Assignee,
    ConversationAssigned,
    ConversationCommandRefused,
    ConversationMessageReceived,
    ConversationMessageSent,
    ConversationNoteAdded,
    ConversationNoticeReceived,
    ConversationOpened,
    ConversationRouted,
    ConversationStatusChanged,
)
from schemas.event import Event
from schemas.messaging import MessageAnomaly, MessageStatusChanged, SendCommand
from schemas.record import format_time
from schemas.system import DeadLettered, NotificationReceived

_MAX_TEXT = 60


def timeline(run: Finished) -> Iterator[Text]:
    """One line a step, followed by a line for each thing that the pipeline did."""
    names, told = _names(run), set(run.steps.values())
    pending = list(enumerate(run.scenario.steps))
    for _, record in run.evidence.records:
        own = run.steps.get(record.id, -1)
        while pending and (pending[0][0] <= own or (pending[0][0] not in told and pending[0][1].at < record.time)):
            yield from _step(run, *pending.pop(0), told)
        happened = happening(record.event, names)
        if happened is not None:
            yield _line(record.time, f"   {happened}", _style(record.event))
    for index, step in pending:
        yield from _step(run, index, step, told)


def _step(run: Finished, index: int, step: Step, told: Collection[int]) -> Iterator[Text]:
    yield _line(step.at, f"{index}: {said(step)}", "bold")
    for one in run.result.refused:
        if one.step == index and index not in told:
            yield _line(step.at, f"   refused: {one.code}: {one.reason}", "red")


def summary(result: Result) -> Table:
    """The conversations at the end."""
    table = Table("contact", "status", "assignee", "messages", "notes", title="Conversations", title_justify="left")
    for one in result.conversations:
        table.add_row(one.contact, one.status, _assignee(one.assignee), ", ".join(one.messages), str(one.notes or ""))
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
        case ProviderAnswer(answer=answer, code=code, times=times):
            often = {None: "from now on", 1: "the next time"}.get(times, f"the next {times} times")
            return f"the provider answers {answer}{f' {code}' if code else ''}, {often}"
        case None:
            return "time passes"
    return step.kind or ""


def happening(event: Event, names: Mapping[str, str]) -> str | None:
    """What the pipeline did, in words; None for what is only plumbing. names: of messages, by id."""
    match event:
        case ConversationOpened(header=header):
            return f"a conversation of {header.contact} begins"
        case ConversationMessageReceived(message_id=id):
            return f"{id} joins it"
        case ConversationNoticeReceived(kind=kind):
            return f"a notice joins it: {kind}"
        case ConversationRouted(header=header, explanation=why):
            whom = _assignee(header.assignee) or "nobody yet"
            return f"routed to {whom}: {why.get('reason') or why.get('decision') or 'assigned'}"
        case ConversationStatusChanged(header=header, previous=previous, reason=reason):
            return f"{previous} -> {header.status} ({reason})"
        case ConversationAssigned(header=header):
            return f"assigned to {_assignee(header.assignee) or 'nobody'}"
        case SendCommand(message_id=id, text=text, template=template):
            content = f"template {template.name}" if text is None and template else _quoted(text)
            return f"to be sent: {names.get(id, id)} {content}"
        case ConversationMessageSent(message_id=id, via=via, repeat=repeat):
            return f"sent: {names.get(id, id)} (as {via}{', a repeat' if repeat else ''})"
        case ConversationNoteAdded(text=text):
            return f"note: {text}"
        case ConversationCommandRefused(code=code, reason=reason):
            return f"refused: {code}: {reason}"
        case MessageStatusChanged(message_id=id, reported=reported, status=status):
            now = "" if reported == status else f", so it stays {status}"
            return f"{names.get(id, id)}: {reported}{now}"
        case MessageAnomaly(message_id=id, standing=standing, reported=reported):
            return f"{names.get(id, id)}: {reported} contradicts {standing}"
        case NotificationReceived(event=name):
            return f"notice about the account: {name}"
        case DeadLettered(stage=stage, reason=reason, detail=detail):
            return f"dead letter of {stage}: {reason} {detail}".rstrip()
    return None


def _names(run: Finished) -> dict[str, str]:
    """Automatic messages are called by their kind: nobody knows their ids."""
    commands = (record.event for _, record in run.evidence.records if isinstance(record.event, SendCommand))
    return {one.message_id: f"the {one.kind}" for one in commands if one.kind != "reply"}


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
    told = f"{command.by}: {command.type.replace('_', ' ')} {command.contact}"
    if command.template is not None:
        return f"{told} {command.id or ''}: template {command.template.name}"
    return f"{told} {command.id or ''}: {_quoted(command.text)}" if command.text is not None else told


def _quoted(text: str | None) -> str:
    return "" if text is None else f'"{_short(text)}"'


def _short(text: str) -> str:
    return text if len(text) <= _MAX_TEXT else f"{text[: _MAX_TEXT - 1]}…"


def _assignee(assignee: Assignee | None) -> str:
    return "" if assignee is None else f"{assignee.kind} {assignee.id}"

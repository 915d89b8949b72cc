"""Turns steps into the callbacks that the provider would post."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from schemas.ids import conversation_key
from simulation.sandbox.calls import CallbackRequest
from simulation.sandbox.happenings import Customer, Quote, Reported, SentMessage, Written
from simulation.sandbox.stand_in import STAND_INS
from simulation.scenario.format import Scenario
from simulation.scenario.result import SentResult
from simulation.scenario.steps import CommandStep, Inbound, MessageRef, StatusUpdate
from simulation.scenario.steps import SentMessage as SentReference

Posted: TypeAlias = tuple[str, tuple[CallbackRequest, ...]]
"""A channel, and what is posted to it, one after the other."""


class StepError(Exception):
    """A step can't be performed: what is wrong with it."""


class Callbacks:
    """The callbacks of one scenario. Remembers them, to be delivered again. address: of a channel's webhook."""

    def __init__(self, scenario: Scenario, address: Callable[[str], str]) -> None:
        self._scenario, self._address = scenario, address
        self._posted: dict[str, Posted] = {}

    def render(self, index: int, rows: Sequence[Inbound | StatusUpdate], sent: Sequence[SentResult]) -> Posted:
        """What step `index` makes the provider post: one callback, where it can. sent: so far. Raises StepError."""
        rendered = [self._row(index, row, sent) for row in rows]
        channels = {channel for channel, _ in rendered}
        if len(channels) > 1:
            raise StepError("a callback has rows of one channel only")
        channel = self._scenario.channel(channels.pop())
        stand_in, happened = STAND_INS[channel.provider], [row for _, row in rendered]
        requests = stand_in.render(channel.provider_account, happened)
        for number, row in enumerate(rows):
            if isinstance(id := _id_of(row), str):
                own = requests if len(requests) == 1 else (requests[number],)
                self._posted[id] = channel.id, own
        return channel.id, requests

    def again(self, id: str) -> Posted:
        """What was posted last of that message. Raises StepError."""
        if id not in self._posted:
            raise StepError(f"no callback of {id!r} came before")
        return self._posted[id]

    def _row(
        self, index: int, row: Inbound | StatusUpdate, sent: Sequence[SentResult]
    ) -> tuple[str, Written | Reported]:
        match row:
            case Inbound():
                channel = self._scenario.channel(row.channel)
                return channel.id, self.written(index, row, sent)
            case StatusUpdate():
                return self._status(index, row, sent)

    def written(self, index: int, row: Inbound, sent: Sequence[SentResult]) -> Written:
        """What the customer did in step `index`. Raises StepError."""
        return Written(
            id=row.id,
            customer=Customer(row.contact, row.name, row.user_id),
            at=row.provider_time or self._scenario.steps[index].at,
            type=row.type,
            text=row.text,
            link=row.link,
            filename=row.filename,
            quotes=self._quote(index, row, self._scenario.channel(row.channel).id, sent),
            new_contact=row.new_contact,
        )

    def _quote(self, index: int, row: Inbound, channel: str, sent: Sequence[SentResult]) -> Quote | None:
        if row.quotes is None:
            return None
        id = _resolve(row.quotes, sent)
        # Else one of the customer's own, or of nobody's.
        return Quote(id, ours=not isinstance(row.quotes, str) or self._reply(index, id, channel) is not None)

    def _status(self, index: int, row: StatusUpdate, sent: Sequence[SentResult]) -> tuple[str, Reported]:
        id = _resolve(row.message, sent)
        channel_id, contact = self._addressee(index, row, id, sent)
        stand_in = STAND_INS[self._scenario.channel(channel_id).provider]
        echo = None
        if row.contact is None:
            echo = stand_in.echo(id, conversation_key(channel_id, contact), self._address(channel_id))
        at = row.provider_time or self._scenario.steps[index].at
        message = SentMessage(id, Customer(contact), echo=echo)
        return channel_id, Reported(message, row.status, at, row.error_code, row.error_message)

    def _addressee(self, index: int, row: StatusUpdate, id: str, sent: Sequence[SentResult]) -> tuple[str, str]:
        """Channel and contact that the message went to."""
        if row.contact is not None:
            return self._channel(row), row.contact
        if isinstance(row.message, SentReference):
            return next((one.channel, one.contact) for one in sent if one.id == id)
        command = self._reply(index, id, row.channel)
        if command is None:
            raise StepError(f"no reply has the id {id!r}: give the contact that it went to")
        return self._scenario.channel(command.channel).id, command.contact

    def _reply(self, index: int, id: str, channel: str | None) -> CommandStep | None:
        """The reply with that id: the last one before the step, else the next."""
        steps = self._scenario.steps
        for step in (*reversed(steps[:index]), *steps[index:]):
            command = step.command
            if command is None or command.type != "reply" or command.id != id:
                continue
            if channel in (None, self._scenario.channel(command.channel).id):
                return command
        return None

    def _channel(self, row: StatusUpdate) -> str:
        try:
            return self._scenario.channel(row.channel).id
        except LookupError as error:
            raise StepError(f"channel {error}") from None


def _resolve(reference: MessageRef, sent: Sequence[SentResult]) -> str:
    """The id of the message that is meant."""
    if isinstance(reference, str):
        return reference
    fitting = [
        one.id
        for one in sent
        if (one.contact, one.kind) == (reference.contact, reference.kind)
        and reference.channel in (None, one.channel)
        and not one.repeat
    ]
    if len(fitting) < (reference.nth or 1):
        raise StepError(f"only {len(fitting)} {reference.kind} messages were sent to {reference.contact} so far")
    return fitting[-1 if reference.nth is None else reference.nth - 1]


def _id_of(row: Inbound | StatusUpdate) -> MessageRef:
    return row.id if isinstance(row, Inbound) else row.message

"""Turns steps into the callbacks that the provider would post."""

from collections.abc import Sequence

from schemas.ids import conversation_key
from simulation.sandbox.accounts import digit_id
from simulation.sandbox.stand_in import (
    Business,
    Customer,
    Json,
    Quote,
    callback_body,
    channel_message_id,
    content,
    deleted_row,
    message_row,
    provider_message_id,
    status_row,
)
from simulation.scenario.format import Scenario, ScenarioChannel
from simulation.scenario.result import SentResult
from simulation.scenario.steps import CommandStep, Inbound, MessageRef, SentMessage, StatusUpdate


class StepError(Exception):
    """A step can't be performed: what is wrong with it."""


class Callbacks:
    """The callbacks of one scenario. Remembers them, to be delivered again."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._posted: dict[str, tuple[str, bytes]] = {}

    def render(
        self, index: int, rows: Sequence[Inbound | StatusUpdate], sent: Sequence[SentResult]
    ) -> tuple[str, bytes]:
        """Channel and body of the callback of step `index`. sent: so far. Raises StepError."""
        rendered = [self._row(index, row, sent) for row in rows]
        channels = {channel for channel, _ in rendered}
        if len(channels) > 1:
            raise StepError("a callback has rows of one channel only")
        posted = channels.pop(), callback_body([row for _, row in rendered])
        self._posted |= {id: posted for row in rows if isinstance(id := _id_of(row), str)}
        return posted

    def again(self, id: str) -> tuple[str, bytes]:
        """Channel and body of the last callback of that message. Raises StepError."""
        if id not in self._posted:
            raise StepError(f"no callback of {id!r} came before")
        return self._posted[id]

    def _row(self, index: int, row: Inbound | StatusUpdate, sent: Sequence[SentResult]) -> tuple[str, Json]:
        match row:
            case Inbound():
                channel = self._scenario.channel(row.channel)
                return channel.id, self._inbound(index, row, channel, sent)
            case StatusUpdate():
                return self._status(index, row, sent)

    def _inbound(self, index: int, row: Inbound, channel: ScenarioChannel, sent: Sequence[SentResult]) -> Json:
        business, customer = _business(channel), Customer(row.contact, row.name)
        at = row.provider_time or self._scenario.steps[index].at
        if row.type == "deleted":
            return deleted_row(business, customer, row.id, at)
        said = content(row.type, row.text, link=row.link, filename=row.filename)
        return message_row(business, customer, row.id, at, said, quote=self._quote(index, row, channel, sent))

    def _quote(self, index: int, row: Inbound, channel: ScenarioChannel, sent: Sequence[SentResult]) -> Quote | None:
        if row.quotes is None:
            return None
        id, number = _resolve(row.quotes, sent), channel.phone_number
        if isinstance(row.quotes, str) and self._reply(index, id, channel.id) is None:
            # One of the customer's own, or of nobody's.
            return Quote(digit_id(f"quoted:{id}"), id, row.contact)
        return Quote(provider_message_id(number, id), channel_message_id(number, id), number)

    def _status(self, index: int, row: StatusUpdate, sent: Sequence[SentResult]) -> tuple[str, Json]:
        id = _resolve(row.message, sent)
        channel_id, contact = self._addressee(index, row, id, sent)
        channel = self._scenario.channel(channel_id)
        args: Json | None = None
        if row.contact is None:
            args = {"id": id, "conversation": conversation_key(channel_id, contact)}
        return channel_id, status_row(
            _business(channel),
            Customer(contact),
            provider_message_id(channel.phone_number, id),
            row.status,
            row.provider_time or self._scenario.steps[index].at,
            channel_message_id=channel_message_id(channel.phone_number, id),
            custom_args=args,
            error_code=row.error_code,
            error_message=row.error_message,
        )

    def _addressee(self, index: int, row: StatusUpdate, id: str, sent: Sequence[SentResult]) -> tuple[str, str]:
        """Channel and contact that the message went to."""
        if row.contact is not None:
            return self._channel(row), row.contact
        if isinstance(row.message, SentMessage):
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


def _business(channel: ScenarioChannel) -> Business:
    return Business(channel.phone_number, channel.business_account_id or "")

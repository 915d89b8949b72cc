"""Routes for conversations: what a person asks of one."""

from datetime import datetime
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, TypeAdapter

from desk.access.permissions import Actor, Permission
from desk.api.problems import Problem, not_found
from desk.api.reading import shows_file, viewer_of
from desk.api.route import Answer, Call, Route
from desk.commands import CommandRequest, ReplyRequest, unknown_agents
from desk.journal import SOURCE
from desk.office import Office
from desk.outcomes import Outcome, Outcomes
from desk.view.queries import Filter
from desk.view.visibility import Viewer
from schemas.codec import to_kafka
from schemas.contact import InvalidContact, contact_id
from schemas.events.access import Role
from schemas.ids import conversation_key, derived_id
from schemas.record import Record
from schemas.settings.channel import ChannelSettings
from schemas.settings.errors import FieldError
from schemas.settings.types import SettingsModel
from schemas.topics import INBOX


class CommandAnswer(BaseModel):
    """What became of a command.

    state: done: `event` is what it led to; pending: it is durable, and not decided yet: the thread will show it;
    repeated: the same command was carried out before, under this id.
    """

    command_id: str
    conversation_key: str
    state: Literal["done", "pending", "repeated"]
    event: str | None = None
    at: datetime | None = None


class Waiting(SettingsModel):
    """wait: seconds to wait for what the command leads to."""

    wait: Annotated[float, Field(ge=0, le=10)] = 2.0


class ConversationRoutes:
    """Handlers and their routes. outcomes: what commands led to."""

    def __init__(self, office: Office, outcomes: Outcomes) -> None:
        self._office, self._outcomes = office, outcomes

    def routes(self) -> tuple[Route, ...]:
        """Their part of the table."""
        return (
            Route(
                "POST",
                "/v1/channels/{channel}/conversations/{contact}/commands",
                Permission.ACT,
                "Ask something of the contact's latest conversation.",
                self.command,
                CommandAnswer,
                also=(202,),
                body=TypeAdapter(Annotated[CommandRequest, Field(discriminator="type")]),
                tagged=True,
                query=Waiting,
                problems=(409,),
            ),
        )

    async def command(self, call: Call[CommandRequest]) -> Answer:
        """200: it is decided; 202: not yet; 409: it was refused, with the reason's code."""
        channel = self._office.directory.channel(call.path["channel"])
        contact = _contact(call.path["contact"])
        asked = self._by(call)
        key = conversation_key(channel.id, contact)
        await self._must_see(call.actor, channel.account, key)
        self._check(channel, asked)
        shown = partial(shows_file, self._office, call.actor, channel.id)
        command = asked.command(asked.id or self._command_id(call))
        command = await self._office.files.described(command, channel, shown)
        record = Record(self._office.new_id(), SOURCE, self._office.clock(), key, command, channel.id, channel.revision)
        value, headers = to_kafka(INBOX, record)
        with self._outcomes.expect(record.id) as outcome:
            await self._office.publisher.publish(INBOX.full_name(self._office.prefix), key.encode(), value, headers)
            found = await outcome.wait(call.query.wait)
        return _answer(command.command_id, key, found)

    async def _must_see(self, actor: Actor, account: str, key: str) -> None:
        """Of a contact with conversations, one that the actor may see. Who writes to somebody new has seen none."""
        queries = self._office.queries
        if actor.grant.role is not Role.AGENT or queries is None:
            return
        everybody = Viewer("admin", account, "all")
        for viewer, found in ((viewer_of(self._office, actor, account), True), (everybody, False)):
            if bool((await queries.conversations(viewer, Filter(key=key), limit=1)).items) is found:
                return
        raise not_found()

    def _by(self, call: Call[CommandRequest]) -> CommandRequest:
        """The command in its agent's name: the caller's own, unless they may act for others."""
        own = call.actor.grant.agent
        if own is not None and call.body.by in (None, own):
            return call.body.model_copy(update={"by": own})
        if call.body.by is None:
            missing = FieldError("by", "name the agent in whose name it is done")
            raise Problem(422, "not_valid", "the request can't be used", (missing,))
        if not call.actor.may(Permission.DIRECT):
            raise Problem(403, "not_allowed", "you may act in your own name only")
        return call.body

    def _check(self, channel: ChannelSettings, asked: CommandRequest) -> None:
        if isinstance(asked, ReplyRequest) and (wrong := tuple(asked.contradictions())):
            raise Problem(422, "not_valid", "the request can't be used", wrong)
        if channel.state != "active":
            raise Problem(409, "channel_disabled", "the channel is disabled: enable it first")
        unknown = unknown_agents(asked, channel, self._office.directory.people(channel.account))
        if unknown:
            raise Problem(409, "unknown_agent", "the command names somebody unknown", unknown)

    def _command_id(self, call: Call[Any]) -> str:
        """By Idempotency-Key the same for the same caller, so that a repetition changes nothing."""
        key = call.request.headers.get("Idempotency-Key")
        if key is None:
            return self._office.new_id()
        if not 1 <= len(key) <= 255:
            raise Problem(400, "bad_idempotency_key", "Idempotency-Key has 1 to 255 characters")
        return derived_id(call.actor.id, call.path["channel"], key)


def _contact(text: str) -> str:
    try:
        return contact_id(text)
    except InvalidContact as error:
        raise Problem(422, "invalid_contact", f"the contact is neither a phone number nor a user id: {error}") from None


def _answer(command_id: str, key: str, found: Outcome | None) -> Answer:
    if found is None:
        return Answer(CommandAnswer(command_id=command_id, conversation_key=key, state="pending"), 202)
    if found.refused is not None and found.refused.code == "duplicate_command":
        return Answer(CommandAnswer(command_id=command_id, conversation_key=key, state="repeated"))
    if found.refused is not None:
        raise Problem(409, found.refused.code, found.refused.reason)
    done = CommandAnswer(command_id=command_id, conversation_key=key, state="done", event=found.event, at=found.at)
    return Answer(done)

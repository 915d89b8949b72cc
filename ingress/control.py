"""The control listener: commands, settings, agents and presence, from this machine only. It has no login.

GET    /v1/channels                                           every channel's settings
PATCH  /v1/channels/{channel}/settings                        a partial change
POST   /v1/channels/{channel}/conversations/{contact}/commands    {type, by, id?, ...}
POST   /v1/channels/{channel}/media                           a file to be sent, as the body or in a form
GET    /v1/channels/{channel}/media/{file}                    a file of the media store
PUT    /v1/channels/{channel}/agents/{agent}                  a member of the channel from now on
DELETE /v1/channels/{channel}/agents/{agent}                  take the agent out of the channel
GET    /v1/accounts/{account}/agents
PUT    /v1/accounts/{account}/agents/{agent}                  {name?, workload?, teams?}: new, or replaced
DELETE /v1/accounts/{account}/agents/{agent}                  gone, and out of every channel
PUT    /v1/accounts/{account}/agents/{agent}/presence         {state, source?}
PUT    /v1/accounts/{account}/agents/{agent}/memberships      a member of every channel
DELETE /v1/accounts/{account}/agents/{agent}/memberships      a member of none

An error is {error: {code, message, fields: [{field, message}]}}. Codes: unknown_channel, unknown_agent (404; 409: a
command names somebody unknown), unknown_file (404), invalid_settings, invalid_command, invalid_contact, no_file (422),
invalid_json, unreadable (400), too_large (413), not_durable (503: it may have been written or not), store_unavailable
(503), not_local (403), not_json (415), and HTTP's own.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime
from typing import TypeVar

import orjson
from aiohttp import web
from pydantic import ValidationError

from bus.publisher import NotDurable, Publish
from ingress.channel_writer import ChannelWriter
from ingress.commands import CommandRequest, parse_command, unknown_agents
from ingress.directory import ChannelDirectory, UnknownAgent, UnknownChannel
from ingress.journal import SOURCE
from ingress.media import MediaFiles, NoFile, TooLarge
from ingress.people import People, PresenceRequest
from media.store import StoreUnavailable
from providers.address import webhook_path
from schemas.codec import to_kafka
from schemas.contact import InvalidContact, contact_id
from schemas.events.inbox import Command
from schemas.ids import conversation_key
from schemas.record import Record
from schemas.settings.channel import ChannelSettings
from schemas.settings.channels_file import Agent
from schemas.settings.credentials import ENCRYPTED
from schemas.settings.errors import FieldError, InvalidSettings
from schemas.settings.types import Id, SettingsModel
from schemas.topics import INBOX

MAX_BODY_BYTES = 1 << 20

_UPLOAD = "upload"
_LOCAL_HOSTS = frozenset({"127.0.0.1", "localhost"})

_Model = TypeVar("_Model", bound=SettingsModel)
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def build_control_app(
    directory: ChannelDirectory,
    publisher: Publish,
    writer: ChannelWriter,
    people: People,
    media: MediaFiles,
    *,
    prefix: str,
    clock: Callable[[], datetime],
    new_id: Callable[[], str],
) -> web.Application:
    """The control listener's application, to be bound to the loopback interface. prefix: of the topics' names."""
    settings = _Settings(directory, writer, people)
    commands = _Commands(directory, publisher, media, INBOX.full_name(prefix), clock, new_id)
    files = _Files(directory, media)
    agent = "/v1/accounts/{account}/agents/{agent}"
    app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[_local_only, _explained])
    app.add_routes(
        [
            web.get("/v1/channels", settings.list_channels),
            web.patch("/v1/channels/{channel}/settings", settings.change),
            web.put("/v1/channels/{channel}/agents/{agent}", settings.set_member),
            web.delete("/v1/channels/{channel}/agents/{agent}", settings.set_member),
            web.get("/v1/accounts/{account}/agents", settings.list_agents),
            web.put(agent, settings.save_agent),
            web.delete(agent, settings.delete_agent),
            web.put(f"{agent}/presence", settings.set_presence),
            web.put(f"{agent}/memberships", settings.set_memberships),
            web.delete(f"{agent}/memberships", settings.set_memberships),
            web.post("/v1/channels/{channel}/conversations/{contact}/commands", commands.post),
            web.post("/v1/channels/{channel}/media", files.take, name=_UPLOAD),
            web.get("/v1/channels/{channel}/media/{file:.+}", files.show),
        ]
    )
    return app


class Refused(Exception):
    """An answer other than success. fields: what is wrong with the body, field by field."""

    def __init__(self, status: int, code: str, message: str, fields: Iterable[FieldError] = ()) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.fields = status, code, message, tuple(fields)


class _Commands:
    def __init__(
        self,
        directory: ChannelDirectory,
        publisher: Publish,
        media: MediaFiles,
        inbox: str,
        clock: Callable[[], datetime],
        new_id: Callable[[], str],
    ) -> None:
        self._directory, self._publisher, self._media, self._inbox = directory, publisher, media, inbox
        self._clock, self._new_id = clock, new_id

    async def post(self, request: web.Request) -> web.Response:
        """Ask something of the contact's latest conversation. 202: it is durable, but not decided yet."""
        channel = self._directory.channel(request.match_info["channel"])
        contact = _contact(request.match_info["contact"])
        asked = _command(await _body(request))
        unknown = unknown_agents(asked, channel, self._directory.people(channel.account))
        if unknown:
            raise Refused(409, "unknown_agent", "the command names somebody unknown", unknown)
        key = conversation_key(channel.id, contact)
        command = await self._described(asked.command(asked.id or self._new_id()), channel)
        record = Record(self._new_id(), SOURCE, self._clock(), key, command, channel.id, channel.revision)
        value, headers = to_kafka(INBOX, record)
        await self._publisher.publish(self._inbox, key.encode(), value, headers)
        return _json({"command_id": command.command_id, "conversation_key": key}, 202)

    async def _described(self, command: Command, channel: ChannelSettings) -> Command:
        try:
            return await self._media.described(command, channel)
        except InvalidSettings as error:
            raise Refused(422, "invalid_command", "the command can't be used", error.errors) from None


class _Files:
    def __init__(self, directory: ChannelDirectory, media: MediaFiles) -> None:
        self._directory, self._media = directory, media

    async def take(self, request: web.Request) -> web.Response:
        """Store a file, to be named in a reply. 201: it is stored."""
        channel = self._directory.channel(request.match_info["channel"])
        try:
            file = await self._media.take(request, channel.id)
        except TooLarge as error:
            raise Refused(413, "too_large", str(error)) from None
        except NoFile:
            raise Refused(422, "no_file", "the body holds no file") from None
        except (web.RequestPayloadError, ValueError):
            raise Refused(400, "unreadable", "the body can't be read") from None
        return _json({"file": file.key, "mime_type": file.mime_type, "size": file.size}, 201)

    async def show(self, request: web.Request) -> web.StreamResponse:
        """A file of the channel, received or uploaded, or a preview."""
        at = request.match_info
        shown = await self._media.show(request, self._directory.channel(at["channel"]).id, at["file"])
        if shown is None:
            raise Refused(404, "unknown_file", "there is no such file of the channel")
        return shown


class _Settings:
    def __init__(self, directory: ChannelDirectory, writer: ChannelWriter, people: People) -> None:
        self._directory, self._writer, self._people = directory, writer, people

    async def list_channels(self, _: web.Request) -> web.Response:
        """Every channel's newest settings, without credentials."""
        return _json({"channels": [self._shown(channel) for channel in self._directory.channels()]})

    async def change(self, request: web.Request) -> web.Response:
        """Save the next revision: objects are merged, lists and single values replaced."""
        changed = await self._writer.change(request.match_info["channel"], await _object(request))
        return _json({"channel": self._shown(changed)})

    async def set_member(self, request: web.Request) -> web.Response:
        """PUT: the agent is a member of the channel from now on; DELETE: the agent leaves it."""
        at, member = request.match_info, request.method == "PUT"
        changed = await self._writer.set_member(at["channel"], at["agent"], member)
        return _json({"channel": self._shown(changed)})

    async def set_memberships(self, request: web.Request) -> web.Response:
        """PUT: the agent is a member of every channel of the account from now on; DELETE: of none."""
        at, member = request.match_info, request.method == "PUT"
        await self._writer.set_member_of_all(at["account"], at["agent"], member)
        channels = [channel.id for channel in self._directory.channels(at["account"])]
        return _json({"channels": channels if member else []})

    async def list_agents(self, request: web.Request) -> web.Response:
        """The account's agents."""
        agents = self._directory.agents(request.match_info["account"])
        return _json({"agents": [agent.model_dump() for agent in agents]})

    async def save_agent(self, request: web.Request) -> web.Response:
        """Save an agent, who is new or replaces the one of that id."""
        at = request.match_info
        account = _checked(_Account, {"id": at["account"]}).id
        agent = _checked(Agent, {**await _object(request), "id": at["agent"]})
        await self._people.save(account, agent)
        return _json({"agent": agent.model_dump()})

    async def delete_agent(self, request: web.Request) -> web.Response:
        """Delete an agent, who leaves every channel."""
        at = request.match_info
        await self._people.delete(at["account"], at["agent"])
        return _json({})

    async def set_presence(self, request: web.Request) -> web.Response:
        """Tell an agent's state. 202: it is durable; assignment goes by it from then on."""
        at = request.match_info
        presence = _checked(PresenceRequest, await _body(request))
        await self._people.set_presence(at["account"], at["agent"], presence)
        return _json({"presence": presence.model_dump()}, 202)

    def _shown(self, channel: ChannelSettings) -> dict[str, object]:
        shown: dict[str, object] = channel.model_dump(mode="json", exclude={*ENCRYPTED})
        shown["webhook_path"] = webhook_path(channel.provider, self._directory.token_of(channel.id))
        return shown


class _Account(SettingsModel):
    id: Id


@web.middleware
async def _local_only(request: web.Request, handler: _Handler) -> web.StreamResponse:
    # Without a login, a page in a browser of this machine must not get here, by a name that it makes resolve to
    # 127.0.0.1, or by a form, which can't post JSON.
    if request.host.partition(":")[0] not in _LOCAL_HOSTS:
        return _error(Refused(403, "not_local", "the control listener answers to 127.0.0.1 and localhost only"))
    if request.match_info.route.name == _UPLOAD:
        if "Origin" in request.headers:
            return _error(Refused(403, "not_local", "a page in a browser may upload nothing"))
    elif request.body_exists and request.content_type != "application/json":
        return _error(Refused(415, "not_json", "the content type must be application/json"))
    return await handler(request)


@web.middleware
async def _explained(request: web.Request, handler: _Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Refused as refused:
        return _error(refused)
    except UnknownChannel:
        return _error(Refused(404, "unknown_channel", "there is no such channel"))
    except UnknownAgent:
        return _error(Refused(404, "unknown_agent", "there is no such human agent"))
    except StoreUnavailable:
        return _error(Refused(503, "store_unavailable", "the media store can't be reached"))
    except InvalidSettings as invalid:
        return _error(Refused(422, "invalid_settings", "the settings can't be used", invalid.errors))
    except NotDurable:
        return _error(Refused(503, "not_durable", "Kafka has not acknowledged it: it may have been written or not"))
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return _error(Refused(error.status, error.reason.lower().replace(" ", "_"), error.reason))


async def _body(request: web.Request) -> object:
    try:
        body: object = orjson.loads(await request.read())
    except orjson.JSONDecodeError as error:
        raise Refused(400, "invalid_json", f"the body is not JSON: {error.msg}") from None
    except (web.RequestPayloadError, ValueError):
        raise Refused(400, "unreadable", "the body can't be read") from None
    return body


async def _object(request: web.Request) -> Mapping[str, object]:
    body = await _body(request)
    if not isinstance(body, dict):
        raise Refused(400, "invalid_json", "the body must be an object")
    return body


def _contact(text: str) -> str:
    try:
        return contact_id(text)
    except InvalidContact as error:
        raise Refused(422, "invalid_contact", f"the contact is neither a phone number nor a user id: {error}") from None


def _command(body: object) -> CommandRequest:
    try:
        return parse_command(body)
    except InvalidSettings as error:
        raise Refused(422, "invalid_command", "the command can't be used", error.errors) from None


def _checked(model: type[_Model], data: object) -> _Model:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise InvalidSettings.from_pydantic(error) from None


def _error(refused: Refused) -> web.Response:
    fields = [{"field": error.field, "message": error.message} for error in refused.fields]
    return _json({"error": {"code": refused.code, "message": refused.message, "fields": fields}}, refused.status)


def _json(data: object, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(data), status=status, content_type="application/json")

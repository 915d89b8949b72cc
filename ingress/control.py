"""The control listener: commands and settings, from this machine only. It has no login."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime
from typing import NoReturn

import orjson
from aiohttp import web
from pydantic import ValidationError

from ingress.channel_writer import ChannelWriter, UnknownChannel
from ingress.commands import COMMAND_REQUEST, ReplyRequest, ResolveRequest
from ingress.directory import ChannelDirectory
from ingress.publisher import NotDurable, Publish
from ingress.tokens import webhook_path
from schemas.channel import ChannelSettings
from schemas.codec import to_kafka
from schemas.ids import conversation_key
from schemas.invalid_settings import FieldError, InvalidSettings
from schemas.phone import InvalidPhoneNumber, digits
from schemas.record import Record
from schemas.topics import INBOX

MAX_BODY_BYTES = 1 << 20

_LOCAL_HOSTS = frozenset({"127.0.0.1", "localhost"})

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def build_control_app(
    directory: ChannelDirectory,
    publisher: Publish,
    writer: ChannelWriter,
    *,
    prefix: str,
    clock: Callable[[], datetime],
    new_id: Callable[[], str],
) -> web.Application:
    """The control listener's application, to be bound to the loopback interface. prefix: of the topics' names."""
    control = _Control(directory, publisher, writer, INBOX.full_name(prefix), clock, new_id)
    app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[_local_only, _explained])
    app.add_routes(
        [
            web.get("/v1/channels", control.list_channels),
            web.patch("/v1/channels/{channel}/settings", control.change_settings),
            web.post("/v1/channels/{channel}/conversations/{contact}/commands", control.command),
        ]
    )
    return app


class Refused(Exception):
    """An answer other than success. fields: what is wrong with the body, field by field."""

    def __init__(self, status: int, code: str, message: str, fields: Iterable[FieldError] = ()) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.fields = status, code, message, tuple(fields)


class _Control:
    def __init__(
        self,
        directory: ChannelDirectory,
        publisher: Publish,
        writer: ChannelWriter,
        inbox: str,
        clock: Callable[[], datetime],
        new_id: Callable[[], str],
    ) -> None:
        self._directory, self._publisher, self._writer, self._inbox = directory, publisher, writer, inbox
        self._clock, self._new_id = clock, new_id

    async def list_channels(self, _: web.Request) -> web.Response:
        """Every channel's newest settings, without credentials."""
        return _json({"channels": [self._shown(channel) for channel in self._directory.channels()]})

    async def change_settings(self, request: web.Request) -> web.Response:
        """Save the next revision: objects are merged, lists and single values replaced."""
        change = await _body(request)
        if not isinstance(change, Mapping):
            raise Refused(400, "invalid_json", "the body must be an object")
        try:
            changed = await self._writer.change(request.match_info["channel"], change)
        except UnknownChannel:
            _unknown_channel()
        except InvalidSettings as error:
            raise Refused(422, "invalid_settings", "the settings can't be used", error.errors) from None
        return _json({"channel": self._shown(changed)})

    async def command(self, request: web.Request) -> web.Response:
        """Ask something of the contact's latest conversation. 202: it is durable, but not decided yet."""
        channel = self._directory.find(request.match_info["channel"])
        if channel is None:
            _unknown_channel()
        contact = _contact(request.match_info["contact"])
        asked = _command_request(await _body(request))
        if not self._directory.has_agent(channel, asked.by):
            field = FieldError("by", "is not a human agent of the account")
            raise Refused(409, "unknown_agent", "there is no such human agent", [field])
        key = conversation_key(channel.id, contact)
        command = asked.command(asked.id or self._new_id())
        record = Record(self._new_id(), "/livedesk/ingress", self._clock(), key, command, channel.id, channel.revision)
        value, headers = to_kafka(INBOX, record)
        await self._publisher.publish(self._inbox, key.encode(), value, headers)
        return _json({"command_id": command.command_id, "conversation_key": key}, 202)

    def _shown(self, channel: ChannelSettings) -> dict[str, object]:
        shown: dict[str, object] = channel.model_dump(mode="json", exclude={"dev_key", "dev_secret"})
        shown["webhook_path"] = webhook_path(channel.provider, self._directory.token_of(channel.id))
        return shown


@web.middleware
async def _local_only(request: web.Request, handler: _Handler) -> web.StreamResponse:
    # Without a login, a page in a browser of this machine must not get here, by a name that it makes resolve to
    # 127.0.0.1, or by a form, which can't post JSON.
    if request.host.partition(":")[0] not in _LOCAL_HOSTS:
        return _error(Refused(403, "not_local", "the control listener answers to 127.0.0.1 and localhost only"))
    if request.method in ("POST", "PATCH") and request.content_type != "application/json":
        return _error(Refused(415, "not_json", "the content type must be application/json"))
    return await handler(request)


@web.middleware
async def _explained(request: web.Request, handler: _Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Refused as refused:
        return _error(refused)
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


def _contact(text: str) -> str:
    try:
        return digits(text)
    except InvalidPhoneNumber as error:
        raise Refused(422, "invalid_contact", f"the contact is not a phone number: {error}") from None


def _command_request(body: object) -> ReplyRequest | ResolveRequest:
    try:
        return COMMAND_REQUEST.validate_python(body)
    except ValidationError as error:
        found = InvalidSettings.from_pydantic(error).errors
        # Pydantic's path starts with the type of the command.
        fields = [FieldError(item.field.partition(".")[2], item.message) for item in found]
        raise Refused(422, "invalid_command", "the command can't be used", fields) from None


def _unknown_channel() -> NoReturn:
    raise Refused(404, "unknown_channel", "there is no such channel")


def _error(refused: Refused) -> web.Response:
    fields = [{"field": error.field, "message": error.message} for error in refused.fields]
    return _json({"error": {"code": refused.code, "message": refused.message, "fields": fields}}, refused.status)


def _json(data: object, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(data), status=status, content_type="application/json")

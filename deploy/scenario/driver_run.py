"""The world in memory: the driver with ingress' own checks before it and the sandbox behind it."""

from collections.abc import Callable, Coroutine, Mapping
from datetime import datetime
from itertools import count
from typing import TypeVar

import orjson
from pydantic import BaseModel, ValidationError

from deploy.sandbox.accounts import Behaviour, Credentials
from deploy.sandbox.errors import ApiError
from deploy.sandbox.provider import Provider
from deploy.sandbox.templates import TemplateApi, TemplateFilter, UnreachableError
from deploy.scenario.format import Scenario
from deploy.scenario.steps import CommandStep
from deploy.scenario.world import Evidence, Refusal
from ingress.channel_writer import ChannelWriter
from ingress.commands import COMMAND_REQUEST
from ingress.directory import ChannelDirectory
from schemas.channel import ChannelSettings
from schemas.channels_file import ChannelsFile
from schemas.codec import Headers, from_kafka
from schemas.conversation import Template
from schemas.ids import conversation_key
from schemas.invalid_settings import InvalidSettings
from schemas.record import Record
from schemas.sending import SendRequest, SendResult
from schemas.system import WebhookReceived
from schemas.topics import CHANNELS, INBOX, WEBHOOKS
from streams.breaker import Breaker
from streams.driver import Driver
from streams.effects_contract import Outcome, Unknown
from streams.provider_client import LIST_UNREACHABLE, done, read_answer, send_body, why_not_approved
from streams.settings_store import SettingsStore

_T = TypeVar("_T")


class DriverWorld:
    """Runs a scenario in memory. Deterministic: ids are counters. Made by `DriverWorld.build`."""

    def __init__(self, scenario: Scenario) -> None:
        vault = _Vault()
        accounts = {channel.id: channel.provider_account for channel in scenario.channels}
        self._keys = {id: account.dev_key for id, account in accounts.items()}
        self._provider = Provider(accounts.values(), auto_receipts=False)
        self._store = SettingsStore(vault.decrypt)
        self._directory = ChannelDirectory(vault.decrypt, str, scenario.directory)
        self._at = scenario.steps[0].at
        self._ids = scenario.channels[0].id
        client = _Client(self._provider, self._store.newest, lambda: self._driver.now)
        self._breaker = Breaker(client.perform, lambda: self._driver.now.timestamp())
        self._driver = Driver(self._store, self._perform, self._at)
        self._deliveries, self._commands, self._saves = count(1), count(1), count(1)
        self._writer = ChannelWriter(
            self._directory,
            _Saves(self._saved),
            _caught_up,
            prefix="",
            encrypt=vault.encrypt,
            clock=lambda: self._at,
            new_id=lambda: f"{self._ids}/s{next(self._saves)}",
        )

    @classmethod
    async def build(cls, scenario: Scenario) -> "DriverWorld":
        """The world with the scenario's channels saved in it."""
        world = cls(scenario)
        channels = tuple(channel.settings for channel in scenario.channels)
        await world._writer.save_file(ChannelsFile(agents=scenario.agents, channels=channels))
        return world

    async def advance(self, to: datetime) -> None:
        self._driver.advance(to)

    async def settle(self, at: datetime) -> None:
        self._driver.now = max(self._driver.now, at)
        self._driver.run()

    async def hand_in_callback(self, at: datetime, channel: str, body: bytes) -> None:
        event = WebhookReceived(provider="engagelab", body=body)
        revision = self._store.newest(channel).revision
        id = f"{self._ids}/d{next(self._deliveries)}"
        self._driver.write(WEBHOOKS, Record(id, "/livedesk/ingress", at, channel, event, channel, revision))

    async def hand_in_command(
        self, at: datetime, channel: str, command: CommandStep, command_id: str
    ) -> Refusal | None:
        asked = command.model_dump(mode="json", include={"type", "by", "text", "template"}, exclude_unset=True)
        try:
            request = COMMAND_REQUEST.validate_python(asked | {"id": command_id})
        except ValidationError as error:
            return Refusal("invalid_settings", str(InvalidSettings.from_pydantic(error)))
        settings = self._store.newest(channel)
        if not self._directory.has_agent(settings, request.by):
            return Refusal("unknown_agent", "there is no such human agent")
        key = conversation_key(channel, command.contact)
        id = f"{self._ids}/c{next(self._commands)}"
        event = request.command(command_id)
        self._driver.write(INBOX, Record(id, "/livedesk/ingress", at, key, event, channel, settings.revision))
        return None

    async def change_settings(self, at: datetime, channel: str, change: Mapping[str, object]) -> Refusal | None:
        self._at = at
        try:
            await self._writer.change(channel, change)
        except InvalidSettings as error:
            return Refusal("invalid_settings", str(error))
        return None

    async def set_provider(self, channel: str, behaviour: Behaviour) -> None:
        self._provider.set_behaviour(behaviour, self._keys[channel])

    async def evidence(self) -> Evidence:
        return Evidence(tuple(self._driver.records), self._provider.log)

    def _saved(self, key: bytes, value: bytes, headers: Headers) -> None:
        self._driver.write(CHANNELS, from_kafka(CHANNELS, value, headers))
        self._directory.apply(key, value)
        self._store.apply(key, value)

    def _perform(self, request: BaseModel, _now: datetime) -> Outcome:
        return _at_once(self._breaker.perform(request))


class _Saves:
    """What ChannelWriter publishes to, in Kafka's place: the channels topic."""

    connected = True

    def __init__(self, take: Callable[[bytes, bytes, Headers], None]) -> None:
        self._take = take

    async def publish(self, topic: str, key: bytes, value: bytes, headers: Headers = ()) -> None:  # noqa: ARG002
        self._take(key, value, headers)


class _Client:
    """EngageLabClient's counterpart in memory: the same requests, the answers read the same way."""

    def __init__(
        self, provider: Provider, newest: Callable[[str], ChannelSettings], now: Callable[[], datetime]
    ) -> None:
        self._provider, self._newest, self._now = provider, newest, now

    async def perform(self, request: SendRequest) -> Outcome:
        settings = self._newest(request.channel)
        secret = settings.dev_secret.get_secret_value() if settings.dev_secret else ""
        credentials = Credentials(settings.dev_key or "", secret)
        body = send_body(request, settings.phone_number)
        if isinstance(body, SendResult):
            return done(body)
        if request.check_template and request.template is not None:
            missing = self._missing(credentials, request.template)
            if missing is not None:
                return done(missing)
        answer = self._provider.handle_send(credentials, orjson.dumps(body), self._now())
        if answer.http_status is None:
            return Unknown()
        content = b"" if answer.body is None else orjson.dumps(answer.body)
        result = read_answer(answer.http_status, content, str(answer.retry_after or ""))
        return Unknown() if result is None else done(result)

    def _missing(self, credentials: Credentials, template: Template) -> SendResult | None:
        wanted = TemplateFilter(template.name, template.language)
        try:
            listed = TemplateApi(self._provider.accounts).list(credentials, wanted)
        except UnreachableError:
            return LIST_UNREACHABLE
        except ApiError as error:
            return why_not_approved(template, error.http_status, orjson.dumps(error.body()))
        return why_not_approved(template, 200, orjson.dumps(listed))


class _Vault:
    """In place of encryption: a name for each secret, so that none shows in the records and all runs are alike."""

    def __init__(self) -> None:
        self._secrets: list[str] = []

    def encrypt(self, secret: str) -> str:
        self._secrets.append(secret)
        return f"secret {len(self._secrets) - 1}"

    def decrypt(self, name: str) -> str:
        return self._secrets[int(name.removeprefix("secret "))]


async def _caught_up() -> None:
    """What is saved is known at once."""


def _at_once(coroutine: Coroutine[object, object, _T]) -> _T:
    """The result of a coroutine that waits for nothing: the driver's effects end where they begin."""
    try:
        coroutine.send(None)
    except StopIteration as stopped:
        result: _T = stopped.value
        return result
    raise RuntimeError("it waits")

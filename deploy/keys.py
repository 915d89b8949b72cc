"""Replacing the installation's key while everything runs: a new key is added, what is stored is encrypted with it, and
the old one is taken out.

Every step may be repeated, and at every moment the keys that there are can read all that is stored. All desk processes
write through one journal, which ends what another has begun: so after the first change that is written here no process
writes with the old key any more.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final
from uuid import uuid4

from cryptography.fernet import Fernet, InvalidToken
from pydantic import JsonValue, SecretStr, TypeAdapter

from bus.aiokafka_fixes import quiet_loggers
from bus.follower import TopicFollower
from bus.publisher import NotDurable
from deploy.access import terminal
from deploy.errors import LiveDeskError
from deploy.kafka.committed import committed_reader
from deploy.secrets import KEY_FILE, Secrets, load_secrets, read_keys, replace_keys
from deploy.settings import Settings
from desk.access.directory import AccessDirectory
from desk.journal import Change
from desk.kafka_journal import KafkaJournal
from providers.address import webhook_token
from schemas.events.access import UserSaved
from schemas.events.channels import ChannelSaved
from schemas.events.people import AiAgentSaved
from schemas.record import decode
from schemas.settings.ai import AiAgentSettings, GptAgent, HttpAgent, agent_from_stored, agent_to_stored
from schemas.settings.channel import ChannelSettings, from_stored
from schemas.topics import ACCESS, CHANNELS, DIRECTORY
from streams.clock import wall_clock

_Write = Callable[[], Awaitable[int]]
_AGENT: Final = TypeAdapter[AiAgentSettings](AiAgentSettings)
_AT_ONCE: Final = 200
"""Records of one transaction."""


@dataclass
class _Stored:
    """What is stored encrypted, as it is on the topics: revisions of channels, AI agents, and users."""

    secrets: Secrets
    channels: dict[str, dict[str, JsonValue]] = field(default_factory=dict)
    agents: dict[str, AiAgentSaved] = field(default_factory=dict)
    access: AccessDirectory = field(default_factory=AccessDirectory)

    def apply_channel(self, key: bytes, value: bytes | None) -> None:
        event = None if value is None else decode(value, CHANNELS.types).event
        if isinstance(event, ChannelSaved):
            self.channels[key.decode()] = event.settings

    def apply_agent(self, key: bytes, value: bytes | None) -> None:
        event = None if value is None else decode(value, DIRECTORY.types).event
        self.agents.pop(key.decode(), None)
        if isinstance(event, AiAgentSaved):
            self.agents[key.decode()] = event

    def stale(self) -> Iterator[Callable[[Change], None]]:
        """What writes anew what is to be."""
        newest: dict[str, int] = {}
        for key in self.channels:
            channel, _, revision = key.rpartition("/")
            newest[channel] = max(newest.get(channel, 0), int(revision))
        for key, data in self.channels.items():
            channel, _, revision = key.rpartition("/")
            reading = _Reading(self.secrets)
            settings = from_stored(data, reading.decrypt)
            kept = self._kept(settings) if int(revision) == newest[channel] else settings.webhook_kept
            if reading.old or kept != settings.webhook_kept:
                yield partial(_save_channel, settings.model_copy(update={"webhook_kept": kept}))
        for key, event in self.agents.items():
            reading = _Reading(self.secrets)
            agent = _AGENT.validate_python(agent_from_stored(event.settings, reading.decrypt))
            if reading.old:
                yield partial(_save_agent, key, event, agent)
        for user in self.access.users():
            factor, reading = user.second_factor, _Reading(self.secrets)
            if factor is None:
                continue
            secret = reading.decrypt(factor.secret)
            if reading.old:
                again = factor.model_copy(update={"secret": self.secrets.encrypt(secret)})
                yield partial(_save_user, user.model_copy(update={"second_factor": again}))

    def _kept(self, settings: ChannelSettings) -> SecretStr | None:
        """The tokens that count, of all keys but the newest: addresses stay as they are."""
        rotations = [settings.webhook_rotation]
        if settings.webhook_previous and settings.webhook_rotation:
            rotations.append(settings.webhook_rotation - 1)
        old = "" if settings.webhook_kept is None else settings.webhook_kept.get_secret_value()
        pairs = {
            f"{rotation}:{webhook_token(key, settings.id, rotation)}": None
            for rotation in rotations
            for key in self.secrets.keys()[1:]
        }
        return SecretStr(" ".join(dict.fromkeys(old.split()) | pairs)) if old or pairs else None


class _Reading:
    """Decrypts, and notes whether anything was not encrypted with the newest key."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets, self.old = secrets, False

    def decrypt(self, stored: str) -> str:
        try:
            return Fernet(self._secrets.keys()[0]).decrypt(stored).decode()
        except InvalidToken:
            self.old = True
            return self._secrets.decrypt(stored)


def _save_channel(settings: ChannelSettings, change: Change) -> None:
    change.reseal_channel(settings)


def _save_agent(key: str, event: AiAgentSaved, agent: GptAgent | HttpAgent, change: Change) -> None:
    stored = {**event.settings, **agent_to_stored(agent, change.encrypt)}
    change.reseal_agent(key, event.model_copy(update={"settings": stored}))


def _save_user(user: UserSaved, change: Change) -> None:
    change.save_user(user)


async def rotate(settings: Settings) -> int:
    """Add a new key, where there is but one, and encrypt with it all that is stored. Returns how many records.

    Raises LiveDeskError.
    """
    secrets = load_secrets(settings)
    if len(secrets.keys()) == 1:
        if settings.secret_key is not None:
            raise LiveDeskError(
                "LIVEDESK_SECRET_KEY holds one key.",
                "Put a new one (livedesk keys new) and a comma before it, for every process; start these again one "
                "after the other; then repeat this.",
            )
        _put(settings.data_dir / KEY_FILE, [Fernet.generate_key(), *secrets.keys()])
        secrets.look()
    async with _journal(settings, secrets, "rotate_keys") as (write, _):
        return await write()


async def retire(settings: Settings) -> int:
    """Take out all keys but the newest, when nothing that is stored needs them. Returns how many.

    Raises LiveDeskError.
    """
    secrets = load_secrets(settings)
    old = len(secrets.keys()) - 1
    if old:
        async with _journal(settings, secrets, "retire_keys") as (write, stored):
            await write()
            left = sum(1 for _ in stored.stale())
        if left:
            raise LiveDeskError("Something was written with the old key meanwhile.", "Repeat it.")
        if settings.secret_key is None:
            path = settings.data_dir / KEY_FILE
            _put(path, read_keys(path)[:1])
    return old


def _put(path: Path, keys: list[bytes]) -> None:
    try:
        replace_keys(path, keys)
    except OSError as error:
        raise LiveDeskError(f"The key file {path} can't be written: {error.strerror}.") from error


@asynccontextmanager
async def _journal(settings: Settings, secrets: Secrets, action: str) -> AsyncIterator[tuple[_Write, _Stored]]:
    quiet_loggers()
    stored, prefix = _Stored(secrets), settings.topic_prefix
    followers = {
        topic.full_name(prefix): TopicFollower(settings.kafka, topic.full_name(prefix), apply)
        for topic, apply in (
            (CHANNELS, stored.apply_channel),
            (DIRECTORY, stored.apply_agent),
            (ACCESS, stored.access.apply),
        )
    }
    journal = KafkaJournal(
        settings.kafka,
        followers,
        prefix=prefix,
        encrypt=secrets.encrypt,
        clock=wall_clock,
        new_id=lambda: uuid4().hex,
        deadline=60.0,
    )

    async def write() -> int:
        number = 0

        def fill(change: Change) -> None:
            nonlocal number
            some = [one for one, _ in zip(stored.stale(), range(_AT_ONCE), strict=False)]
            number = len(some)
            for save in some:
                save(change)
            if number or first:
                change.audit(terminal().id, action, "keys", None, None, None)

        written, first = 0, True
        while first or number:
            await journal.write(fill)
            written, first = written + number, False
        return written

    try:
        # It also says what is wrong: to follow a topic that does not exist would take 40 s to fail.
        async with committed_reader(settings.kafka) as reader:
            for topic in followers:
                await reader.partitions(topic)
        for follower in followers.values():
            await follower.start()
        yield write, stored
    except NotDurable as error:
        raise LiveDeskError(f"It could not be written: {error}.", "Is Kafka healthy? Repeat it.") from error
    finally:
        for follower in followers.values():
            await follower.stop()

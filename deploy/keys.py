"""Replacing the installation's key while everything runs: a new key is added, what is stored is encrypted with it, and
the old one is taken out.

Every step may be repeated, and at every moment the keys that there are can read all that is stored. All desk processes
write through one journal, which ends what another has begun: so after the first change that is written here no process
writes with the old key any more.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from uuid import uuid4

from cryptography.fernet import Fernet, InvalidToken
from pydantic import JsonValue, SecretStr

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
from schemas.record import decode
from schemas.settings.channel import SEALED, ChannelSettings, from_stored
from schemas.topics import ACCESS, CHANNELS
from streams.clock import wall_clock

_Write = Callable[[], Awaitable[int]]
_AT_ONCE: Final = 200
"""Records of one transaction."""


@dataclass
class _Stored:
    """What is stored encrypted, as it is on the topics: revisions of channels, and users."""

    secrets: Secrets
    channels: dict[str, dict[str, JsonValue]] = field(default_factory=dict)
    access: AccessDirectory = field(default_factory=AccessDirectory)

    def apply_channel(self, key: bytes, value: bytes | None) -> None:
        event = None if value is None else decode(value, CHANNELS.types).event
        if isinstance(event, ChannelSaved):
            self.channels[key.decode()] = event.settings

    def stale(self) -> Iterator[ChannelSettings | UserSaved]:
        """What is to be written anew, as it is to be."""
        newest: dict[str, int] = {}
        for key in self.channels:
            channel, _, revision = key.rpartition("/")
            newest[channel] = max(newest.get(channel, 0), int(revision))
        for key, data in self.channels.items():
            channel, _, revision = key.rpartition("/")
            settings = from_stored(data, self.secrets.decrypt)
            kept = self._kept(settings) if int(revision) == newest[channel] else settings.webhook_kept
            sealed = [str(data[name]) for name in SEALED if data.get(name)]
            if kept != settings.webhook_kept or not all(map(self._new, sealed)):
                yield settings.model_copy(update={"webhook_kept": kept})
        for user in self.access.users():
            factor = user.second_factor
            if factor is not None and not self._new(factor.secret):
                again = self.secrets.encrypt(self.secrets.decrypt(factor.secret))
                yield user.model_copy(update={"second_factor": factor.model_copy(update={"secret": again})})

    def _new(self, sealed: str) -> bool:
        try:
            Fernet(self.secrets.keys()[0]).decrypt(sealed)
        except InvalidToken:
            return False
        return True

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
        for topic, apply in ((CHANNELS, stored.apply_channel), (ACCESS, stored.access.apply))
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
            for one in some:
                if isinstance(one, UserSaved):
                    change.save_user(one)
                else:
                    change.reseal_channel(one)
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

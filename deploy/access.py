"""Tokens and users from the terminal: written to Kafka by whoever has it and the installation's key."""

import getpass
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

from aiohttp import ClientSession

from bus.aiokafka_fixes import quiet_loggers
from bus.follower import TopicFollower
from bus.publisher import NotDurable
from deploy.errors import LiveDeskError
from deploy.kafka.committed import committed_reader
from deploy.secrets import KEY_FILE, Secrets, load_secrets
from deploy.settings import Settings
from desk.access.admission import AdmissionRules
from desk.access.directory import AccessDirectory
from desk.access.oidc import OidcClient, OidcSettings
from desk.access.permissions import Actor
from desk.access.writer import AccessWriter
from desk.api.oidc import CALLBACK
from desk.kafka_journal import KafkaJournal
from schemas.events.access import Grant, Role
from schemas.topics import ACCESS
from streams.clock import wall_clock


@dataclass(frozen=True)
class Access:
    """Everybody who may call, and what changes that."""

    directory: AccessDirectory
    writer: AccessWriter


def terminal() -> Actor:
    """Whoever is at the terminal."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # as in a container, whose user has no name
        name = str(os.getuid())
    return Actor(f"terminal/{name}", name, Grant(role=Role.ADMIN))


@asynccontextmanager
async def open_access(settings: Settings) -> AsyncIterator[Access]:
    """Tokens and users as they are now. Raises LiveDeskError, also where a change inside is not durable."""
    quiet_loggers()
    secrets, directory = _secrets(settings), AccessDirectory()
    topic = ACCESS.full_name(settings.topic_prefix)
    follower = TopicFollower(settings.kafka, topic, directory.apply)
    journal = KafkaJournal(
        settings.kafka,
        {topic: follower},
        prefix=settings.topic_prefix,
        encrypt=secrets.encrypt,
        clock=wall_clock,
        new_id=_new_id,
    )
    try:
        # It also says what is wrong: to follow a topic that does not exist would take 40 s to fail.
        async with committed_reader(settings.kafka) as reader:
            await reader.partitions(topic)
            await follower.start()
        yield Access(directory, AccessWriter(directory, journal, new_id=_new_id, random_bytes=os.urandom))
    except NotDurable as error:
        raise LiveDeskError(f"It could not be saved: {error}.", "Is Kafka healthy? Try again.") from error
    finally:
        await follower.stop()


def oidc(settings: Settings, http: ClientSession) -> tuple[OidcClient, AdmissionRules] | None:
    """The OIDC provider of the settings, and who is admitted by it; None: there is none."""
    if settings.oidc_issuer is None or settings.oidc_client_id is None or settings.desk_url is None:
        return None
    provider = OidcSettings(
        settings.oidc_issuer,
        settings.oidc_client_id,
        settings.desk_url.rstrip("/") + CALLBACK,
        settings.oidc_client_secret,
    )
    # As they are on the topic, so that a grant that is the same is found to be the same.
    grants = {value: Grant.model_validate(grant.model_dump()) for value, grant in settings.oidc_grants.items()}
    rules = AdmissionRules(settings.oidc_domains, settings.oidc_claim, grants)
    return OidcClient(provider, http, clock=wall_clock, random_bytes=os.urandom), rules


def _new_id() -> str:
    return uuid4().hex


def _secrets(settings: Settings) -> Secrets:
    if settings.secret_key is None and not (settings.data_dir / KEY_FILE).exists():
        raise LiveDeskError(
            "The installation's key is not here: only who has it makes tokens and users in the terminal.",
            "Set LIVEDESK_SECRET_KEY or LIVEDESK_DATA_DIR, or start the pipeline here once.",
        )
    return load_secrets(settings)

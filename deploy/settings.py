"""Settings of a process, from the environment. Read once by the command line and passed on."""

import os
import re
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Final, Self

import orjson
import platformdirs
from cryptography.fernet import Fernet
from pydantic import ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from bus.connection import KafkaConnection
from deploy.errors import LiveDeskError
from desk.access.permissions import incomplete
from media.store import folder_url
from providers.registry import base_urls
from schemas.events.access import Grant
from schemas.settings.network import Network

DEFAULT_BROKER_PORT = 19092


class KafkaEnvironment(BaseSettings, KafkaConnection):
    """KAFKA_BOOTSTRAP_SERVERS and the other KAFKA_ variables."""

    model_config = SettingsConfigDict(env_prefix="KAFKA_", env_ignore_empty=True, frozen=True)


def _kafka_connection(validated: dict[str, Any]) -> KafkaConnection:
    given = KafkaEnvironment().model_dump(exclude_unset=True)
    # On a laptop `livedesk broker start` is all the set-up there is.
    embedded = f"127.0.0.1:{validated.get('broker_port', DEFAULT_BROKER_PORT)}"
    return KafkaConnection(**{"bootstrap_servers": embedded, **given})


_MENDED_BY: Final = "Set the environment variable, or unset it."


def url_variable(api: str) -> str:
    """The environment variable that puts another server in the place of a provider's REST API."""
    return f"LIVEDESK_{api.replace('/', '_').upper()}_URL"


def _provider_urls() -> dict[str, str]:
    urls = {api: os.environ.get(url_variable(api)) or url for api, url in base_urls().items()}
    for api, url in urls.items():
        if not url.startswith(("http://", "https://")):
            raise LiveDeskError(f"{url_variable(api)}: must begin with http:// or https://", _MENDED_BY)
    return urls


class MappedGrant(Grant):
    """A grant as the environment has it: what is mistyped must not pass for what is left out."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Settings(BaseSettings):
    """LIVEDESK_PARTITIONS and the other LIVEDESK_ variables, and the Kafka connection of KafkaEnvironment.

    Without KAFKA_BOOTSTRAP_SERVERS the connection is to the embedded broker.
    """

    model_config = SettingsConfigDict(env_prefix="LIVEDESK_", env_ignore_empty=True, frozen=True)

    partitions: int = Field(
        default=4,
        ge=1,
        le=1000,
        description="Partitions of every stage's topics, so also the most workers a stage can use. "
        "Chosen once: changing it moves keys to other partitions.",
    )
    replication_factor: int = Field(
        default=1,
        ge=1,
        description="Copies of every partition. 3 on a cluster: with 1 a dead broker stops the pipeline.",
    )
    topic_prefix: str = Field(
        default="livedesk.",
        pattern=r"^[A-Za-z0-9._-]{0,100}$",
        description="Starts every topic, consumer group and transactional id: installations can share a cluster.",
    )
    data_dir: Path = Field(
        default_factory=lambda: platformdirs.user_data_path("livedesk"),
        description="The embedded broker's data and the ingress spool: what must survive a restart.",
    )
    cache_dir: Path = Field(
        default_factory=lambda: platformdirs.user_cache_path("livedesk"),
        description="Apache Kafka's jars. Can be deleted: they are fetched again.",
    )
    secret_key: SecretStr | None = Field(
        default=None,
        description="Fernet key that encrypts channel secrets at rest, or several, the newest first, with commas; "
        "the same for every process, and kept: without it stored secrets can't be read.",
    )
    trusted_proxies: str = Field(
        default="",
        description="Networks of the proxies before ingress and the desk, with commas: their X-Forwarded-For counts.",
    )
    token: SecretStr | None = Field(default=None, description="API token that the commands call the control API with.")
    provider_urls: dict[str, str] = Field(
        default_factory=_provider_urls,
        description="The providers' REST APIs, or the sandbox that stands in for them: a variable each.",
    )
    public_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^?#]+$",
        description="Where providers reach ingress from outside. Twilio signs callbacks with it, and reports statuses "
        "to it: without it neither works behind a proxy.",
    )
    desk_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^?#]+$",
        description="Where browsers reach the control API from outside: the OIDC provider sends people back there.",
    )
    require_second_factor: bool = Field(
        default=False,
        description="Whether people who sign in with a password may do nothing before they have set a second factor.",
    )
    oidc_issuer: str | None = Field(
        default=None,
        pattern=r"^(https://|http://(127\.0\.0\.1|localhost)[:/])[^?#]+$",
        description="The OpenID Connect provider where people may sign in; needs LIVEDESK_DESK_URL and a client id.",
    )
    oidc_client_id: str | None = Field(default=None, description="The id that the OIDC provider knows us by.")
    oidc_client_secret: SecretStr | None = Field(
        default=None, description="The OIDC client's secret; none for a public client."
    )
    oidc_domains: Annotated[frozenset[str], NoDecode] = Field(
        default=frozenset(),
        description="Only people with a verified email address of these domains may sign in at the OIDC provider.",
    )
    oidc_claim: str | None = Field(
        default=None, description="The claim of the OIDC provider that says what people may, such as groups."
    )
    oidc_grants: Annotated[dict[str, MappedGrant], NoDecode] = Field(
        default={},
        description="What each value of that claim allows, as JSON, the first match counts: "
        '{"chiefs": {"role": "supervisor", "account": "main"}}.',
    )
    ai_url: str | None = Field(
        default=None,
        pattern=r"^https?://",
        description="The AI agent, which is asked at {url}/v1/answers, or the sandbox's: {sandbox}/ai. "
        "Without it a conversation that would be the AI agent's goes to a human.",
    )
    tool_urls: Annotated[frozenset[str], NoDecode] = Field(
        default=frozenset(),
        description="Addresses of your own network that AI agents' tools may call, with their ports and a comma "
        "between: http://orders.internal:8080. Public ones may be called always.",
    )
    database_url: SecretStr | None = Field(
        default=None,
        description="Where the desk keeps what people query: postgresql://user:password@host/name. "
        "Without it SQLite, in desk.db in the data folder.",
    )
    broker_port: int = Field(
        default=DEFAULT_BROKER_PORT,
        ge=1,
        le=65535,
        description="Port of the embedded broker on 127.0.0.1; not 9092, where another Kafka may be.",
    )
    max_body_bytes: int = Field(
        default=3 * 2**20,
        ge=1024,
        le=3 * 2**20,
        description="Largest callback that ingress takes: Meta's have up to 3 MB. Topics take records of 5 MiB, "
        "and a callback must still fit as a dead letter, where it may be a third larger.",
    )
    spool_max_bytes: int = Field(
        default=2**30,
        ge=2**20,
        description="What each ingress process may keep on its disk, below data_dir, while Kafka takes no callbacks: "
        "a gigabyte is about ten minutes at 1,000 a second. Then they are answered with 503.",
    )
    media_url: str | None = Field(
        default=None,
        pattern=r"^(file|s3|gs|az)://",
        description="Where files are kept: file:///folder, s3://bucket/prefix (with the usual AWS_ variables), "
        "gs:// or az://; the same for every process. Without it: the folder media in LIVEDESK_DATA_DIR.",
    )
    media_max_bytes: int = Field(
        default=100 * 2**20,
        ge=1024,
        description="Largest file that is fetched from a provider, or uploaded to be sent.",
    )
    media_retention_days: int | None = Field(
        default=None,
        ge=1,
        description="After so many days files are deleted. Without it they are kept.",
    )
    maven_repository: str | None = Field(
        default=None,
        pattern=r"^https?://",
        description="Maven repository that Kafka's jars are fetched from, where only a company's mirror is reachable; "
        "else Maven Central.",
    )
    kafka: KafkaConnection = Field(
        default_factory=_kafka_connection, description="How Kafka is reached: see the KAFKA_ variables."
    )

    @property
    def spool_root(self) -> Path:
        """Where the ingress processes of this installation have their spools."""
        return self.data_dir / "spool" / f"{self.topic_prefix}webhooks"

    @property
    def media_store_url(self) -> str:
        """The media store's URL."""
        return self.media_url or folder_url(self.data_dir / "media")

    @field_validator("oidc_domains", mode="before")
    @classmethod
    def _listed(cls, domains: object) -> object:
        return [one.strip().lower() for one in domains.split(",")] if isinstance(domains, str) else domains

    @field_validator("tool_urls", mode="before")
    @classmethod
    def _are_urls(cls, urls: object) -> object:
        listed = [one.strip() for one in urls.split(",")] if isinstance(urls, str) else urls
        if isinstance(listed, list) and not all(re.fullmatch(r"https?://[^/\s]+/?", one) for one in listed):
            raise ValueError("must be addresses such as http://orders.internal:8080, with a comma between")
        return listed

    @field_validator("oidc_grants", mode="before")
    @classmethod
    def _from_json(cls, grants: object) -> object:
        try:
            return orjson.loads(grants) if isinstance(grants, str) else grants
        except orjson.JSONDecodeError:
            raise ValueError('must be JSON, such as {"chiefs": {"role": "supervisor", "account": "main"}}') from None

    @field_validator("oidc_grants")
    @classmethod
    def _are_complete(cls, grants: dict[str, MappedGrant]) -> dict[str, MappedGrant]:
        for value, grant in grants.items():
            if (missing := incomplete(grant)) is not None:
                raise ValueError(f"{value}: {missing.field.removeprefix('grant.')} {missing.message}")
        return grants

    @model_validator(mode="after")
    def _oidc_is_whole(self) -> Self:
        if self.oidc_issuer is not None and (self.oidc_client_id is None or self.desk_url is None):
            raise ValueError("LIVEDESK_OIDC_ISSUER needs LIVEDESK_OIDC_CLIENT_ID and LIVEDESK_DESK_URL")
        if bool(self.oidc_claim) != bool(self.oidc_grants):
            raise ValueError("LIVEDESK_OIDC_CLAIM and LIVEDESK_OIDC_GRANTS go together: set both or neither")
        return self

    @property
    def proxies(self) -> tuple[Network, ...]:
        """Those of trusted_proxies."""
        return tuple(ip_network(one.strip()) for one in self.trusted_proxies.split(",") if one.strip())

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, text: str) -> str:
        for one in text.split(","):
            if one.strip():
                ip_network(one.strip())
        return text

    @field_validator("secret_key")
    @classmethod
    def _is_fernet_key(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None:
            for one in key.get_secret_value().split(","):
                Fernet(one)
        return key


def load_settings() -> Settings:
    """Settings from the environment. Raises LiveDeskError that names each bad variable, never its value."""
    try:
        return Settings()
    except ValidationError as error:
        raise LiveDeskError(_explain(error), _MENDED_BY) from None


def _explain(error: ValidationError) -> str:
    prefix = "LIVEDESK_" if error.title == Settings.__name__ else "KAFKA_"
    problems = []
    for detail in error.errors(include_input=False, include_url=False):
        # Follows from another field's problem, which has a line of its own.
        if detail["type"] != "default_factory_not_called":
            variable = prefix + ("_".join(map(str, detail["loc"])).upper() or "*")
            problems.append(f"{variable}: {detail['msg'].removeprefix('Value error, ')}")
    return "\n".join(problems)

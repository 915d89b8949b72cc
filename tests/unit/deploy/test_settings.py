"""Settings from the environment, and the Kafka connection that they give."""

import os
import ssl
from pathlib import Path

import pytest
from aiohttp import ClientSession
from cryptography.fernet import Fernet
from pydantic import SecretStr, ValidationError

from bus.connection import KafkaConnection, client_options
from deploy.access import oidc
from deploy.errors import LiveDeskError
from deploy.settings import Settings, load_settings
from desk.access.admission import AdmissionRules
from providers.registry import base_urls
from schemas.events.access import Grant, Role


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("KAFKA_", "LIVEDESK_")):
            monkeypatch.delenv(name)


def test_without_any_variable_it_is_a_laptop() -> None:
    settings = load_settings()
    assert settings.kafka == KafkaConnection(bootstrap_servers="127.0.0.1:19092")
    assert (settings.partitions, settings.replication_factor, settings.topic_prefix) == (4, 1, "livedesk.")
    assert settings.secret_key is None
    assert settings.data_dir.name == settings.cache_dir.name == "livedesk"


def test_the_embedded_broker_is_used_at_its_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVEDESK_BROKER_PORT", "23456")
    assert load_settings().kafka.bootstrap_servers == "127.0.0.1:23456"


def test_a_cluster_with_a_login(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "k1.example:9094,k2.example:9094")
    monkeypatch.setenv("KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    monkeypatch.setenv("KAFKA_SASL_MECHANISM", "SCRAM-SHA-512")
    monkeypatch.setenv("KAFKA_SASL_USERNAME", "desk")
    monkeypatch.setenv("KAFKA_SASL_PASSWORD", "correct horse")
    connection = load_settings().kafka
    assert type(connection) is KafkaConnection
    assert "correct horse" not in repr(load_settings())

    options = client_options(connection)
    assert isinstance(options.pop("ssl_context"), ssl.SSLContext)
    assert options == {
        "bootstrap_servers": "k1.example:9094,k2.example:9094",
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "desk",
        "sasl_plain_password": "correct horse",
    }


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "")
    monkeypatch.setenv("LIVEDESK_SECRET_KEY", "")
    assert load_settings().kafka.bootstrap_servers == "127.0.0.1:19092"
    assert load_settings().secret_key is None


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("LIVEDESK_PARTITIONS", "0", "LIVEDESK_PARTITIONS: Input should be greater than or equal to 1"),
        ("LIVEDESK_TOPIC_PREFIX", "live desk", "LIVEDESK_TOPIC_PREFIX: String should match pattern"),
        ("LIVEDESK_BROKER_PORT", "seventy", "LIVEDESK_BROKER_PORT: Input should be a valid integer"),
        ("LIVEDESK_SECRET_KEY", "too-short", "LIVEDESK_SECRET_KEY: Fernet key must be 32"),
        ("LIVEDESK_MAVEN_REPOSITORY", "ftp://mirror", "LIVEDESK_MAVEN_REPOSITORY: String should match pattern"),
        ("LIVEDESK_TWILIO_CONTENT_URL", "ftp://x", "LIVEDESK_TWILIO_CONTENT_URL: must begin with http:// or https://"),
        ("KAFKA_SECURITY_PROTOCOL", "TLS", "KAFKA_SECURITY_PROTOCOL: Input should be 'PLAINTEXT', "),
        ("KAFKA_SECURITY_PROTOCOL", "SASL_SSL", r"KAFKA_\*: SASL_SSL needs sasl_mechanism"),
        ("KAFKA_SASL_PASSWORD", "s3cret", r"KAFKA_\*: PLAINTEXT does not log in"),
    ],
)
def test_a_bad_variable_is_named_and_its_value_is_not_shown(
    name: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(LiveDeskError, match=f"^{message}") as caught:
        load_settings()
    assert "\n" not in caught.value.message
    assert value not in caught.value.message or value == "SASL_SSL"


def test_a_provider_s_api_is_where_its_variable_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVEDESK_TWILIO_CONTENT_URL", "http://127.0.0.1:8900")
    monkeypatch.setenv("LIVEDESK_TWILIO_URL", "")
    elsewhere = {"twilio/content": "http://127.0.0.1:8900"}
    assert load_settings().provider_urls == base_urls() | elsewhere


def test_the_secret_key_encrypts_and_stays_out_of_sight(monkeypatch: pytest.MonkeyPatch) -> None:
    key = Fernet.generate_key().decode()
    monkeypatch.setenv("LIVEDESK_SECRET_KEY", key)
    settings = load_settings()
    assert settings.secret_key is not None
    assert settings.secret_key.get_secret_value() == key
    assert key not in repr(settings)


@pytest.mark.parametrize("model", [Settings, KafkaConnection])
def test_every_option_says_why(model: type[Settings] | type[KafkaConnection]) -> None:
    assert [name for name, field in model.model_fields.items() if not field.description] == []


def test_a_plain_connection_has_no_credentials() -> None:
    plain = {"bootstrap_servers": "127.0.0.1:9092", "security_protocol": "PLAINTEXT"}
    assert client_options(KafkaConnection()) == plain


def test_certificates_without_encryption_are_refused() -> None:
    with pytest.raises(ValidationError, match="PLAINTEXT is not encrypted"):
        KafkaConnection(ssl_cafile=Path("ca.pem"))
    with pytest.raises(ValidationError, match="ssl_keyfile needs ssl_certfile"):
        KafkaConnection(security_protocol="SSL", ssl_keyfile=Path("key.pem"))


def test_a_certificate_that_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    not_pem = tmp_path / "ca.pem"
    not_pem.write_text("not a certificate")
    with pytest.raises(ValueError, match=f"ssl_cafile {not_pem} cannot be loaded"):
        client_options(KafkaConnection(security_protocol="SSL", ssl_cafile=not_pem))
    missing = KafkaConnection(
        security_protocol="SASL_SSL",
        sasl_mechanism="PLAIN",
        sasl_username="desk",
        sasl_password=SecretStr("x"),
        ssl_certfile=tmp_path / "client.pem",
    )
    with pytest.raises(ValueError, match=r"ssl_certfile .*client\.pem.* cannot be loaded"):
        client_options(missing)


async def test_an_oidc_provider_and_who_is_admitted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVEDESK_OIDC_ISSUER", "https://id.example")
    monkeypatch.setenv("LIVEDESK_OIDC_CLIENT_ID", "livedesk")
    monkeypatch.setenv("LIVEDESK_OIDC_CLIENT_SECRET", "planted secret")
    monkeypatch.setenv("LIVEDESK_DESK_URL", "https://desk.example/")
    monkeypatch.setenv("LIVEDESK_OIDC_DOMAINS", "Example.com, example.org")
    monkeypatch.setenv("LIVEDESK_OIDC_CLAIM", "groups")
    monkeypatch.setenv("LIVEDESK_OIDC_GRANTS", '{"chiefs": {"role": "supervisor", "account": "main"}}')
    settings = load_settings()
    assert "planted secret" not in repr(settings)
    async with ClientSession() as http:
        found = oidc(settings, http)
    assert found is not None
    assert found[1] == AdmissionRules(
        frozenset({"example.com", "example.org"}), "groups", {"chiefs": Grant(role=Role.SUPERVISOR, account="main")}
    )


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"OIDC_ISSUER": "https://id.example"}, "needs LIVEDESK_OIDC_CLIENT_ID"),
        ({"OIDC_CLAIM": "groups"}, "go together"),
        ({"OIDC_CLAIM": "g", "OIDC_GRANTS": "{"}, "must be JSON"),
        ({"OIDC_CLAIM": "g", "OIDC_GRANTS": '{"a": {"role": "owner"}}'}, "LIVEDESK_OIDC_GRANTS_A_ROLE"),
        ({"OIDC_CLAIM": "g", "OIDC_GRANTS": '{"a": {"role": "read", "acount": "x"}}'}, "LIVEDESK_OIDC_GRANTS_A_ACOUNT"),
        ({"OIDC_CLAIM": "g", "OIDC_GRANTS": '{"a": {"role": "agent"}}'}, "agent is required"),
    ],
)
def test_an_oidc_provider_that_can_t_be_used(
    variables: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"LIVEDESK_{name}", value)
    with pytest.raises(LiveDeskError) as error:
        load_settings()
    assert said in error.value.message

"""How every process reaches Kafka."""

import ssl
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from bus.aiokafka_fixes import end_tls_at_once

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


class KafkaConnection(BaseModel):
    """Address and credentials of a Kafka cluster."""

    model_config = ConfigDict(frozen=True)

    bootstrap_servers: str = Field(
        default="127.0.0.1:9092",
        min_length=1,
        description="host:port, several separated by commas: more than one, so that a start survives a dead broker.",
    )
    security_protocol: SecurityProtocol = Field(
        default="PLAINTEXT", description="PLAINTEXT sends customers' messages in the clear: only for a local broker."
    )
    sasl_mechanism: SaslMechanism | None = Field(
        default=None, description="Required by SASL_PLAINTEXT and SASL_SSL; SCRAM does not send the password itself."
    )
    sasl_username: str | None = Field(default=None, description="Required by SASL_PLAINTEXT and SASL_SSL.")
    sasl_password: SecretStr | None = Field(default=None, description="Required by SASL_PLAINTEXT and SASL_SSL.")
    ssl_cafile: Path | None = Field(
        default=None, description="PEM file of the authority that signed the brokers' certificates; else the system's."
    )
    ssl_certfile: Path | None = Field(
        default=None, description="PEM certificate of this client, where the cluster asks for one (mutual TLS)."
    )
    ssl_keyfile: Path | None = Field(
        default=None, description="PEM private key of ssl_certfile; left out if the certificate file holds it."
    )

    @property
    def uses_tls(self) -> bool:
        return self.security_protocol in ("SSL", "SASL_SSL")

    @property
    def uses_sasl(self) -> bool:
        return self.security_protocol in ("SASL_PLAINTEXT", "SASL_SSL")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.uses_sasl and not (self.sasl_mechanism and self.sasl_username and self.sasl_password):
            raise ValueError(f"{self.security_protocol} needs sasl_mechanism, sasl_username and sasl_password")
        if not self.uses_sasl and (self.sasl_mechanism or self.sasl_username or self.sasl_password):
            # Credentials that are silently not used look like a login that works.
            raise ValueError(f"{self.security_protocol} does not log in: use SASL_SSL with a SASL user and password")
        if not self.uses_tls and (self.ssl_cafile or self.ssl_certfile or self.ssl_keyfile):
            raise ValueError(f"{self.security_protocol} is not encrypted: use SSL or SASL_SSL with certificate files")
        if self.ssl_keyfile and not self.ssl_certfile:
            raise ValueError("ssl_keyfile needs ssl_certfile")
        return self


def client_options(connection: KafkaConnection) -> dict[str, object]:
    """Keyword arguments for any aiokafka client (producer, consumer, admin).

    Raises ValueError, naming the files, when a certificate can't be loaded.
    """
    options: dict[str, object] = {
        "bootstrap_servers": connection.bootstrap_servers,
        "security_protocol": connection.security_protocol,
    }
    if connection.uses_tls:
        end_tls_at_once()
        options["ssl_context"] = _ssl_context(connection)
    if connection.uses_sasl and connection.sasl_password is not None:
        options["sasl_mechanism"] = connection.sasl_mechanism
        options["sasl_plain_username"] = connection.sasl_username
        options["sasl_plain_password"] = connection.sasl_password.get_secret_value()
    return options


def _ssl_context(connection: KafkaConnection) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=connection.ssl_cafile)
    except OSError as error:
        raise ValueError(f"ssl_cafile {connection.ssl_cafile} cannot be loaded: {error}") from error
    if connection.ssl_certfile:
        try:
            context.load_cert_chain(connection.ssl_certfile, connection.ssl_keyfile)
        except OSError as error:
            files = f"ssl_certfile {connection.ssl_certfile}, ssl_keyfile {connection.ssl_keyfile}"
            raise ValueError(f"{files} cannot be loaded: {error}") from error
    return context

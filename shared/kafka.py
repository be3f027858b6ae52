"""How a Kafka client of ours connects, and how it is stopped for certain.

Kafka's clients' own `stop` may hang where the broker is away, or leave tasks that keep a member in its group.
"""

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from faststream.security import BaseSecurity, SASLPlaintext, SASLScram256, SASLScram512
from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.errors import describe

log = logging.getLogger("ithaca.kafka")

LEAVE_SECONDS = 4.0
SASL = {"PLAIN": SASLPlaintext, "SCRAM-SHA-256": SASLScram256, "SCRAM-SHA-512": SASLScram512}


class KafkaSettings(BaseSettings):
    """Where Kafka is, and who we are there. Read from the environment, `ITHACA_KAFKA…`."""

    model_config = SettingsConfigDict(env_prefix="ITHACA_", hide_input_in_errors=True, extra="ignore")

    kafka: str = Field("127.0.0.1:9092", description="bootstrap servers, host:port[,host:port]")
    kafka_user: str = Field("", description="this service's principal at Kafka; none where the cluster asks for none")
    kafka_password: str = Field("", description="and its password")
    kafka_mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] = Field(
        "SCRAM-SHA-512", description="how the password is shown; PLAIN only over TLS"
    )
    kafka_tls: bool = Field(
        default=False,
        description="speak TLS and trust the system's authorities; each of the three files below switches it on too",
    )
    kafka_ca: str = Field("", description="PEM file of the authority that signed the brokers' certificates")
    kafka_certificate: str = Field(
        "", description="PEM file of our own certificate, for a cluster that knows its clients by theirs"
    )
    kafka_key: str = Field("", description="PEM file of its key")

    @property
    def speaks_tls(self) -> bool:
        return self.kafka_tls or any((self.kafka_ca, self.kafka_certificate, self.kafka_key))

    @model_validator(mode="after")
    def fits(self) -> Self:
        """Refuse at the start what would show much later, as a cluster that can't be reached."""
        if bool(self.kafka_user) != bool(self.kafka_password):
            raise ValueError("ITHACA_KAFKA_USER and ITHACA_KAFKA_PASSWORD go together")
        if bool(self.kafka_certificate) != bool(self.kafka_key):
            raise ValueError("ITHACA_KAFKA_CERTIFICATE and ITHACA_KAFKA_KEY go together")
        if self.kafka_user and self.kafka_mechanism == "PLAIN" and not self.speaks_tls:
            raise ValueError(
                "ITHACA_KAFKA_MECHANISM=PLAIN would send the password as it is: set ITHACA_KAFKA_TLS or ITHACA_KAFKA_CA"
            )
        return self

    def kafka_client(self) -> dict[str, Any]:
        """What every Kafka client of ours is given. Raises ValueError for a file that can't be used."""
        given: dict[str, Any] = {"bootstrap_servers": self.kafka}
        if self.speaks_tls or self.kafka_user:
            given["security_protocol"] = f"{'SASL_' if self.kafka_user else ''}{'SSL' if self.speaks_tls else 'PLAINTEXT'}"
        if self.speaks_tls:
            given["ssl_context"] = self._tls()
        if self.kafka_user:
            given["sasl_mechanism"] = self.kafka_mechanism
            given["sasl_plain_username"], given["sasl_plain_password"] = self.kafka_user, self.kafka_password
        return given

    def _tls(self) -> ssl.SSLContext:
        """Checks the broker's certificate and its name, whatever else is set."""
        try:
            context = ssl.create_default_context(cafile=self.kafka_ca or None)
            if self.kafka_certificate:
                context.load_cert_chain(self.kafka_certificate, self.kafka_key)
        except OSError as error:
            names = "ITHACA_KAFKA_CA, ITHACA_KAFKA_CERTIFICATE or ITHACA_KAFKA_KEY"
            raise ValueError(f"{names} names no file that can be used ({type(error).__name__})") from None
        return context


def security_of(client: Mapping[str, Any]) -> BaseSecurity | None:
    """The same for FastStream's broker, which takes no client's own words."""
    tls = client.get("ssl_context")
    if (mechanism := client.get("sasl_mechanism")) is not None:
        return SASL[mechanism](client["sasl_plain_username"], client["sasl_plain_password"], tls, use_ssl=tls is not None)
    return BaseSecurity(tls, use_ssl=True) if tls is not None else None


async def leave(client: AIOKafkaConsumer | AIOKafkaProducer | None, stop: Callable[[], Awaitable[Any]]) -> None:
    """Have `stop` stop the client within a few seconds; whatever is left of it then, or where we are cancelled, is ended."""
    stopping = asyncio.ensure_future(stop())
    try:
        await asyncio.wait([stopping], timeout=LEAVE_SECONDS)
    finally:
        if stopping.done() and not stopping.cancelled() and (error := stopping.exception()):
            log.warning("Kafka's client didn't stop: %s", describe(error))
        stopping.cancel()
        if client is not None:  # one that says it has stopped may have a task that swallowed its cancellation
            _end(client)


def _end(client: Any) -> None:
    """Cancel the tasks of a client's parts and close its connections."""
    network = getattr(client, "_client", None) or client.client
    names = ("_coordinator", "_fetcher", "_sender", "_message_accumulator")
    parts = [network, *(part for name in names if (part := getattr(client, name, None)))]
    for task in asyncio.all_tasks():
        frame = getattr(task.get_coro(), "cr_frame", None)
        if frame is not None and any(frame.f_locals.get("self") is part for part in parts):
            task.cancel()
    for connection in list(network._conns.values()):  # noqa: SLF001 - nothing public closes them without waiting
        connection.close()

"""Starting while Kafka is not there: waiting for it, and saying so."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from bus.connection import KafkaConnection, client_options
from deploy.errors import LiveDeskError

logger = logging.getLogger(__name__)

_AGAIN_SECONDS: Final = 0.5
_SAY_EVERY_SECONDS: Final = 60.0

Result = TypeVar("Result")


async def when_kafka_is_there(connection: KafkaConnection, connect: Callable[[], Awaitable[Result]]) -> Result:
    """Try to connect until it succeeds. What has another reason than that Kafka can't be reached is raised."""
    began, say_next = time.monotonic(), 0.0
    while True:
        try:
            result = await connect()
        # aiokafka asserts that a broker names itself (client.py l. 532): one that just came back may not yet.
        except (KafkaError, OSError, TimeoutError, AssertionError) as error:
            now = time.monotonic()
            if now >= say_next:
                logger.warning(
                    "Kafka can't be reached at %s (%s): waiting until it is. On a laptop: livedesk broker start; "
                    "else KAFKA_BOOTSTRAP_SERVERS says where it is",
                    connection.bootstrap_servers,
                    type(error).__name__,
                )
                say_next = now + _SAY_EVERY_SECONDS
            await asyncio.sleep(_AGAIN_SECONDS)
        else:
            if say_next:
                logger.warning("Kafka is reached, after %.0f s", time.monotonic() - began)
            return result


async def until_kafka_answers(connection: KafkaConnection) -> None:
    """Wait until a broker answers. Raises LiveDeskError: the certificates can't be used."""
    try:
        options = client_options(connection)
    except ValueError as error:
        raise LiveDeskError(f"{error}.", "Set the KAFKA_SSL_ variables to readable PEM files.") from error

    async def ask() -> None:
        admin = AIOKafkaAdminClient(**options)
        try:
            await admin.start()
        finally:
            await admin.close()

    await when_kafka_is_there(connection, ask)

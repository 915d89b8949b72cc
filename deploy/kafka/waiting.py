"""Starting while Kafka is not there: waiting for it, and saying so."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from aiokafka.errors import KafkaError

from bus.connection import KafkaConnection

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

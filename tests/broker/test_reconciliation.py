"""A picture at Twilio whose callback never came is found, fetched and told once, on a real Kafka."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

from bus.connection import KafkaConnection
from deploy.kafka.topics import apply
from deploy.processes.worker import open_environment
from deploy.secrets import load_secrets
from deploy.settings import load_settings
from providers.registry import base_urls
from schemas.events.conversation import ConversationMediaStored, ConversationMessageReceived
from schemas.settings.channels_file import parse_channels_file
from schemas.topics import CONVERSATIONS, RECONCILIATIONS
from simulation.sandbox.accounts import Account
from simulation.sandbox.app import build_app, serve
from simulation.sandbox.customers import CustomerMessage
from simulation.sandbox.providers import Providers
from simulation.sandbox.stand_in import STAND_INS
from streams.clock import ManualClock, wall_clock
from streams.runtime.worker import Worker
from streams.topology import TOPOLOGY, all_topics
from tests.support.files import picture
from tests.support.reading import committed_records, until
from tests.support.servers import Servers

CREDENTIALS = STAND_INS["twilio"].make_credentials("desk")
CHANNELS = parse_channels_file(
    {
        "agents": [{"id": "irene", "state": "online"}],
        "channels": [
            {
                "id": "desk",
                "provider": "twilio",
                "phone_number": "+34611000111",
                "human_agents": ["irene"],
                "reconcile": True,
                **CREDENTIALS,
            }
        ],
    }
)


async def test_a_message_whose_callback_never_came_is_found_with_its_file(
    kafka: KafkaConnection, topic_prefix: str, tmp_path: Path
) -> None:
    clock = ManualClock(wall_clock())
    providers = Providers([Account.of(CHANNELS.channels[0])])
    own = {"kafka": kafka, "topic_prefix": topic_prefix, "partitions": 2, "data_dir": tmp_path}
    async with serve(build_app(providers, clock)) as url:
        # Twilio's files are on another host than its API.
        urls = base_urls() | {"twilio": url, "twilio/content": url.replace("127.0.0.1", "localhost")}
        settings = load_settings().model_copy(update={**own, "provider_urls": urls})
        await apply(kafka, topic_prefix, all_topics(), partitions=2, replication_factor=1)
        async with (
            Servers(settings, channels=CHANNELS),
            open_environment(settings, load_secrets(settings), clock=clock) as env,
        ):
            worker = Worker(env, TOPOLOGY)
            await worker.start()
            try:
                file = providers.state.files.put(picture(), "image/jpeg")
                lost = CustomerMessage(contact="34622333444", text="Look", type="image", file=file.id)
                clock.now += timedelta(seconds=30)
                (callback,) = providers.customers_write([lost], clock(), base_url=url)
                await until(lambda: worker.ready, "the worker")
                events: list[Any] = []
                async with asyncio.timeout(60):
                    while not any(isinstance(one, ConversationMediaStored) for one in events):
                        clock.now += timedelta(seconds=30)
                        events = [one.event for one in await committed_records(kafka, topic_prefix, CONVERSATIONS)]
                (message,) = [one for one in events if isinstance(one, ConversationMessageReceived)]
                assert (message.text, message.kind) == ("Look", "image")
                assert callback.request.body.decode().count(message.message_id) > 0
                # What was found passes through intake as a callback does.
                written = await committed_records(kafka, topic_prefix, RECONCILIATIONS)
                assert [one.event.type for one in written].count("callback.taken") == 1
            finally:
                await worker.stop()

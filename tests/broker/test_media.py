"""Files both ways through the whole pipeline on a real Kafka: a picture comes in, a document goes out by a link."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
from aiohttp import ClientSession, web

from bus.connection import KafkaConnection
from deploy.kafka.topics import apply
from deploy.media import open_store
from deploy.processes.worker import open_environment
from deploy.secrets import load_secrets
from deploy.settings import load_settings
from providers.registry import base_urls
from schemas.events.conversation import ConversationMediaFailed, ConversationMediaStored, ConversationMessageReceived
from schemas.settings.channels_file import parse_channels_file
from schemas.topics import CONVERSATIONS
from streams.runtime.worker import Worker
from streams.topology import TOPOLOGY, all_topics
from tests.support.files import PDF, picture
from tests.support.reading import committed_records, until
from tests.support.servers import Servers

JPEG = picture(size=(900, 600))
CHANNELS = parse_channels_file(
    {
        "agents": [{"id": "irene", "state": "online"}],
        "channels": [
            {
                "id": "desk",
                "phone_number": "+34611000111",
                "dev_key": "k",
                "dev_secret": "s",
                "human_agents": ["irene"],
            }
        ],
    }
)


class EngageLab:
    """Takes sends, and gives the picture at the second request for it."""

    def __init__(self) -> None:
        self.sends: list[dict[str, Any]] = []
        self.asked = 0

    async def take(self, request: web.Request) -> web.Response:
        self.sends.append(orjson.loads(await request.read()))
        return web.json_response({"message_id": "p1", "request_id": "r1"})

    async def give(self, request: web.Request) -> web.Response:
        self.asked += 1
        return web.Response(status=404) if self.asked == 1 else web.Response(body=JPEG, content_type="text/html")

    @asynccontextmanager
    async def served(self) -> AsyncIterator[str]:
        app = web.Application()
        app.add_routes([web.post("/v1/messages", self.take), web.get("/picture", self.give)])
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        await runner.cleanup()


def callback(url: str) -> dict[str, Any]:
    def row(id: str, image: dict[str, str]) -> dict[str, Any]:
        data = {
            "channel_message_id": id,
            "contact": {"profile": {"name": "Ana"}, "wa_id": "34622333444"},
            "message": {"type": "image", "image": image},
        }
        return {"server": "whatsapp", "from": "34622333444", "response": {"event": "received", "response_data": data}}

    return {"total": 2, "rows": [row("m1", {"link": f"{url}/picture", "caption": "Look"}), row("m2", {"id": "9"})]}


async def test_a_picture_is_stored_and_a_document_sent(
    kafka: KafkaConnection, topic_prefix: str, tmp_path: Path
) -> None:
    provider = EngageLab()
    async with provider.served() as url, ClientSession() as http:
        own = {"kafka": kafka, "topic_prefix": topic_prefix, "partitions": 2, "data_dir": tmp_path}
        settings = load_settings().model_copy(update={**own, "provider_urls": base_urls() | {"engagelab": url}})
        await apply(kafka, topic_prefix, all_topics(), partitions=2, replication_factor=1)
        secrets = load_secrets(settings)
        public = settings.model_copy(update={"public_url": "http://desk.example/base"})
        async with (
            Servers(public, channels=CHANNELS) as ingress,
            open_environment(public, secrets) as env,
        ):
            worker = Worker(env, TOPOLOGY)
            await worker.start()
            try:
                async with http.post(ingress.webhook_url(ingress.channels[0]), json=callback(url)) as answer:
                    assert answer.status == 200
                events: list[Any] = []
                async with asyncio.timeout(60):
                    while sum(isinstance(one, ConversationMediaStored | ConversationMediaFailed) for one in events) < 2:
                        events = [one.event for one in await committed_records(kafka, topic_prefix, CONVERSATIONS)]
                messages = [one for one in events if isinstance(one, ConversationMessageReceived)]
                (stored,) = [one for one in events if isinstance(one, ConversationMediaStored)]
                (failed,) = [one for one in events if isinstance(one, ConversationMediaFailed)]
                assert [(one.message_id, one.text) for one in messages] == [("m1", "Look"), ("m2", None)]
                assert (stored.message_id, stored.mime_type, stored.size) == ("m1", "image/jpeg", len(JPEG))
                assert (failed.message_id, failed.reason, failed.final) == ("m2", "unsupported", True)
                assert provider.asked == 2
                store = open_store(settings)
                assert b"".join([chunk async for chunk in store.read(stored.file)]) == JPEG

                http.headers.update(ingress.headers)
                files = f"{ingress.control_url}/v1/channels/desk/media"
                async with http.get(f"{files}/{stored.preview}") as answer:
                    assert (answer.status, answer.content_type) == (200, "image/webp")
                async with http.post(files, data=PDF) as answer:
                    uploaded = (await answer.json())["file"]
                media = {"kind": "document", "file": uploaded, "filename": "Factura nº 7.pdf"}
                body = {"type": "reply", "by": "irene", "text": "Yours", "media": media}
                commands = f"{ingress.control_url}/v1/channels/desk/conversations/34622333444/commands"
                async with http.post(commands, json=body) as answer:
                    assert answer.status in (200, 202)
                await until(lambda: bool(provider.sends), "the send")
                document = provider.sends[0]["body"]["document"]
                assert (document["caption"], document["filename"]) == ("Yours", "Factura nº 7.pdf")
                link = document["link"].removeprefix("http://desk.example/base")
                async with http.get(ingress.url + link) as answer:
                    assert (answer.status, await answer.read()) == (200, PDF)
                    assert "filename*=UTF-8''Factura%20n%C2%BA%207.pdf" in answer.headers["Content-Disposition"]
            finally:
                await worker.stop()

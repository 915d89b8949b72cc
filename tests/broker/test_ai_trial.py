"""`livedesk ai try` with an installation's own agents, keys and knowledge, read from its Kafka."""

import asyncio
from pathlib import Path

from typer import Typer
from typer.testing import CliRunner, Result

from bus.connection import KafkaConnection
from cli.ai import app as ai
from cli.knowledge import app as knowledge
from deploy.kafka.topics import apply
from deploy.processes.control import ControlServer
from deploy.settings import load_settings
from schemas.topics import ACCESS, ACCOUNT_INBOX, AUDIT, CHANNELS, CONVERSATIONS, DIRECTORY, INBOX, KNOWLEDGE
from tests.support.trial import terminal


async def test_what_the_desk_saved_is_tried(kafka: KafkaConnection, topic_prefix: str, tmp_path: Path) -> None:
    topics = (ACCESS, ACCOUNT_INBOX, AUDIT, CHANNELS, CONVERSATIONS, DIRECTORY, INBOX, KNOWLEDGE)
    await apply(kafka, topic_prefix, topics, partitions=2, replication_factor=1)
    given = {"kafka": kafka, "topic_prefix": topic_prefix, "data_dir": tmp_path}
    settings = load_settings().model_copy(update=given)
    async with terminal(tmp_path) as sandbox, ControlServer(settings) as server:

        async def livedesk(app: Typer, *words: str, said: str = "", key: str = "") -> Result:
            env = {"LIVEDESK_AI_KEY": key}
            return await asyncio.to_thread(CliRunner().invoke, app, list(words), input=said, obj=settings, env=env)

        faq = str(tmp_path / "faq.yaml")
        assert (await livedesk(knowledge, "add", faq, "--collection", "faq", "--api", server.url)).exit_code == 0
        base = ("--model", "m-1", "--base-url", f"{sandbox.url}/ai/bot/v1", "--knowledge", "faq")
        made = await livedesk(ai, "agent", "create", "--id", "bot", *base, "--api", server.url, key="sk-kept")
        assert made.exit_code == 0, (made.output, made.exception)

        ran = await livedesk(ai, "try", "bot", said="Can I return shoes?")
        assert ran.exit_code == 0, (ran.output, ran.exception)
        assert "found     faq/faq.yaml/1" in ran.output
        unknown = await livedesk(ai, "try", "nobody")
        assert "There is no AI agent 'nobody' in the account main at " in str(unknown.exception)

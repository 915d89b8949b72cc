"""Documents on a real Kafka: added by livedesk knowledge over a desk, found by what follows the topic."""

import asyncio
from pathlib import Path

import httpx2
from typer.testing import CliRunner

from bus.connection import KafkaConnection
from bus.follower import TopicFollower
from cli.knowledge import app
from deploy.kafka.topics import apply
from deploy.processes.control import ControlServer
from deploy.settings import load_settings
from schemas.effects import KnowledgeRequest, KnowledgeResult
from schemas.settings.channel import parse_channel
from schemas.topics import ACCESS, ACCOUNT_INBOX, AUDIT, CHANNELS, CONVERSATIONS, DIRECTORY, INBOX, KNOWLEDGE
from streams.effects.contract import Done
from streams.effects.knowledge import KnowledgeFinder

CHANNEL = parse_channel(
    {
        "id": "shop",
        "phone_number": "+34611000111",
        "dev_key": "k",
        "dev_secret": "s",
        "ai_agents": [{"kind": "gpt", "id": "bot", "model": "m", "knowledge": ["faq"]}],
    }
)


async def test_what_the_command_adds_is_found_and_what_it_removes_is_not(
    kafka: KafkaConnection, topic_prefix: str, tmp_path: Path
) -> None:
    topics = (ACCESS, ACCOUNT_INBOX, AUDIT, CHANNELS, CONVERSATIONS, DIRECTORY, INBOX, KNOWLEDGE)
    await apply(kafka, topic_prefix, topics, partitions=2, replication_factor=1)
    given = {"kafka": kafka, "topic_prefix": topic_prefix, "data_dir": tmp_path}
    settings = load_settings().model_copy(update=given)
    good, bad = tmp_path / "returns.md", tmp_path / "bad.pdf"
    good.write_text("# Returns\nSofas may be returned.\n")
    bad.write_text("no PDF")
    async with ControlServer(settings) as server, httpx2.AsyncClient(trust_env=False) as http:

        async def livedesk(*arguments: str) -> tuple[int, str]:
            words = [*arguments, "--collection", "faq", "--api", server.url]
            done = await asyncio.to_thread(CliRunner().invoke, app, words, obj=settings)
            return done.exit_code, f"{done.output}{done.exception or ''}"

        code, said = await livedesk("add", str(good), str(bad))
        assert code == 1
        assert "bad.pdf: the document can't be used\n  file: its name ends in .pdf" in said
        assert "saved" in said
        assert "no change" in (await livedesk("add", str(good)))[1]
        assert "returns.md" in (await livedesk("list"))[1]

        finder = KnowledgeFinder(lambda _: CHANNEL, http)
        follower = TopicFollower(kafka, KNOWLEDGE.full_name(topic_prefix), finder.apply)
        await follower.start()
        try:
            assert await _found(finder) == ["Returns\nSofas may be returned."]
            assert await livedesk("remove", "returns.md") == (0, "returns.md is removed.\n")
            await follower.caught_up()
            assert await _found(finder) == []
        finally:
            await follower.stop()
            finder.close()
        assert "There is no document returns.md" in (await livedesk("remove", "returns.md"))[1]


async def _found(finder: KnowledgeFinder) -> list[str]:
    outcome = await finder.perform(KnowledgeRequest(effect_id="1", channel="shop", agent="bot", query="return a sofa?"))
    assert isinstance(outcome, Done)
    return [one.text for one in KnowledgeResult.model_validate(outcome.result).passages]

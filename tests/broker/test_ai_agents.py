"""An AI agent and the channels that list it change together, or not at all, whichever process changes them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from bus.aiokafka_fixes import discard_producer
from bus.connection import KafkaConnection, client_options
from bus.follower import TopicFollower
from bus.publisher import NotDurable
from deploy.settings import Settings
from desk.ai_agents import AiAgents
from desk.channel_writer import ChannelWriter
from desk.directory import DeskDirectory
from desk.journal import Change, Fill, Journal
from desk.kafka_journal import KafkaJournal
from schemas.events.channels import ChannelSaved
from schemas.events.people import AiAgentSaved
from schemas.settings.channel import from_stored
from schemas.settings.channels_file import parse_channels_file
from schemas.topics import CHANNELS, DIRECTORY
from streams.clock import wall_clock
from tests.broker.test_ingress import make_topics, records, settings_for

AGENT = {"id": "bot", "kind": "gpt", "model": "m-1", "api_key": "k"}
LISTED = {"enabled": True, "agents": [{"id": "bot"}]}
FILE = parse_channels_file(
    {
        "ai_agents": [AGENT],
        "channels": [
            {"id": "one", "phone_number": "+34600000001", "ai": LISTED},
            {"id": "two", "phone_number": "+34600000002", "ai": LISTED},
        ],
    }
)


@dataclass
class Desk:
    """What a process changes settings with."""

    directory: DeskDirectory
    journal: KafkaJournal
    agents: AiAgents
    channels: ChannelWriter


@pytest.fixture
async def settings(kafka: KafkaConnection, topic_prefix: str, tmp_path: Path) -> Settings:
    await make_topics(kafka, topic_prefix)
    return settings_for(kafka, topic_prefix, tmp_path)


@asynccontextmanager
async def desk(settings: Settings, name: str = "a") -> AsyncIterator[Desk]:
    directory, ids = DeskDirectory(str), count(1)
    async with AsyncExitStack() as stack:
        followers = {}
        for topic, apply in ((CHANNELS, directory.apply), (DIRECTORY, directory.apply_person)):
            full = topic.full_name(settings.topic_prefix)
            followers[full] = TopicFollower(settings.kafka, full, apply)
            stack.push_async_callback(followers[full].stop)
            await followers[full].start()
        journal = KafkaJournal(
            settings.kafka,
            followers,
            prefix=settings.topic_prefix,
            encrypt=str,
            clock=wall_clock,
            new_id=lambda: f"{name}-{next(ids)}",
            deadline=60,
        )
        yield Desk(directory, journal, AiAgents(directory, journal), ChannelWriter(directory, journal))


async def saved(settings: Settings) -> tuple[list[int], dict[str, list[tuple[int, int]]]]:
    """The agent's revisions, and of each channel its own and, at it, the agent's."""
    agents = [record.event for record in await records(settings, DIRECTORY)]
    channels: dict[str, list[tuple[int, int]]] = {"one": [], "two": []}
    for record in await records(settings, CHANNELS):
        assert isinstance(record.event, ChannelSaved)
        channel = from_stored(record.event.settings, str)
        channels[channel.id].append((channel.revision, channel.ai_agents[0].revision))
    return [int(str(event.settings["revision"])) for event in agents if isinstance(event, AiAgentSaved)], channels


async def test_two_desks_that_change_an_agent_and_its_channels_at_once_lose_nothing(settings: Settings) -> None:
    async with desk(settings, "a") as first, desk(settings, "b") as second:
        await first.channels.save_file(FILE)
        await asyncio.gather(
            first.agents.change("main", "bot", {"tone": "warm"}),
            second.agents.change("main", "bot", {"language": "Spanish"}),
            second.channels.change("one", {"name": "First"}),
            first.channels.change("two", {"name": "Second"}),
        )
        agents, channels = await saved(settings)
        assert agents == [1, 2, 3]
        for id in ("one", "two"):
            assert [revision for revision, _ in channels[id]] == [1, 2, 3, 4]
            # It never falls back, and ends with what both have changed.
            assert [agent for _, agent in channels[id]] == sorted(agent for _, agent in channels[id])
            assert channels[id][-1][1] == 3
        for process in (first, second):
            await process.journal.write(lambda _: None)
            bot = process.directory.channel("one").ai_agent("bot")
            assert bot is not None
            assert bot == process.directory.ai_agent("main", "bot")
            assert bot.model_dump(include={"tone", "language"}) == {"tone": "warm", "language": "Spanish"}


class HalfWay:
    """A journal whose changes end with a message that Kafka does not take."""

    def __init__(self, journal: Journal, topic: str) -> None:
        self._journal, self._topic = journal, topic

    async def write(self, fill: Fill) -> None:
        def then_break(change: Change) -> None:
            fill(change)
            change.messages.append((self._topic, b"one/9", b"x" * 2**23, ()))

        await self._journal.write(then_break)


async def test_a_change_that_fails_half_way_changes_neither_the_agent_nor_a_channel(settings: Settings) -> None:
    async with desk(settings) as process:
        await process.channels.save_file(FILE)
        broken = AiAgents(process.directory, HalfWay(process.journal, CHANNELS.full_name(settings.topic_prefix)))
        with pytest.raises(NotDurable):
            await broken.change("main", "bot", {"tone": "lost"})
        assert await saved(settings) == ([1], {"one": [(1, 1)], "two": [(1, 1)]})
        changed = await process.agents.change("main", "bot", {"tone": "warm"})
        assert (changed.revision, process.directory.channel("two").ai_agents) == (2, (changed,))
    assert await saved(settings) == ([1, 2], {"one": [(1, 1), (2, 2)], "two": [(1, 1), (2, 2)]})


async def test_what_a_process_left_when_it_died_between_agent_and_channel_is_seen_by_nobody(
    settings: Settings,
) -> None:
    async with desk(settings) as process:
        await process.channels.save_file(FILE)
        left: list[Change] = []

        class Dying:
            async def write(self, fill: Fill) -> None:
                left.append(process.journal.new_change())
                fill(left[0])

        await AiAgents(process.directory, Dying()).change("main", "bot", {"tone": "lost"})
        agent, *_ = left[0].messages
        assert agent[0] == DIRECTORY.full_name(settings.topic_prefix)
        dead = AIOKafkaProducer(**client_options(settings.kafka), transactional_id=f"{settings.topic_prefix}ingress")
        await dead.start()
        await dead.begin_transaction()
        await dead.send_and_wait(agent[0], agent[2], agent[1], headers=agent[3])
        await discard_producer(dead)
        changed = await process.agents.change("main", "bot", {"language": "Spanish"})
        assert changed.model_dump(include={"revision", "tone", "language"}) == {
            "revision": 2,
            "tone": "",
            "language": "Spanish",
        }
    assert await saved(settings) == ([1, 2], {"one": [(1, 1), (2, 2)], "two": [(1, 1), (2, 2)]})

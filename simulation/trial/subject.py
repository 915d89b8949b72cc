"""Which agent is tried, on which channel, with which documents: from a file, or from what Kafka has."""

import asyncio
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from deploy.channels_file import load_channels_file
from deploy.errors import LiveDeskError
from deploy.kafka.committed import CommittedReader, committed_reader
from deploy.secrets import KEY_FILE, load_secrets
from deploy.settings import Settings
from desk.directory import DeskDirectory
from knowledge.extraction import Extraction
from knowledge.text import Unreadable
from schemas.events.knowledge import DocumentSaved
from schemas.record import Record, encode
from schemas.settings.ai import GptAgent, HttpAgent
from schemas.settings.channel import DEFAULT_ACCOUNT, Ai, AiAgent, ChannelForm, ChannelSettings, parse_channel
from schemas.settings.memory import SettingsMemory
from schemas.topics import CHANNELS, DIRECTORY, KNOWLEDGE, Topic
from simulation.sandbox.gpt.stand_in import at_sandbox
from simulation.scenario.format import Scenario, ScenarioChannel
from simulation.scenario.steps import Step

DEFAULT_COLLECTION: Final = "main"
"""Of documents that are given for a trial, where the agent names no collection."""
Document = tuple[bytes, bytes | None]
"""Key and value of a record of the topic `knowledge`."""


class Unusable(LiveDeskError):
    """It can't be tried. field: of a conversation, that names what there is not."""

    def __init__(self, field: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.field = field


@dataclass(frozen=True)
class Subject:
    """An agent on a channel that it has for itself, and the documents that it answers by."""

    agent: GptAgent
    channel: ScenarioChannel
    documents: tuple[Document, ...] = ()

    def scenario(self, at: datetime) -> Scenario:
        """The world that it is tried in, as it begins."""
        return Scenario(ai_agents=(self.agent,), channels=(self.channel,), steps=(Step(at=at),))

    @property
    def memory(self) -> SettingsMemory:
        """The channel's settings, for who needs nothing but them."""
        memory = SettingsMemory(str)
        memory.add(self.channel.settings.with_agents_of((self.agent,)))
        return memory

    def of(self, agent: GptAgent) -> "Subject":
        """Another agent on the channel, without documents."""
        return Subject(agent, _alone(agent, self.channel.settings))

    def with_documents(self, documents: Iterable[DocumentSaved]) -> "Subject":
        """With more documents, in the first collection that the agent names."""
        collections = self.agent.knowledge or (DEFAULT_COLLECTION,)
        agent = self.agent.model_copy(update={"knowledge": collections})
        account = self.channel.account
        added = tuple(
            _record(one.model_copy(update={"account": account, "collection": collections[0]})) for one in documents
        )
        return replace(self, agent=agent, documents=(*self.documents, *added))


@dataclass(frozen=True)
class Installation:
    """AI agents and channels of an account. where: they are from, for people. key: of agents that have none."""

    where: str
    ai_agents: Mapping[str, GptAgent | HttpAgent]
    channels: tuple[ChannelSettings, ...]
    documents: tuple[Document, ...] = ()
    key: str | None = None

    def subject(self, id: str, channel: str | None = None, sandbox: str | None = None) -> Subject:
        """The agent on that channel; without one, on the first that lists it. Raises Unusable.

        sandbox: its URL, in the place of the agent's service and tools.
        """
        agent = self.ai_agents.get(id)
        if agent is None:
            known = ", ".join(self.ai_agents) or "there are none"
            raise Unusable("agent", f"There is no AI agent {id!r} in {self.where}.", f"AI agents there: {known}.")
        if not isinstance(agent, GptAgent):
            raise Unusable(
                "agent",
                f"{id} is of kind http: a service of yours answers, at {agent.url}; only GPT agents are tried here.",
                f"Whether it can be reached: livedesk ai agent test {id}",
            )
        if agent.api_key is None and self.key:
            agent = agent.model_copy(update={"api_key": SecretStr(self.key)})
        moved = agent if sandbox is None else at_sandbox(agent, sandbox.rstrip("/"))
        assert isinstance(moved, GptAgent)  # noqa: S101 - for the type checker: a GPT agent stays one
        return Subject(moved, _alone(moved, self._channel(id, channel)), self.documents)

    def _channel(self, agent: str, id: str | None) -> ChannelSettings:
        if id is None:
            listing = (one for one in self.channels if agent in {listed.id for listed in one.ai.agents})
            return next(listing, parse_channel({"id": "trial", "phone_number": "+34600000001"}))
        for channel in self.channels:
            if channel.id == id:
                return channel
        known = ", ".join(channel.id for channel in self.channels) or "there are none"
        raise Unusable("channel", f"There is no channel {id!r} in {self.where}.", f"Channels there: {known}.")


def _alone(agent: GptAgent, channel: ChannelSettings) -> ScenarioChannel:
    """The channel, where nobody but the agent answers. Its credentials are left out, and so made up."""
    form = channel.model_dump(include=set(ChannelForm.model_fields))
    form |= {"human_agents": (), "assignment": {}, "ai": Ai(enabled=True, agents=(AiAgent(id=agent.id),))}
    return ScenarioChannel.model_validate(form)


def from_file(path: Path, account: str | None) -> Installation:
    """What a channels file has. account: None: any. Raises LiveDeskError."""
    file = load_channels_file(path)
    if account is not None and account not in file.accounts:
        raise LiveDeskError(f"No channel of {path} is of the account {account}: {', '.join(file.accounts)}.")
    channels = tuple(one for one in file.channels if account in (None, one.account))
    return Installation(str(path), {agent.id: agent for agent in file.ai_agents}, channels)


def from_kafka(settings: Settings, account: str | None) -> Installation:
    """What an installation has, read from its Kafka. Raises LiveDeskError."""
    if settings.secret_key is None and not (settings.data_dir / KEY_FILE).exists():
        raise LiveDeskError(
            "There is no installation here whose AI agents could be tried: no key in LIVEDESK_DATA_DIR or "
            "LIVEDESK_SECRET_KEY.",
            "Start one (livedesk up), or name a file with the agent: --file channels.yaml",
        )
    try:
        return asyncio.run(_read(settings, account or DEFAULT_ACCOUNT))
    except LiveDeskError as error:
        raise LiveDeskError(
            error.message, f"{error.hint or ''} Or name a file with the agent: --file channels.yaml".strip()
        ) from None


async def _read(settings: Settings, account: str) -> Installation:
    directory = DeskDirectory(load_secrets(settings).decrypt)
    async with committed_reader(settings.kafka) as reader:
        for key, value in await _messages(reader, CHANNELS, settings.topic_prefix):
            directory.apply(key, value)
        for key, value in await _messages(reader, DIRECTORY, settings.topic_prefix):
            directory.apply_person(key, value)
        documents = await _messages(reader, KNOWLEDGE, settings.topic_prefix)
    directory.loaded()
    agents = {agent.id: agent for agent in directory.ai_agents(account)}
    channels = tuple(channel for channel in directory.channels(account) if channel.state != "deleted")
    return Installation(
        f"the account {account} at {settings.kafka.bootstrap_servers}", agents, channels, tuple(documents)
    )


async def _messages(reader: CommittedReader, topic: Topic, prefix: str) -> list[Document]:
    messages = await reader.read(await reader.partitions(topic.full_name(prefix)))
    return [(message.key, message.value) for message in messages]


def read_documents(files: Mapping[str, Path]) -> Sequence[DocumentSaved]:
    """The documents in files, by their names. Raises LiveDeskError."""
    return asyncio.run(_read_documents(files))


async def _read_documents(files: Mapping[str, Path]) -> Sequence[DocumentSaved]:
    extraction = Extraction()
    return await asyncio.gather(*(_read_document(extraction, id, file) for id, file in files.items()))


async def _read_document(extraction: Extraction, id: str, path: Path) -> DocumentSaved:
    try:
        data = await asyncio.to_thread(path.read_bytes)
        read = await extraction.read(BytesIO(data), path.name)
    except OSError as error:
        raise LiveDeskError(f"{path} can't be read: {error.strerror}.") from None
    except Unreadable as error:
        raise LiveDeskError(f"{path}: {error}") from None
    return DocumentSaved(
        account="",
        collection="",
        document=id,
        title=read.title or path.name,
        media_type=read.media_type,
        sha256=hashlib.sha256(data).hexdigest(),
        passages=tuple(read.passages),
        at=datetime.now(UTC),
    )


def _record(document: DocumentSaved) -> Document:
    key = f"{document.account}/{document.collection}/{document.document}"
    return key.encode(), encode(Record(key, "/livedesk/trial", document.at, key, document))

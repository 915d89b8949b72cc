"""Writing channel settings, and who is a member of a channel. Every change is a new revision."""

from collections.abc import Callable, Iterable, Mapping

from desk.directory import DeskDirectory
from desk.journal import Audited, Change, Journal
from schemas.settings.ai import GptAgent, HttpAgent
from schemas.settings.channel import MANAGED, ChannelForm, ChannelSettings, apply_change, check_channel, taken_number
from schemas.settings.channels_file import ChannelsFile
from schemas.settings.errors import FieldError, InvalidSettings

Managed = Callable[[ChannelSettings], Mapping[str, object]]
"""Managed fields as they are to be, from the current revision."""


class Changed(Exception):
    """The settings were changed since the revision that a change is based on."""

    def __init__(self, revision: int) -> None:
        super().__init__(f"the settings are at revision {revision} now")
        self.revision = revision


class ChannelWriter:
    """Saves revisions. All methods raise NotDurable."""

    def __init__(self, directory: DeskDirectory, journal: Journal) -> None:
        self._directory, self._journal = directory, journal

    def by(self, actor: str, action: str) -> "ChannelWriter":
        """The same, for changes that the audit is to tell: who makes them, and what they are called."""
        return ChannelWriter(self._directory, Audited(self._journal, (actor, action)))

    async def create(self, form: ChannelForm) -> ChannelSettings:
        """Save a new channel. Raises InvalidSettings."""
        settings = new_channel(form)

        def fill(change: Change) -> None:
            self.check_new(settings)
            change.save_channel(self._with_agents(settings), None)

        await self._journal.write(fill)
        return self._directory.channel(form.id)

    def check_new(self, settings: ChannelSettings) -> None:
        """Refuse what can't be a new channel, as things are known now. Raises InvalidSettings."""
        check_channel(settings, self._directory.people(settings.account))
        errors = [*taken_number(settings, self._directory.channels())]
        if self._directory.find(settings.id) is not None:
            errors.append(FieldError("id", "there is, or was, a channel of that id: choose another"))
        if errors:
            raise InvalidSettings(tuple(errors))

    async def manage(self, channel_id: str, manage: Managed) -> ChannelSettings:
        """Save the next revision with other managed fields. Raises UnknownChannel."""

        def fill(change: Change) -> None:
            current = self._directory.channel(channel_id)
            managed = manage(current)
            if any(getattr(current, name) != value for name, value in managed.items()):
                changed = current.model_copy(update={**managed, "revision": current.revision + 1})
                change.save_channel(changed, current)

        await self._journal.write(fill)
        return self._directory.channel(channel_id)

    async def change(
        self, channel_id: str, fields: Mapping[str, object], *, based_on: int | None = None
    ) -> ChannelSettings:
        """Save the next revision. based_on: the revision that must be the current one.

        Raises UnknownChannel, InvalidSettings, Changed.
        """

        def fill(change: Change) -> None:
            current = self._directory.channel(channel_id)
            if based_on not in (None, current.revision):
                raise Changed(current.revision)
            changed = apply_change(current, fields)
            check_channel(changed, self._directory.people(current.account), current)
            _refuse_taken(changed, current, self._directory.channels())
            change.save_channel(self._with_agents(changed), current)

        await self._journal.write(fill)
        return self._directory.channel(channel_id)

    async def set_member(self, channel_id: str, agent: str, member: bool) -> ChannelSettings:
        """Make an agent a member of a channel, or take them out. Raises UnknownChannel, UnknownAgent."""

        def fill(change: Change) -> None:
            channel = self._directory.channel(channel_id)
            self._directory.agent(channel.account, agent)
            change_member(change, channel, agent, member)

        await self._journal.write(fill)
        return self._directory.channel(channel_id)

    async def set_member_of_all(self, account: str, agent: str, member: bool) -> None:
        """Make an agent a member of every channel of the account, or of none. Raises UnknownAgent."""

        def fill(change: Change) -> None:
            self._directory.agent(account, agent)
            for channel in self._directory.channels(account):
                change_member(change, channel, agent, member)

        await self._journal.write(fill)

    async def save_file(self, file: ChannelsFile) -> list[ChannelSettings]:
        """Save the file's agents and channels that are new, or differ. Raises InvalidSettings.

        Its agents belong to each account of its channels. The state in the file applies to new agents only. Channels
        that are not in the file get a new revision where an AI agent of theirs changes.
        """
        saved: list[ChannelSettings] = []

        def fill(change: Change) -> None:
            saved.clear()
            agents: dict[str, list[GptAgent | HttpAgent]] = {}
            for account in file.accounts:
                self._change_agents(change, account, file)
                agents[account] = self._change_ai_agents(change, account, file)
                follow_agents(change, self._others(account, file), agents[account])
            for index, settings in enumerate(file.channels):
                current = self._directory.find(settings.id)
                if current is None:
                    saved.append(settings.with_agents_of(agents[settings.account]))
                else:
                    same = settings.model_copy(update={name: getattr(current, name) for name in MANAGED})
                    same = same.with_agents_of(agents[settings.account])
                    if current == same:
                        continue
                    _refuse_fixed(f"channels[{index}]", current, settings)
                    saved.append(same.model_copy(update={"revision": current.revision + 1}))
                change.save_channel(saved[-1], current)

        await self._journal.write(fill)
        return saved

    def _change_agents(self, change: Change, account: str, file: ChannelsFile) -> None:
        for person in file.agents:
            known, agent = self._directory.find_agent(account, person.id), person.as_agent
            if known != agent:
                change.save_agent(account, agent)
            if known is None:
                change.set_presence(account, person.id, person.state)

    def _change_ai_agents(self, change: Change, account: str, file: ChannelsFile) -> list[GptAgent | HttpAgent]:
        """Those that the account has from now on."""
        agents = {agent.id: agent for agent in self._directory.ai_agents(account)}
        for index, agent in enumerate(file.ai_agents):
            known = agents.get(agent.id)
            if known is not None and known.kind != agent.kind:
                says = f"can't be changed: it is {known.kind!r}"
                raise InvalidSettings((FieldError(f"ai_agents[{index}].kind", says),))
            if known is not None and known == agent.model_copy(update={"revision": known.revision}):
                continue
            revision = 1 if known is None else known.revision + 1
            agents[agent.id] = agent.model_copy(update={"revision": revision})
            change.save_ai_agent(account, agents[agent.id], known)
        return list(agents.values())

    def _others(self, account: str, file: ChannelsFile) -> list[ChannelSettings]:
        inside = {channel.id for channel in file.channels}
        return [channel for channel in self._directory.channels(account) if channel.id not in inside]

    def _with_agents(self, settings: ChannelSettings) -> ChannelSettings:
        return settings.with_agents_of(self._directory.ai_agents(settings.account))


def follow_agents(change: Change, channels: Iterable[ChannelSettings], account: Iterable[GptAgent | HttpAgent]) -> None:
    """The next revision of each channel that lists an AI agent of the account which has changed."""
    agents = tuple(account)
    for channel in channels:
        after = channel.with_agents_of(agents)
        if after.ai_agents != channel.ai_agents and channel.state != "deleted":
            change.save_channel(after.model_copy(update={"revision": channel.revision + 1}), channel)


def new_channel(form: ChannelForm) -> ChannelSettings:
    """The first revision of a channel."""
    return ChannelSettings(**{name: getattr(form, name) for name in form.model_fields_set})


def change_member(change: Change, channel: ChannelSettings, agent: str, member: bool) -> None:
    """The channel's next revision, unless it is so already. Rules that name the agent stay as they are."""
    if (agent in channel.human_agents) == member:
        return
    others = tuple(id_ for id_ in channel.human_agents if id_ != agent)
    changed = {"human_agents": (*others, agent) if member else others, "revision": channel.revision + 1}
    change.save_channel(channel.model_copy(update=changed), channel)


def _refuse_taken(changed: ChannelSettings, current: ChannelSettings, others: Iterable[ChannelSettings]) -> None:
    """Refuse a number that is another channel's, where it is new here.

    One that two channels have since before this was refused must not stand in the way of another change.
    """
    kept = ("phone_number", "phone_number_id")
    if all(getattr(changed, name) == getattr(current, name) for name in kept):
        return
    taken = tuple(taken_number(changed, others))
    if taken:
        raise InvalidSettings(taken)


def _refuse_fixed(path: str, current: ChannelSettings, settings: ChannelSettings) -> None:
    fixed = tuple(
        FieldError(f"{path}.{name}", f"can't be changed: it is {getattr(current, name)!r}")
        for name in ("account", "provider")
        if getattr(settings, name) != getattr(current, name)
    )
    if fixed:
        raise InvalidSettings(fixed)

"""Routes for channels: create, show, change, disable, delete; their webhook address and credentials."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter

from desk.access.permissions import Actor, Permission
from desk.api.problems import Problem, not_found
from desk.api.route import Answer, Call, Nothing, Partial, Route, changed_meanwhile, etag, if_match
from desk.channel_writer import Changed, ChannelWriter, new_channel
from desk.credentials import carry_out
from desk.office import Office
from providers.provider import Checked, SetUp
from providers.registry import PROVIDERS
from schemas.settings.business_hours import BusinessHours
from schemas.settings.channel import (
    Ai,
    Assignment,
    ChannelForm,
    ChannelSettings,
    ConversationSettings,
    Csat,
    Greeting,
    apply_change,
    check_channel,
)
from schemas.settings.credentials import ENCRYPTED, ProviderName
from schemas.settings.errors import FieldError, InvalidSettings
from schemas.settings.network import Network
from schemas.settings.types import Flag, Id, SettingsModel


class ShownChannel(BaseModel):
    """A channel's settings. credentials: the names of the secrets that are set, which are never shown.

    webhook_url: where the provider posts callbacks; its secrecy protects them, so only administrators see it.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    account: str
    provider: ProviderName
    revision: int
    state: Literal["active", "disabled", "deleted"]
    phone_number: str
    business_account_id: str | None
    phone_number_id: str | None
    api_version: str
    account_sid: str | None
    api_key: str | None
    messaging_service_sid: str | None
    reconcile: bool
    credentials: tuple[str, ...]
    allowed_addresses: tuple[Network, ...]
    human_agents: tuple[str, ...]
    greeting: Greeting
    csat: Csat
    assignment: Assignment
    ai: Ai
    business_hours: BusinessHours
    conversation: ConversationSettings
    webhook_url: str | None = None
    webhook_previous: bool = False


class ChannelAnswer(BaseModel):
    """One channel."""

    channel: ShownChannel


class ChannelsAnswer(BaseModel):
    """Every channel that the caller may see, by id."""

    channels: tuple[ShownChannel, ...]


class SetUpSteps(BaseModel):
    """What is to be done at the provider. callbacks: to tick there; notes: what was not checked, or is still open."""

    callbacks: tuple[str, ...]
    steps: tuple[str, ...]
    notes: tuple[str, ...] = ()


class CreatedChannel(BaseModel):
    """A channel that is new."""

    channel: ShownChannel
    set_up: SetUpSteps


class CheckedCredentials(BaseModel):
    """They work. notes: what was not checked, or is still open."""

    notes: tuple[str, ...]


class NewChannel(ChannelForm):
    """What people set of a channel. id: left out: it is given one, as it is for whoever sees one account alone."""

    id: Id = ""


class Creation(SettingsModel):
    """What to try on the way. check: the credentials, and whose number it is; subscribe: to the account's callbacks."""

    check: Literal["true", "false"] = "true"
    subscribe: Literal["true", "false"] = "false"


class Rotation(SettingsModel):
    """keep_previous: the address that there was counts as well, until the next rotation."""

    keep_previous: Flag = False


class ChannelRoutes:
    """Handlers and their routes."""

    def __init__(self, office: Office) -> None:
        self._office = office

    def routes(self) -> tuple[Route, ...]:
        """Their part of the table."""
        one = "/v1/channels/{channel}"
        administer, show = Permission.ADMINISTER, Permission.READ
        shown, change = ChannelAnswer, TypeAdapter(Partial)
        return (
            Route("GET", "/v1/channels", show, "List channels.", self.list_channels, ChannelsAnswer),
            Route(
                "POST",
                "/v1/channels",
                administer,
                "Create a channel, when its credentials work.",
                self.create_channel,
                CreatedChannel,
                status=201,
                body=TypeAdapter(NewChannel),
                query=Creation,
                problems=(409, 502, 504),
            ),
            Route("GET", one, show, "Show a channel.", self.show_channel, shown),
            Route(
                "PATCH",
                f"{one}/settings",
                administer,
                "Change settings.",
                self.change_settings,
                shown,
                body=change,
                conditional=True,
            ),
            Route("DELETE", one, administer, "Delete a channel: for good.", self.delete_channel),
            Route("POST", f"{one}/disable", administer, "Take and send nothing.", self.disable_channel, shown),
            Route("POST", f"{one}/enable", administer, "Take and send again.", self.enable_channel, shown),
            Route(
                "POST",
                f"{one}/webhook/rotate",
                administer,
                "Replace the webhook address.",
                self.rotate_webhook,
                CreatedChannel,
                body=TypeAdapter(Rotation),
            ),
            Route(
                "PUT",
                f"{one}/credentials",
                administer,
                "Replace credentials, when the new ones work.",
                self.replace_credentials,
                shown,
                body=change,
                query=Creation,
                conditional=True,
                problems=(409, 502, 504),
            ),
            Route(
                "POST",
                f"{one}/credentials/test",
                administer,
                "Try the credentials.",
                self.test_credentials,
                CheckedCredentials,
                problems=(409, 502, 504),
            ),
        )

    async def list_channels(self, call: Call[None]) -> Answer:
        """Every channel's newest settings."""
        channels = self._office.channels(call.actor)
        return Answer(ChannelsAnswer(channels=tuple(self.shown(channel, call.actor) for channel in channels)))

    async def show_channel(self, call: Call[None]) -> Answer:
        """One channel, with its revision as ETag."""
        return self._answer(self._channel(call), call.actor)

    async def create_channel(self, call: Call[NewChannel]) -> Answer:
        """Credentials are tried before anything is saved."""
        form = self._named(call)
        settings = new_channel(form)
        self._office.writer.check_new(settings)
        notes = await self._checked(settings) if call.query.check == "true" else ()
        created = await self._writer(call, "create_channel").create(form)
        if call.query.subscribe == "true":
            notes += await self._subscribed(created)
        return Answer(self._created(created, call.actor, notes), 201, etag(created.revision))

    def _named(self, call: Call[NewChannel]) -> NewChannel:
        """With an id. They are unique over all accounts, so a refusal would tell of another one's."""
        form, actor = call.body, call.actor
        if not actor.sees_account(form.account) or actor.grant.channels is not None:
            raise Problem(403, "not_allowed", f"you may not make a channel in the account {form.account!r}")
        if not form.id:
            return form.model_copy(update={"id": self._office.new_id()})
        if actor.grant.account is not None:
            raise InvalidSettings((FieldError("id", "is given to it: leave it out, and choose a name"),))
        return form

    async def change_settings(self, call: Call[Partial]) -> Answer:
        """The next revision."""
        return self._answer(await self._changed(call, "change_settings", call.body.given), call.actor)

    async def delete_channel(self, call: Call[None]) -> Answer:
        """Its settings stay for the records that were stamped with them."""
        await self._writer(call, "delete_channel").manage(self._channel(call).id, _state("deleted"))
        return Answer(Nothing())

    async def disable_channel(self, call: Call[None]) -> Answer:
        """Its webhook address is not found, and commands are refused."""
        return await self._set_state(call, "disable_channel", "disabled")

    async def enable_channel(self, call: Call[None]) -> Answer:
        """As before it was disabled."""
        return await self._set_state(call, "enable_channel", "active")

    async def rotate_webhook(self, call: Call[Rotation]) -> Answer:
        """The new address counts within a second in every ingress process."""
        keep = call.body.keep_previous

        def rotated(current: ChannelSettings) -> Mapping[str, object]:
            return {"webhook_rotation": current.webhook_rotation + 1, "webhook_previous": keep}

        changed = await self._writer(call, "rotate_webhook").manage(self._channel(call).id, rotated)
        return Answer(self._created(changed, call.actor, ()), None, etag(changed.revision))

    async def replace_credentials(self, call: Call[Partial]) -> Answer:
        """Only credentials, and only if they work."""
        fields = call.body.given
        wrong = tuple(FieldError(name, "is not a credential") for name in fields if name not in _CREDENTIALS)
        if wrong:
            raise InvalidSettings(wrong)
        changed = apply_change(self._channel(call), fields)
        check_channel(changed)
        if call.query.check == "true":
            await self._checked(changed)
        return self._answer(await self._changed(call, "replace_credentials", fields), call.actor)

    async def test_credentials(self, call: Call[None]) -> Answer:
        """Against the provider, now."""
        return Answer(CheckedCredentials(notes=await self._checked(self._channel(call))))

    async def _changed(self, call: Call[Partial], action: str, fields: Mapping[str, object]) -> ChannelSettings:
        try:
            writer = self._writer(call, action)
            return await writer.change(self._channel(call).id, fields, based_on=if_match(call))
        except Changed as changed:
            raise changed_meanwhile(changed) from None

    async def _checked(self, settings: ChannelSettings) -> tuple[str, ...]:
        """The notes, where the credentials work. Raises Problem."""
        provider = PROVIDERS[settings.provider]
        found = await carry_out(provider.check(settings), settings, self._office.call)
        return _notes(found, settings.provider)

    async def _subscribed(self, settings: ChannelSettings) -> tuple[str, ...]:
        """What is left to do by hand: the channel is there already, whatever comes of it."""
        subscribe = PROVIDERS[settings.provider].subscribe
        if subscribe is None:
            return (f"{settings.provider} has no call to subscribe by: do it by hand.",)
        url = self._office.webhook_url(settings)
        found = await carry_out(subscribe(settings, url), settings, self._office.call)
        if found == "unreachable":
            return (f"{settings.provider} can't be reached: the subscription was not made.",)
        return () if found.problem is None else (f"The subscription was not made: {found.message}.",)

    async def _set_state(self, call: Call[None], action: str, state: str) -> Answer:
        changed = await self._writer(call, action).manage(self._channel(call).id, _state(state))
        return self._answer(changed, call.actor)

    def _writer(self, call: Call[Any], action: str) -> ChannelWriter:
        return self._office.writer.by(call.actor.id, action)

    def _channel(self, call: Call[Any]) -> ChannelSettings:
        found = self._office.directory.find(call.path["channel"])
        if found is None:
            raise not_found()
        return found

    def _answer(self, channel: ChannelSettings, actor: Actor) -> Answer:
        return Answer(ChannelAnswer(channel=self.shown(channel, actor)), None, etag(channel.revision))

    def _created(self, channel: ChannelSettings, actor: Actor, notes: tuple[str, ...]) -> CreatedChannel:
        set_up: SetUp = PROVIDERS[channel.provider].set_up(channel, self._office.webhook_url(channel))
        steps = SetUpSteps(callbacks=set_up.callbacks, steps=set_up.steps, notes=notes)
        return CreatedChannel(channel=self.shown(channel, actor), set_up=steps)

    def shown(self, channel: ChannelSettings, actor: Actor) -> ShownChannel:
        """The channel, as the actor may see it."""
        data = {name: getattr(channel, name) for name in ShownChannel.model_fields if name not in _OF_ITS_OWN}
        secrets = tuple(name for name in ENCRYPTED if getattr(channel, name) is not None)
        url = self._office.webhook_url(channel) if actor.may(Permission.ADMINISTER) else None
        return ShownChannel(**data, credentials=secrets, webhook_url=url)


_OF_ITS_OWN = ("credentials", "webhook_url")
_CREDENTIALS = frozenset(
    {*ENCRYPTED, "phone_number_id", "business_account_id", "api_version", "account_sid", "api_key",
     "messaging_service_sid"}
)  # fmt: skip


def _state(state: str) -> Any:
    return lambda _: {"state": state}


def _notes(found: Checked | str, provider: str) -> tuple[str, ...]:
    if isinstance(found, str):
        raise Problem(504, "provider_unreachable", f"{provider} can't be reached: nothing was saved. Try again later.")
    if found.problem is None:
        return found.notes
    status = 502 if found.problem == "unreadable" else 409
    errors = (FieldError(found.field, found.message),) if found.field else ()
    raise Problem(status, found.problem, found.message, errors)

"""The control listener over real HTTP: commands, settings, and how it refuses."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from aiohttp import ClientSession
from pydantic import JsonValue

from desk.channel_writer import ChannelWriter
from schemas.event import Event
from schemas.events.access import Role
from schemas.events.conversation import Assignee, ConversationCommandRefused, ConversationGated
from schemas.events.inbox import (
    AddNote,
    Assign,
    Block,
    Command,
    HandOver,
    Label,
    Mute,
    Reopen,
    Reply,
    Resolve,
    Seen,
    Snooze,
    Unblock,
)
from schemas.events.template import Template
from schemas.record import Record
from schemas.settings.channels_file import ChannelsFile, parse_channels_file
from schemas.settings.errors import InvalidSettings
from tests.support.ingress import FILE, NOW, Ingress, running
from tests.support.reading import until

Json = dict[str, JsonValue]
Answer = tuple[int, Json]


class Control:
    def __init__(self, ingress: Ingress, client: ClientSession) -> None:
        self.ingress, self.client = ingress, client
        self.token = ingress.token()

    async def send(self, method: str, path: str, body: JsonValue = None, **headers: str) -> Answer:
        headers = {"Authorization": f"Bearer {self.token}", **headers}
        async with self.client.request(method, self.ingress.control_url + path, json=body, headers=headers) as answer:
            return answer.status, await answer.json(content_type=None)

    async def command(self, body: JsonValue, *, channel: str = "desk", contact: str = "34622333444") -> Answer:
        return await self.send("POST", f"/v1/channels/{channel}/conversations/{contact}/commands?wait=0", body)

    async def change(self, body: JsonValue, *, channel: str = "desk") -> Answer:
        return await self.send("PATCH", f"/v1/channels/{channel}/settings", body)


@pytest.fixture
async def control() -> AsyncIterator[Control]:
    async with running() as (ingress, client):
        yield Control(ingress, client)


def refusal(answer: Answer) -> tuple[int, str, list[str]]:
    """Status, code and wrong fields."""
    status, body = answer
    assert isinstance(body["detail"], str)
    assert isinstance(body["errors"], list)
    fields = [str(field["field"]) for field in body["errors"] if isinstance(field, dict)]
    return status, str(body["code"]), fields


async def test_a_reply_is_written_to_the_inbox_and_accepted(control: Control) -> None:
    body: JsonValue = {"type": "reply", "id": "r-7", "by": "irene", "text": "On its way."}
    status, answer = await control.command(body, contact="+34 622 333 444")
    key = "desk:34622333444"
    assert (status, answer["command_id"], answer["conversation_key"], answer["state"]) == (202, "r-7", key, "pending")
    (record,) = control.ingress.inbox
    command = Reply(command_id="r-7", by="irene", text="On its way.")
    assert record == Record(record.id, "/livedesk/desk", NOW, key, command, "desk", 1)
    assert control.ingress.kafka.records[-1][:2] == ("t.inbox.v1", key.encode())


async def test_a_template_reply_and_a_resolve_get_ids_of_their_own(control: Control) -> None:
    template: JsonValue = {"name": "back_in_stock", "language": "es", "parameters": ["Lucía"]}
    first = await control.command({"type": "reply", "by": "paul", "template": template})
    second = await control.command({"type": "resolve", "by": "paul"})
    events = [record.event for record in control.ingress.inbox]
    ids = [str(answer["command_id"]) for _, answer in (first, second)]
    sent = Template(name="back_in_stock", language="es", parameters=("Lucía",))
    expected = [Reply(command_id=ids[0], by="paul", template=sent), Resolve(command_id=ids[1], by="paul")]
    assert events == expected
    assert len({*ids, *(record.id for record in control.ingress.inbox)}) == 4


@pytest.mark.parametrize(
    ("body", "command"),
    [
        ({"type": "note", "text": "VIP"}, AddNote(command_id="c", by="irene", text="VIP")),
        ({"type": "reopen"}, Reopen(command_id="c", by="irene")),
        ({"type": "snooze"}, Snooze(command_id="c", by="irene")),
        (
            {"type": "snooze", "until": "2026-03-10T10:00:00+01:00"},
            Snooze(command_id="c", by="irene", until=datetime(2026, 3, 10, 9, tzinfo=UTC)),
        ),
        (
            {"type": "assign", "to": {"kind": "human", "id": "paul"}},
            Assign(command_id="c", by="irene", to=Assignee(kind="human", id="paul")),
        ),
        (
            {"type": "assign", "to": {"kind": "team", "id": "front"}},
            Assign(command_id="c", by="irene", to=Assignee(kind="team", id="front")),
        ),
        (
            {"type": "assign", "to": {"kind": "ai", "id": "bot"}},
            Assign(command_id="c", by="irene", to=Assignee(kind="ai", id="bot")),
        ),
        ({"type": "hand_over"}, HandOver(command_id="c", by="irene")),
        (
            {"type": "label", "add": ["late"], "remove": ["new"]},
            Label(command_id="c", by="irene", add=("late",), remove=("new",)),
        ),
        ({"type": "block"}, Block(command_id="c", by="irene")),
        ({"type": "unblock"}, Unblock(command_id="c", by="irene")),
        ({"type": "mute"}, Mute(command_id="c", by="irene")),
        ({"type": "seen"}, Seen(command_id="c", by="irene")),
    ],
)
async def test_each_type_becomes_its_command(control: Control, body: Json, command: Command) -> None:
    status, _ = await control.command({**body, "id": "c", "by": "irene"})
    (record,) = control.ingress.inbox
    assert (status, record.event) == (202, command)


@pytest.mark.parametrize(
    ("channel", "kind", "id"),
    [
        ("desk", "human", "zoe"),
        ("desk", "human", "front"),
        ("desk", "team", "irene"),
        ("desk", "team", "back"),
        ("desk", "ai", "irene"),
        ("cloud", "ai", "bot"),
    ],
)
async def test_an_assignment_to_an_unknown_agent_is_refused(control: Control, channel: str, kind: str, id: str) -> None:
    body: Json = {"type": "assign", "by": "irene", "to": {"kind": kind, "id": id}}
    assert refusal(await control.command(body, channel=channel)) == (409, "unknown_agent", ["to.id"])
    assert refusal(await control.command({**body, "by": "zoe"}, channel=channel))[2] == ["by", "to.id"]
    assert control.ingress.inbox == []


TEMPLATE: Json = {"name": "n", "language": "es"}


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"type": "reply", "by": "irene"}, [""]),
        ({"type": "reply", "by": "irene", "text": "x", "template": TEMPLATE}, [""]),
        ({"type": "reply", "by": "irene", "text": " \n "}, ["text"]),
        ({"type": "reply", "by": "irene", "text": "x" * 4097}, ["text"]),
        ({"type": "reply", "by": "irene", "template": {"name": "n"}}, ["template.language"]),
        ({"type": "reply", "by": "irene", "text": "x", "colour": 1}, ["colour"]),
        ({"type": "reply", "text": "x"}, ["by"]),
        ({"type": "resolve", "by": "irene", "id": "no spaces"}, ["id"]),
        ({"type": "resolve", "by": "irene", "text": "x"}, ["text"]),
        ({"type": "note", "by": "irene", "text": ""}, ["text"]),
        ({"type": "snooze", "by": "irene", "until": "2026-03-10T10:00:00"}, ["until"]),
        ({"type": "snooze", "by": "irene", "until": 1773133200}, ["until"]),
        ({"type": "assign", "by": "irene"}, ["to"]),
        ({"type": "assign", "by": "irene", "to": {"kind": "agent", "id": "paul"}}, ["to.kind"]),
        ({"type": "label", "by": "irene"}, [""]),
        ({"type": "label", "by": "irene", "add": ["ok", " "]}, ["add[1]"]),
        ({"type": "label", "by": "irene", "add": "ok"}, ["add"]),
        ({"type": "label", "by": "irene", "remove": ["x" * 65]}, ["remove[0]"]),
        ({"type": "dance", "by": "irene"}, [""]),
        ({"by": "irene"}, [""]),
        (["reply"], [""]),
    ],
)
async def test_a_command_of_the_wrong_shape_names_its_fields(
    control: Control, body: JsonValue, fields: list[str]
) -> None:
    assert refusal(await control.command(body)) == (422, "not_valid", fields)
    assert control.ingress.inbox == []


async def test_a_command_needs_a_channel_a_contact_and_an_agent_that_there_are(control: Control) -> None:
    body: Json = {"type": "resolve", "by": "irene"}
    assert refusal(await control.command(body, channel="no")) == (404, "not_found", [])
    assert refusal(await control.command(body, contact="someone")) == (422, "invalid_contact", [])
    assert refusal(await control.command({**body, "by": "zoe"})) == (409, "unknown_agent", ["by"])
    assert control.ingress.inbox == []


async def test_a_command_that_is_not_durable_is_503(control: Control) -> None:
    control.ingress.kafka.down = True
    assert refusal(await control.command({"type": "resolve", "by": "irene"})) == (503, "not_durable", [])


async def test_a_change_is_the_next_revision_and_stamps_what_follows(control: Control) -> None:
    status, body = await control.change({"greeting": {"enabled": True, "text": "Hola"}, "human_agents": ["irene"]})
    channel = body["channel"]
    assert isinstance(channel, dict)
    greeting = {"enabled": True, "text": "Hola", "template": None}
    assert (status, channel["revision"], channel["greeting"]) == (200, 2, greeting)
    await control.command({"type": "resolve", "by": "irene"})
    assert control.ingress.inbox[-1].settings_revision == 2


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"business_hours": {"timezone": "Europe/Atlantis"}}, "business_hours.timezone"),
        ({"human_agents": ["irene", "zoe"]}, "human_agents[1]"),
        ({"gretting": {}}, "gretting"),
        ({"account": "other"}, "account"),
        ({"revision": 9}, "revision"),
        ({"csat": {"enabled": True}}, "csat.text"),
    ],
)
async def test_a_change_that_cannot_be_used_names_the_field_and_saves_nothing(
    control: Control, change: JsonValue, field: str
) -> None:
    before = len(control.ingress.kafka.records)
    assert refusal(await control.change(change)) == (422, "invalid_settings", [field])
    assert len(control.ingress.kafka.records) == before


@pytest.mark.parametrize("spelling", ["+34611000112", "0034 611 000 112", "(+34) 611-000-112"])
async def test_the_number_of_another_channel_is_refused(control: Control, spelling: str) -> None:
    before = len(control.ingress.kafka.records)
    assert refusal(await control.change({"phone_number": spelling})) == (422, "invalid_settings", ["phone_number"])
    assert len(control.ingress.kafka.records) == before


async def test_a_number_of_another_account_and_in_whatsapp_s_spelling_is_refused(control: Control) -> None:
    other = {"id": "mx", "account": "other", "phone_number": "+5215512345678"}
    await control.ingress.writer.save_file(parse_channels_file({"channels": [other]}))
    assert refusal(await control.change({"phone_number": "+525512345678"}))[2] == ["phone_number"]
    assert (await control.change({"phone_number": "+525512345678"}, channel="mx"))[0] == 200


async def test_a_number_that_two_channels_had_before_stands_in_the_way_of_no_other_change(
    control: Control,
) -> None:
    twin = FILE.channels[1].model_copy(update={"phone_number": FILE.channels[0].phone_number})
    await control.ingress.write(lambda change: change.save_channel(twin.model_copy(update={"revision": 2}), None))
    assert (await control.change({"name": "Front"}))[0] == 200
    assert (await control.change({"phone_number": "+34611000113"}))[0] == 200


async def test_two_channels_of_a_file_may_change_numbers_with_one_another(control: Control) -> None:
    first, second = FILE.channels
    swapped = (
        first.model_copy(update={"phone_number": second.phone_number}),
        second.model_copy(update={"phone_number": first.phone_number}),
    )
    saved = await control.ingress.writer.save_file(FILE.model_copy(update={"channels": swapped}))
    assert [(one.id, one.revision) for one in saved] == [("desk", 2), ("cloud", 2)]


async def test_a_number_s_id_belongs_to_one_channel(control: Control) -> None:
    data = {
        "provider": "whatsapp_cloud",
        "phone_number_id": "551",
        "access_token": "t",
        "app_secret": "s",
        "verify_token": "v",
    }
    one, two = ({**data, "id": f"c{n}", "phone_number": f"+3491000000{n}"} for n in range(2))
    with pytest.raises(InvalidSettings, match="phone_number_id: channel 'c0' has it already"):
        parse_channels_file({"channels": [one, two]})
    await control.ingress.writer.save_file(parse_channels_file({"channels": [one, {**two, "phone_number_id": "552"}]}))
    assert refusal(await control.change({"phone_number_id": "551"}, channel="c1"))[2] == ["phone_number_id"]


async def test_changes_at_once_are_one_revision_each(control: Control) -> None:
    names = [f"name {number}" for number in range(12)]
    answers = await asyncio.gather(*(control.change({"name": name}) for name in names))
    assert {status for status, _ in answers} == {200}
    desk_now = control.ingress.directory.find("desk")
    assert desk_now is not None
    assert desk_now.revision == 13
    keys = [key for topic, key, _, _ in control.ingress.kafka.records if topic == "t.channels.v1"]
    assert len(keys) == len(set(keys))


async def test_credentials_are_encrypted_when_stored_and_never_shown(control: Control) -> None:
    status, changed = await control.change({"dev_key": "k-new", "dev_secret": "s-new"})
    _, listed = await control.send("GET", "/v1/channels")
    assert status == 200
    stored = b"".join(value for _, _, value, _ in control.ingress.kafka.records)
    for secret in ("s-desk", "s-new", "k-desk", "k-new"):
        assert secret not in f"{changed} {listed}"
        assert secret.encode() not in stored
    now = control.ingress.directory.find("desk")
    assert now is not None
    assert now.dev_secret is not None
    assert now.dev_secret.get_secret_value() == "s-new"


async def test_the_list_tells_where_callbacks_go(control: Control) -> None:
    status, listed = await control.send("GET", "/v1/channels")
    channels = listed["channels"]
    assert isinstance(channels, list)
    paths = {channel["id"]: channel["webhook_url"] for channel in channels if isinstance(channel, dict)}
    assert status == 200
    assert paths["desk"] == control.ingress.webhook("desk")
    assert list(paths) == ["cloud", "desk"]


async def test_whatever_goes_wrong_is_explained_in_json(control: Control) -> None:
    url = control.ingress.control_url + "/v1/channels/desk/settings"
    async with ClientSession() as client:
        for data in (b'{"name": ', b'{"name": "\\ud800"}'):
            headers = {"Content-Type": "application/json", "Authorization": f"Bearer {control.token}"}
            async with client.patch(url, data=data, headers=headers) as answer:
                assert refusal((answer.status, await answer.json(content_type=None)))[:2] == (400, "invalid_json")
    assert refusal(await control.change(["name"]))[:2] == (422, "not_valid")
    assert refusal(await control.change({}, channel="no"))[:2] == (404, "not_found")
    assert refusal(await control.send("GET", "/v2"))[:2] == (404, "not_found")
    assert refusal(await control.send("DELETE", "/v1/channels"))[:2] == (405, "method_not_allowed")


def edited(**changes: object) -> ChannelsFile:
    """FILE with another first channel."""
    return FILE.model_copy(update={"channels": (FILE.channels[0].model_copy(update=changes), FILE.channels[1])})


async def test_a_file_is_saved_where_it_is_new_or_differs() -> None:
    ingress = Ingress()
    writer: ChannelWriter = ingress.writer
    saved = [
        await writer.save_file(file) for file in (FILE, FILE, edited(name="Front desk"), edited(name="Front desk"))
    ]
    assert [[(channel.id, channel.revision) for channel in step] for step in saved] == [
        [("desk", 1), ("cloud", 1)],
        [],
        [("desk", 2)],
        [],
    ]


async def test_a_file_that_moves_a_channel_to_another_account_is_refused() -> None:
    ingress = Ingress()
    await ingress.writer.save_file(FILE)
    with pytest.raises(InvalidSettings, match=r"channels\[0\].account"):
        await ingress.writer.save_file(edited(account="other"))


async def test_a_command_is_answered_with_what_it_led_to() -> None:
    async with running() as (ingress, client):
        control = Control(ingress, client)

        async def decide(event: Event) -> None:
            await until(lambda: bool(ingress.inbox), "the command")
            cause = ingress.inbox[-1].id
            ingress.outcomes.apply(Record("e", "/livedesk/conversations", NOW, "k", event, correlation_id=cause))
            ingress.forget()

        path = "/v1/channels/desk/conversations/34622333444/commands"
        body: Json = {"type": "resolve", "by": "irene"}
        muted = ConversationCommandRefused(command_id="c", command="command.mute", code="muted", reason="it is")
        deciding = asyncio.create_task(decide(muted))
        assert refusal(await control.send("POST", path, body))[:2] == (409, "muted")
        await deciding
        deciding = asyncio.create_task(decide(ConversationGated(event_type="x", data={}, open=True)))
        status, answer = await control.send("POST", path, body)
        await deciding
        assert (status, answer["state"], answer["event"]) == (200, "done", "conversation.gated")


async def test_an_idempotency_key_gives_the_same_command_to_the_same_caller_alone(control: Control) -> None:
    path = "/v1/channels/desk/conversations/34622333444/commands?wait=0"
    body: Json = {"type": "resolve", "by": "irene"}
    ids = []
    for key in ("k", "k", "l"):
        ids.append((await control.send("POST", path, body, **{"Idempotency-Key": key}))[1]["command_id"])
    control.token = control.ingress.token()
    ids.append((await control.send("POST", path, body, **{"Idempotency-Key": "k"}))[1]["command_id"])
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3


async def test_who_acts_acts_in_their_own_name(control: Control) -> None:
    control.token = control.ingress.token(Role.AGENT, account="main", agent="irene")
    assert (await control.command({"type": "resolve"}))[0] == 202
    assert refusal(await control.command({"type": "resolve", "by": "paul"}))[:2] == (403, "not_allowed")
    [record] = control.ingress.inbox
    assert record.event == Resolve(command_id=record.event.command_id, by="irene")  # type: ignore[attr-defined]
    presence: Json = {"state": "online"}
    assert (await control.send("PUT", "/v1/accounts/main/agents/irene/presence", presence))[0] == 202
    assert (await control.send("PUT", "/v1/accounts/main/agents/paul/presence", presence))[0] == 403
    control.token = control.ingress.token(Role.SUPERVISOR, account="main")
    assert (await control.command({"type": "resolve", "by": "paul"}))[0] == 202
    assert refusal(await control.command({"type": "resolve"})) == (422, "not_valid", ["by"])


async def test_a_command_that_is_repeated_is_no_refusal() -> None:
    async with running() as (ingress, client):
        control = Control(ingress, client)

        async def decide() -> None:
            await until(lambda: bool(ingress.inbox), "the command")
            refused = ConversationCommandRefused(command_id="c", command="x", code="duplicate_command", reason="it was")
            cause = ingress.inbox[-1].id
            ingress.outcomes.apply(Record("e", "/livedesk/conversations", NOW, "k", refused, correlation_id=cause))

        deciding = asyncio.create_task(decide())
        path = "/v1/channels/desk/conversations/34622333444/commands"
        status, answer = await control.send("POST", path, {"type": "resolve", "by": "irene", "id": "c"})
        await deciding
        assert (status, answer["state"], answer["command_id"]) == (200, "repeated", "c")

"""The channels file: agents and channels, read from YAML or JSON."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import BaseModel

from deploy.channels_file import load_channels_file, parse_data
from deploy.errors import LiveDeskError
from schemas.settings.ai import GptAgent, HttpAgent, Tool
from schemas.settings.business_hours import Interval
from schemas.settings.channel import MANAGED, ChannelSettings, Directory
from schemas.settings.channels_file import ChannelsFile, HumanAgent, parse_channels_file
from schemas.settings.errors import InvalidSettings

AGENT = {"id": "x", "kind": "http", "url": "https://ai.example"}
EXAMPLE = Path(__file__).parents[4] / "docs" / "channels.example.yaml"


def number(last: int) -> str:
    return f"+4520304{last:03}"


def fields_of(model: type[BaseModel], data: object) -> set[str]:
    """Settings of the model that the data leaves out, all the way down."""
    assert isinstance(data, Mapping)
    missing = set(model.model_fields) - set(data)
    for name, field in model.model_fields.items():
        if name in data and isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            missing |= {f"{name}.{inner}" for inner in fields_of(field.annotation, data[name])}
    return missing


def test_the_example_can_be_loaded() -> None:
    file = load_channels_file(EXAMPLE)
    assert [channel.id for channel in file.channels] == ["shop", "support", "cloud", "line"]
    assert [(agent.id, agent.state, agent.workload) for agent in file.agents] == [
        ("lucia", "online", 6),
        ("marek", "offline", "default"),
        ("noor", "offline", None),
    ]
    assert file.directory == Directory(frozenset({"lucia", "marek", "noor"}), frozenset({"orders", "returns"}))


def test_the_example_shows_every_setting() -> None:
    data = parse_data(EXAMPLE.read_text(encoding="utf-8"), source="example")
    assert isinstance(data, dict)
    left_out = [fields_of(ChannelSettings, channel) for channel in data["channels"]]
    assert set.intersection(*left_out) == set(MANAGED)
    assert fields_of(HumanAgent, data["agents"][0]) == set()
    helper, ours = data["ai_agents"]
    assert fields_of(GptAgent, helper) == {"revision"}
    assert fields_of(Tool, helper["tools"][0]) == set()
    assert fields_of(HttpAgent, ours) == {"revision", "name"}


def test_an_ai_agent_of_the_file_is_in_the_channels_that_list_it() -> None:
    file = load_channels_file(EXAMPLE)
    shop = file.channels[0]
    assert [agent.id for agent in shop.ai_agents] == ["helper", "ours"]
    assert shop.ai_agent("helper") == file.ai_agents[0]
    assert [agent.id for agent in file.channels[1].ai_agents] == []
    unknown = {"id": "a", "phone_number": number(1), "ai": {"agents": [{"id": "elsewhere"}]}}
    assert parse_channels_file({"channels": [unknown]}).channels[0].ai_agents == ()


def test_an_agent_is_offline_with_the_channels_limit_unless_it_says_otherwise() -> None:
    file = parse_channels_file(
        {"agents": [{"id": "ida"}, {"id": "bo", "workload": None}, {"id": "kai", "workload": 0}]}
    )
    assert [(agent.name, agent.state, agent.workload) for agent in file.agents] == [
        ("ida", "offline", "default"),
        ("bo", "offline", None),
        ("kai", "offline", 0),
    ]


def test_agents_survive_their_own_dump() -> None:
    file = parse_channels_file({"agents": [{"id": "ida", "workload": None}, {"id": "bo"}]})
    assert ChannelsFile.model_validate_json(file.model_dump_json()) == file


@pytest.mark.parametrize(
    ("data", "field", "says"),
    [
        (None, "", "must be an object"),
        ({"channel": []}, "channel", "not a known setting"),
        ({"channels": {}}, "channels", "must be a list"),
        ({"agents": [{"id": "ida", "state": "away"}]}, "agents[0].state", "must be 'online'"),
        ({"agents": [{"id": "ida", "workload": -1}]}, "agents[0].workload", "at least 0"),
        ({"agents": [{"id": "ida", "workload": True}]}, "agents[0].workload", "whole number"),
        ({"agents": [{"id": "ida", "workload": "many"}]}, "agents[0].workload", "whole number"),
        ({"agents": [{"id": "ida"}, {"id": "ida"}]}, "agents[1].id", "twice"),
        (
            {"channels": [{"id": "a", "phone_number": number(1)}, {"id": "a", "phone_number": number(2)}]},
            "channels[1].id",
            "twice",
        ),
        (
            {"channels": [{"id": "a", "phone_number": number(1)}, {"id": "b", "phone_number": number(1)}]},
            "channels[1].phone_number",
            "channel 'a' has it already",
        ),
        (
            {"channels": [{"id": "a", "phone_number": "+5215512345678"}, {"id": "b", "phone_number": "+525512345678"}]},
            "channels[1].phone_number",
            "channel 'a' has it already",
        ),
        (
            {"channels": [{"id": "a", "phone_number": number(1), "human_agents": ["ida"]}]},
            "channels[0].human_agents[0]",
            "no human agent 'ida'",
        ),
        (
            {"channels": [{"id": "a", "phone_number": number(1), "csat": {"enabled": True}}]},
            "channels[0].csat.text",
            "neither",
        ),
        ({"ai_agents": [{"id": "x", "kind": "gpt"}]}, "ai_agents[0].model", "is required"),
        ({"ai_agents": [{"id": "x"}]}, "ai_agents[0]", "'kind' is required"),
        ({"ai_agents": [{"id": "x", "kind": "cat"}]}, "ai_agents[0]", "'kind' must be one of 'gpt', 'http'"),
        ({"ai_agents": [{"id": "x", "kind": "http", "url": "x"}]}, "ai_agents[0].url", "must be an address"),
        (
            {"ai_agents": [{"id": "x", "kind": "gpt", "model": "m", "limits": {"answers": 0}}]},
            "ai_agents[0].limits.answers",
            "at least 1",
        ),
        ({"ai_agents": [AGENT, AGENT]}, "ai_agents[1].id", "twice"),
        (
            {"channels": [{"id": "a", "phone_number": number(1), "ai_agents": [AGENT]}]},
            "channels[0].ai_agents",
            "beside the channels",
        ),
        (
            {"channels": [{"id": "a", "phone_number": number(1), "templates": []}]},
            "channels[0].templates",
            "not a known",
        ),
    ],
)
def test_a_wrong_value_is_refused_by_its_field(data: object, field: str, says: str) -> None:
    with pytest.raises(InvalidSettings) as info:
        parse_channels_file(data)
    (error,) = info.value.errors
    assert error.field == field
    assert says in error.message


def test_unquoted_yaml_values_are_read_as_they_were_meant(tmp_path: Path) -> None:
    path = tmp_path / "channels.yaml"
    path.write_text(
        "channels:\n"
        "  - id: nord\n"
        f"    phone_number: {number(3)}\n"
        "    csat: {template: {name: survey, language: no}}\n"
        "    business_hours: {week: {tue: [[10:00, 17:00]]}, holidays: [2027-05-17]}\n",
        encoding="utf-8",
    )
    (channel,) = load_channels_file(path).channels
    assert channel.phone_number == number(3)
    assert channel.csat.template is not None
    assert channel.csat.template.language == "no"
    assert channel.business_hours.week.tue == (Interval(600, 1020),)
    assert [holiday.isoformat() for holiday in channel.business_hours.holidays] == ["2027-05-17"]


def test_plain_values_have_the_types_of_json() -> None:
    text = "[null, ~, true, False, 7, -3, 0, 1.5, 2e3, yes, 007, 0x1f, 1_000, 12:30:00, 2026-05-25T10:00:00Z]"
    assert parse_data(text, source="text") == [
        *(None, None, True, False, 7, -3, 0, 1.5, 2000.0),
        *("yes", "007", "0x1f", "1_000", "12:30:00", "2026-05-25T10:00:00Z"),
    ]


def test_parts_of_a_file_can_be_shared() -> None:
    text = "a: &base {x: 1, y: 2}\nb: {<<: *base, y: 3}\n"
    assert parse_data(text, source="text") == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}}


def test_json_is_read_by_its_suffix(tmp_path: Path) -> None:
    path = tmp_path / "channels.json"
    path.write_text('{\n\t"channels": [{"id": "a", "phone_number": "' + number(4) + '"}]\n}', encoding="utf-8")
    assert load_channels_file(path).channels[0].id == "a"


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("c.yaml", b"agents:\n  - {id: a\nchannels: []\n", "line 3: not valid YAML"),
        ("c.yaml", b"agents: []\nchannels: []\nagents: []\n", "line 3: not valid YAML: 'agents' is there twice"),
        ("c.yaml", b"agents: []\nchannels:\n\t- id: a\n", "line 3: not valid YAML"),
        ("c.yaml", b"agents: []\nname: \x01\n", "line 2: not valid YAML: a control character"),
        ("c.yaml", b"agents: !!python/object:os.system []\n", "line 1: not valid YAML"),
        ("c.yaml", b"name: \xff\n", "not UTF-8 text"),
        ("c.json", b'{"agents": [],\n "channels": ]}', "line 2: not valid JSON"),
        ("c.yaml", b"agents: [{id: a, state: gone}]\nchannels: [{id: b}]\n", "agents[0].state: must be"),
        ("c.yaml", b"channels: [{id: b}]\n", "channels[0].phone_number: is required"),
        ("c.yaml", b"", "must be an object"),
    ],
)
def test_a_broken_file_is_named_with_the_place(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(LiveDeskError) as info:
        load_channels_file(path)
    assert str(path) in str(info.value)
    assert says in str(info.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(LiveDeskError, match=r"nowhere\.yaml can't be read: No such file"):
        load_channels_file(tmp_path / "nowhere.yaml")


def test_the_secret_of_a_broken_file_is_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    channels = "channels: [{id: b, dev_key: k, dev_secret: [hush-hush]}]"
    agents = "ai_agents: [{id: b, kind: gpt, model: m, api_key: [hush-hush], tools: [{headers: {A: [hush-hush]}}]}]"
    path.write_text(f"{channels}\n{agents}\n", encoding="utf-8")
    with pytest.raises(LiveDeskError) as info:
        load_channels_file(path)
    assert "hush-hush" not in str(info.value)

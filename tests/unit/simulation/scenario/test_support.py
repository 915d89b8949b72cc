"""What a scenario can ask of each provider, and scenarios that are moved to another."""

import pytest
from pydantic import JsonValue

from schemas.settings.credentials import ProviderName
from simulation.scenario.format import parse_scenario
from simulation.scenario.play import Outcome, play
from tests.support.scenario import CONTACT, data, inbound, reply

AT, LATER = "2026-03-09T08:00:00Z", "2026-03-09T08:05:00Z"


async def at(provider: ProviderName, *steps: dict[str, JsonValue], **more: JsonValue) -> Outcome:
    async for one in play([parse_scenario(data(*steps, **more), "a.yaml")], provider=provider):
        return one
    raise AssertionError("nothing was played")


def status(status: str, **more: JsonValue) -> dict[str, JsonValue]:
    return {"at": LATER, "status": {"message": "out-1", "status": status, **more}}


@pytest.mark.parametrize(
    ("provider", "step", "why"),
    [
        ("twilio", inbound(AT, "in-1", type="reaction"), "twilio: steps[0].inbound.type: it reports no reaction"),
        (
            "twilio",
            inbound(LATER, "in-1", provider_time=AT),
            "twilio: steps[0].inbound.provider_time: its callbacks do not say when something happened",
        ),
        (
            "whatsapp_cloud",
            {"at": AT, "batch": [{"status": {"message": "x", "contact": CONTACT, "status": "delivered_timeout"}}]},
            "whatsapp_cloud: steps[0].batch[0].status.status: it has no word for delivered_timeout",
        ),
        (
            "twilio",
            {"at": AT, "provider": {"answer": "timeout"}},
            "twilio: steps[0].provider: what it took is looked up: no outcome stays unknown",
        ),
        (
            "engagelab",
            {"at": AT, "provider": {"answer": "refuse", "code": "throttled"}},
            "engagelab: steps[0].provider.code: it has no code for throttled",
        ),
        (
            "whatsapp_cloud",
            {"at": AT, "callback": {"body": {"rows": []}}},
            "whatsapp_cloud: steps[0].callback: it is in the words of engagelab",
        ),
        (
            "twilio",
            reply(AT, "out-1", text="x" * 1_601),
            "twilio: steps[0].command: its texts have at most 1600 characters",
        ),
    ],
)
async def test_what_a_provider_does_not_do_is_named(
    provider: ProviderName, step: dict[str, JsonValue], why: str
) -> None:
    assert (await at(provider, step)).problems == (f"a.yaml: can not be run on {why}",)


async def test_settings_that_a_provider_does_not_take_are_named() -> None:
    channel: JsonValue = {"id": "a", "phone_number": "+34910222333", "greeting": {"enabled": True, "text": "x" * 1_601}}

    played = await at("twilio", {"at": AT}, channels=[channel])

    assert played.problems[0].startswith("a.yaml: can not be run on twilio: channels[0]: its texts have")


@pytest.mark.parametrize("provider", ["engagelab", "whatsapp_cloud", "twilio"])
async def test_statuses_are_neutral_and_codes_keep_their_meaning(provider: ProviderName) -> None:
    played = await at(
        provider,
        inbound(AT, "in-1"),
        reply(AT, "out-1"),
        status("delivered"),
        {"at": LATER, "provider": {"answer": "refuse", "code": 2002, "times": 1}},
        reply(LATER, "out-2"),
    )

    assert played.finished is not None, played.problems
    messages = {one.id: one for one in played.finished.result.messages}
    assert messages["out-1"].status == "delivered"
    assert messages["out-2"].status == "queued"


async def test_a_raw_callback_may_go_below_the_channel_s_address() -> None:
    channel: JsonValue = {"id": "shop", "provider": "twilio", "phone_number": "+34910222333"}
    form = f"MessageSid=SM1&MessageStatus=read&From=whatsapp%3A%2B34910222333&To=whatsapp%3A%2B{CONTACT}"
    raw: JsonValue = {"body_text": form, "path": f"/status?id=o1&conversation=shop%3A{CONTACT}"}

    played = await at("twilio", {"at": AT, "callback": raw}, channels=[channel])

    assert played.finished is not None, played.problems
    assert [(one.id, one.status) for one in played.finished.result.messages] == [("o1", "read")]

"""What the control API does to the pipeline itself, on a real Kafka and a desk in a process of its own."""

from pathlib import Path
from typing import Any

from aiohttp import ClientSession

from bus.connection import KafkaConnection
from deploy.settings import load_settings
from schemas.events.access import AuditRecorded, Role
from schemas.events.inbox import Mute
from schemas.events.operations import DeadLetterReplayed, KeyUnparked
from schemas.topics import AUDIT, DEAD_LETTERS, INBOX
from tests.support.desk_process import ACCOUNT, KEY, LETTER, desk_process
from tests.support.reading import committed_records


async def test_a_dead_letter_is_given_back_once_and_shows_in_the_lag(
    kafka: KafkaConnection, topic_prefix: str, tmp_path: Path
) -> None:
    settings = load_settings().model_copy(update={"kafka": kafka, "topic_prefix": topic_prefix, "data_dir": tmp_path})
    async with desk_process(settings, tmp_path) as desk, ClientSession(desk.url) as client:

        async def send(method: str, path: str, role: Role = Role.SUPERVISOR) -> tuple[int, Any]:
            headers = {"Authorization": f"Bearer {desk.tokens[role]}"}
            async with client.request(method, path, headers=headers) as answer:
                return answer.status, await answer.json(content_type=None)

        status, before = await send("GET", "/v1/lag")
        assert status == 200, before
        replay = f"/v1/accounts/{ACCOUNT}/dead-letters/{LETTER}/replay"
        assert (await send("POST", replay, Role.AGENT))[0] == 403
        status, answer = await send("POST", replay)
        assert (status, answer) == (
            200, {"stage": "conversations", "key": KEY, "letters": [LETTER], "unreadable": []}
        )  # fmt: skip
        assert (await send("POST", replay))[0] in (404, 409)
        assert (await send("POST", replay.replace(LETTER, "letter")))[0] == 404
        _, after = await send("GET", "/v1/lag")
    behind = [
        next(one for one in lag["readers"] if one["reader"] == "conversations")["records"] for lag in (before, after)
    ]
    assert behind[1] >= behind[0] + 2
    assert "conversations has " in after["says"]
    assert "records of inbox to read" in after["says"]
    written = await committed_records(kafka, topic_prefix, INBOX)
    assert [type(record.event) for record in written] == [KeyUnparked, Mute]
    assert all(record.replayed_for == "conversations" for record in written)
    letters = await committed_records(kafka, topic_prefix, DEAD_LETTERS)
    assert sum(isinstance(record.event, DeadLetterReplayed) for record in letters) == 1
    audit = [record.event for record in await committed_records(kafka, topic_prefix, AUDIT)]
    assert [one.target for one in audit if isinstance(one, AuditRecorded) and one.action == "replay_letter"] == [
        f"dead-letters/{LETTER}"
    ]

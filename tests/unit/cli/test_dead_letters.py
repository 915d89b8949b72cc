"""How `livedesk dead-letters list` shows them."""

import io
from datetime import UTC, datetime

from rich.console import Console

from cli.dead_letters import print_letters
from deploy.dead_letters import Letter
from schemas.events.operations import DeadLettered
from schemas.record import Record

AT = datetime(2026, 4, 7, 9, 30, tzinfo=UTC)
IDS = ("9b97e204-e41a-5587-a9f9-8d6f3130a5dc", "39fc8e44-8622-52c8-a0d3-68978b078315")


def letter(id: str, *, replayed: bool = False) -> Letter:
    event = DeadLettered(
        stage="reports-conversations",
        reason="undecodable",
        detail="not a CloudEvent in JSON",
        topic="conversations",
        headers={},
        body="what?",
    )
    return Letter(Record(id, "/livedesk/reports-conversations", AT, "shop:34600100200", event), event, replayed)


def shown(limit: int) -> list[str]:
    console = Console(file=io.StringIO(), width=40, soft_wrap=True)
    print_letters(console, [letter(IDS[0], replayed=True), letter(IDS[1])], limit)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_an_id_is_never_broken() -> None:
    assert shown(50) == [
        f"{IDS[0]}  2026-04-07T09:30:00Z  replayed",
        "    reports-conversations, key shop:34600100200: undecodable: not a CloudEvent in JSON",
        f"{IDS[1]}  2026-04-07T09:30:00Z",
        "    reports-conversations, key shop:34600100200: undecodable: not a CloudEvent in JSON",
        "2 dead letters, 1 of them not replayed.",
    ]


def test_letters_beyond_the_limit_are_counted() -> None:
    lines = shown(1)
    assert lines[0].startswith(IDS[1])
    assert lines[-2:] == ["These are the newest 1; more with --limit.", "2 dead letters, 1 of them not replayed."]

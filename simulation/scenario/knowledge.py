"""The documents of a scenario, as they are saved for each account of its channels."""

from collections.abc import Iterator
from datetime import datetime
from hashlib import sha256

from knowledge.formats import MARKDOWN, read
from schemas.events.knowledge import DocumentSaved
from simulation.scenario.format import Scenario


def documents(scenario: Scenario, at: datetime) -> Iterator[DocumentSaved]:
    """What is written to the topic of knowledge. Raises Unreadable."""
    for account in sorted({channel.account for channel in scenario.channels}):
        for one in scenario.knowledge:
            data = one.text.encode()
            yield DocumentSaved(
                account=account,
                collection=one.collection,
                document=one.document,
                title=one.title or one.document,
                media_type=MARKDOWN,
                sha256=sha256(data).hexdigest(),
                passages=tuple(read(data, "scenario.md").passages),
                at=at,
            )

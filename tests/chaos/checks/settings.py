"""Settings: what was acknowledged was saved, and each revision was told to assignment once. Pure."""

from collections import Counter
from collections.abc import Iterator

from schemas.events.channels import ChannelChanged, ChannelSaved
from schemas.topics import ACCOUNT_INBOX, CHANNELS
from tests.chaos.history import History
from tests.chaos.violation import Violation


def check_settings(history: History) -> Iterator[Violation]:
    """Saved and told are one transaction: neither is there without the other."""
    saved = Counter(
        (record.channel, record.settings_revision)
        for record in history.records(CHANNELS)
        if isinstance(record.event, ChannelSaved)
    )
    told = Counter(
        (record.channel, record.settings_revision)
        for record in history.records(ACCOUNT_INBOX, ChannelChanged)
        if isinstance(record.event, ChannelChanged)
    )
    for channel, revision in history.acknowledged.settings:
        if not saved[channel, revision]:
            yield Violation("settings lost", "", f"{channel} revision {revision}")
    for revision_of in saved.keys() | told.keys():
        if not saved[revision_of] == told[revision_of] == 1:
            detail = f"{revision_of}: saved {saved[revision_of]} times, told {told[revision_of]} times"
            yield Violation("settings not told once", "", detail)

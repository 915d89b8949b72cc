"""Settings: what was acknowledged was saved, and each revision was reported to assignment once. Pure."""

from collections import Counter
from collections.abc import Iterator

from schemas.events.channels import ChannelChanged, ChannelSaved
from schemas.topics import ACCOUNT_INBOX, CHANNELS
from tests.chaos.history import History
from tests.chaos.violation import Violation


def check_settings(history: History) -> Iterator[Violation]:
    """Saved and reported are one transaction: neither is there without the other."""
    saved = Counter(
        (record.channel, record.settings_revision)
        for record in history.records(CHANNELS)
        if isinstance(record.event, ChannelSaved)
    )
    reported = Counter(
        (record.channel, record.settings_revision)
        for record in history.records(ACCOUNT_INBOX, ChannelChanged)
        if isinstance(record.event, ChannelChanged)
    )
    for channel, revision in history.acknowledged.settings:
        if not saved[channel, revision]:
            yield Violation("settings lost", "", f"{channel} revision {revision}")
    for revision_of in saved.keys() | reported.keys():
        if not saved[revision_of] == reported[revision_of] == 1:
            detail = f"{revision_of}: saved {saved[revision_of]} times, reported {reported[revision_of]} times"
            yield Violation("settings not reported once", "", detail)

"""Says that dead letters come in: at the first one, then once a minute at most, with how many it were since."""

from collections import Counter
from collections.abc import Iterable, Mapping

from prometheus_client import Metric

SAY_AGAIN_S = 60.0


def dead_letters_by_stage(families: Iterable[Metric]) -> Counter[str]:
    """The dead letters that a process wrote since it started, from its metrics."""
    counts: Counter[str] = Counter()
    for family in families:
        for sample in family.samples:
            if sample.name == "livedesk_dead_letters_total":
                counts[sample.labels["stage"]] += int(sample.value)
    return counts


class DeadLetterNews:
    """What to say about the dead letters of some processes, and when."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], int] = {}
        self._unsaid: Counter[str] = Counter()
        self._said_at: float | None = None

    def count(self, process: str, by_stage: Mapping[str, int]) -> None:
        """Take note of what a process wrote since it started. A smaller number than before: it started again."""
        for stage, number in by_stage.items():
            seen = self._seen.get((process, stage), 0)
            self._unsaid[stage] += number - seen if number >= seen else number
            self._seen[process, stage] = number

    def line(self, now: float, *, last: bool = False) -> str | None:
        """What to say at the time (in seconds); None: nothing. last: there will be no other look."""
        too_early = self._said_at is not None and now - self._said_at < SAY_AGAIN_S
        number = self._unsaid.total()
        if not number or (too_early and not last):
            return None
        stages = ", ".join(f"{stage} {count}" for stage, count in sorted(self._unsaid.items()) if count)
        more = "" if self._said_at is None else " more"
        self._said_at = now
        self._unsaid.clear()
        return f"{number}{more} dead letter{'s' if number > 1 else ''} ({stages}): livedesk dead-letters list"

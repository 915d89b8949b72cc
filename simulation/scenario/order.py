"""One order for what happened in one instant: on a broker, partitions and stages give no other."""

from collections import Counter
from dataclasses import dataclass
from typing import Final, Self

from agents.intake import INTAKE
from schemas.ids import derived_id
from schemas.record import Record
from simulation.scenario.world import Evidence, step_of

_BEFORE_STEPS: Final = -1
"""What timers lead to: those due fire before the steps of an instant."""


@dataclass(frozen=True)
class Origins:
    """Where records come from. rows: the id of a record that intake made of a callback's row -> its index."""

    rows: dict[str, int]

    @classmethod
    def of(cls, evidence: Evidence) -> Self:
        """The origins of everything that happened."""
        source = f"/livedesk/{INTAKE.name}"
        made = Counter(record.causation_id for _, record in evidence.records if record.source == source)
        rows = {derived_id(INTAKE.name, id, index): index for id, n in made.items() for index in range(n)}
        return cls(rows)

    def place(self, record: Record) -> tuple[int, int, str]:
        """Sorts records of one instant: by the step that they go back to, the row of its callback, and their key."""
        step = step_of(record.correlation_id or record.id)
        row = self.rows.get(record.id, self.rows.get(record.causation_id or "", 0))
        return _BEFORE_STEPS if step is None else step, row, record.subject

"""What came of a demo."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deploy.explanations import Decided
from desk.figures import Figures
from simulation.demo.count import Summary
from simulation.demo.story import Moment


@dataclass(frozen=True)
class Result:
    """What came of it.

    story: of one conversation; decided: about whom it was given to. figures: by channel. memory: bytes by process.
    restarts: of processes that ended by themselves.
    """

    summary: Summary
    story: Sequence[Moment]
    decided: Sequence[Decided]
    figures: Mapping[str, Figures]
    memory: Mapping[str, int]
    restarts: int

"""What a check finds."""

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Violation:
    """Something that must not be. key: whose history shows it; empty: nobody's in particular."""

    kind: str
    key: str
    detail: str

"""What is given to a browser to bring back."""

from datetime import UTC, datetime, timedelta

import pytest

from desk.access.seals import SEALED_FOR, Seals

NOW = datetime(2026, 3, 9, 8, 30, tzinfo=UTC)
SEALS = Seals(lambda: [b"key"])


def test_what_was_sealed_is_opened_for_its_purpose_and_in_its_time() -> None:
    sealed = SEALS.seal("one", {"secret": "planted"}, NOW)
    assert "planted" not in sealed
    assert SEALS.open("one", sealed, NOW + SEALED_FOR) == {"secret": "planted"}
    assert SEALS.open("one", sealed, NOW + SEALED_FOR + timedelta(seconds=1)) is None
    assert SEALS.open("another", sealed, NOW) is None
    assert Seals(lambda: [b"another key"]).open("one", sealed, NOW) is None


@pytest.mark.parametrize("forged", ["", "x", "\u00e9", "gAAAAA=="])
def test_what_was_not_sealed_is_not_opened(forged: str) -> None:
    assert SEALS.open("one", forged, NOW) is None


def test_what_was_changed_is_not_opened() -> None:
    sealed = SEALS.seal("one", {}, NOW)
    for place in range(len(sealed) - 3):
        changed = sealed[:place] + ("A" if sealed[place] != "A" else "B") + sealed[place + 1 :]
        assert SEALS.open("one", changed, NOW) is None

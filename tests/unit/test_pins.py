"""Faust and aiokafka are the versions that streams/faust_internals.py was written against."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

from streams import faust_internals
from streams.faust_internals import VERSIONS

ROOT = Path(__file__).parents[2]


def to_check() -> str:
    """The replaced lines, as the module names them."""
    source = Path(faust_internals.__file__).read_text()
    places = re.findall(r"((?:driver|[\w/]+\.py) l\. \d+)", source)
    overrides = re.findall(r"^class (\w+)\((.+?)\)", source, re.MULTILINE)
    classes = ", ".join(f"{name} ({base})" for name, base in overrides if base.startswith(("driver.", "faust.")))
    return (
        f"Check in streams/faust_internals.py that {', '.join(places)} still say what {classes} replace, then VERSIONS"
    )


@pytest.mark.parametrize("package", sorted(VERSIONS))
def test_the_installed_version_is_the_one_we_reach_into(package: str) -> None:
    assert version(package) == VERSIONS[package], to_check()


@pytest.mark.parametrize("package", sorted(VERSIONS))
def test_pyproject_and_lock_pin_it(package: str) -> None:
    pin = f"{package}=={VERSIONS[package]}"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert pin in project["dependencies"], to_check()
    assert re.search(rf"^{re.escape(pin)} ", (ROOT / "requirements.lock").read_text(), re.MULTILINE), to_check()


def test_what_has_to_be_checked_is_named() -> None:
    assert "driver l. " in to_check()
    assert "ConsumerThread (driver.AIOKafkaConsumerThread)" in to_check()

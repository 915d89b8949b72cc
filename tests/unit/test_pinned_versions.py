"""Faust, aiokafka and aiohttp are the versions that the modules which reach into them were written against."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

from bus import aiokafka_fixes
from ingress import listener
from streams.runtime import faust_overrides as faust_internals

ROOT = Path(__file__).parents[2]


MODULES = {"aiokafka": aiokafka_fixes, "faust-streaming": faust_internals, "aiohttp": listener}


def to_check(package: str) -> str:
    """The replaced lines, as the module names them."""
    path = Path(str(MODULES[package].__file__))
    source = path.read_text()
    places = re.findall(r"((?:driver|[\w/]+\.py) l\. \d+)", source)
    overrides = re.findall(r"^class (\w+)\((.+?)\)", source, re.MULTILINE)
    classes = ", ".join(f"{name} ({base})" for name, base in overrides if base.startswith(("driver.", "faust.")))
    replaced = f" still say what {classes} replace" if classes else ""
    return f"Check in {path.relative_to(ROOT)} that {', '.join(places)}{replaced}, then VERSION"


@pytest.mark.parametrize("package", sorted(MODULES))
def test_the_installed_version_is_the_one_we_reach_into(package: str) -> None:
    assert version(package) == MODULES[package].VERSION, to_check(package)


@pytest.mark.parametrize("package", sorted(MODULES))
def test_pyproject_and_lock_pin_it(package: str) -> None:
    pin = f"{package}=={MODULES[package].VERSION}"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert pin in project["dependencies"], to_check(package)
    assert re.search(rf"^{re.escape(pin)} ", (ROOT / "requirements.lock").read_text(), re.MULTILINE), to_check(package)


def test_a_changed_version_names_the_lines_to_check() -> None:
    assert "driver l. " in to_check("faust-streaming")
    assert "ConsumerThread (driver.AIOKafkaConsumerThread)" in to_check("faust-streaming")
    assert "client.py l. " in to_check("aiokafka")

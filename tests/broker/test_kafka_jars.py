"""Fetching Kafka's jars, from a Maven repository on this machine that serves the cached ones."""

import functools
import shutil
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from deploy.errors import LiveDeskError
from deploy.kafka.jars import fetch_jars, megabytes, quiet, read_jar_list


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def jars(cache_dir: Path) -> list[Path]:
    return fetch_jars(cache_dir, quiet)


@pytest.fixture
def served(tmp_path: Path, jars: list[Path]) -> Iterator[tuple[Path, str]]:
    """A repository's folder in Maven's layout, and its address."""
    folder = tmp_path / "repository"
    for coordinate, jar in zip(read_jar_list().jars, jars, strict=True):
        group, artifact, version = coordinate.split(":")
        place = folder / group.replace(".", "/") / artifact / version
        place.mkdir(parents=True)
        (place / jar.name).symlink_to(jar)
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_an_empty_cache_is_filled_and_progress_reported(tmp_path: Path, served: tuple[Path, str]) -> None:
    lines: list[str] = []
    fetched = fetch_jars(tmp_path / "cache", lines.append, served[1])
    total = len(read_jar_list().jars)
    assert len(fetched) == len(lines) == total
    assert lines[-1].endswith(f"{total} of {total} jars, {megabytes(read_jar_list().size)}")
    assert sum(path.stat().st_size for path in fetched) == read_jar_list().size
    leftovers = {path.name for path in fetched[0].parent.iterdir()} - {path.name for path in fetched}
    assert leftovers == set()


def test_a_damaged_cache_repairs_itself(tmp_path: Path, served: tuple[Path, str], jars: list[Path]) -> None:
    copy = tmp_path / "cache" / jars[0].parent.name
    shutil.copytree(jars[0].parent, copy)
    (copy / jars[0].name).write_bytes(jars[0].read_bytes()[:100])
    (copy / jars[1].name).unlink()
    lines: list[str] = []
    fetched = fetch_jars(tmp_path / "cache", lines.append, served[1])
    assert len(lines) == 2
    assert [path.read_bytes() for path in fetched[:2]] == [path.read_bytes() for path in jars[:2]]


def test_a_jar_with_another_checksum_is_refused(tmp_path: Path, served: tuple[Path, str], jars: list[Path]) -> None:
    repository, address = served
    forged = next(repository.rglob(jars[0].name))
    forged.unlink()
    forged.write_bytes(b"not the jar that was pinned")
    with pytest.raises(LiveDeskError, match="does not have the expected checksum"):
        fetch_jars(tmp_path / "cache", quiet, address)
    assert not list((tmp_path / "cache").rglob(jars[0].name))

"""Kafka Streams, in Java: its jars, and CountStreams.java compiled with Eclipse's compiler, which needs no JDK."""

import hashlib
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from deploy.kafka.jars import JarList
from deploy.kafka.java import find_java

SOURCE = Path(__file__).with_name("CountStreams.java")
JARS = Path(__file__).with_name("streams_jars.json")
COMPILER = "org.eclipse.jdt:ecj:"


class CannotBuild(RuntimeError):
    """Kafka Streams can't be had here; the message says why."""


def streams_version() -> str:
    """The version that is compared with: the newest at hand, whatever the broker's is."""
    return JarList.model_validate_json(JARS.read_bytes()).version


def streams_command(cache_dir: Path, progress: Callable[[str], None]) -> tuple[str, ...]:
    """What runs CountStreams, without its arguments; the first call fetches and compiles. Raises CannotBuild."""
    java = str(find_java())
    paths = _fetch(cache_dir / "bench-streams", progress)
    compiler = next(path for coordinate, path in paths.items() if coordinate.startswith(COMPILER))
    classpath = os.pathsep.join(str(path) for path in paths.values() if path != compiler)
    digest = hashlib.sha256(SOURCE.read_bytes() + JARS.read_bytes()).hexdigest()[:12]
    classes = cache_dir / "bench-streams" / f"classes-{digest}"
    if not classes.exists():
        progress(f"Compiling {SOURCE.name}")
        command = [java, "-jar", str(compiler), "-17", "-nowarn", "-cp", classpath, "-d", str(classes), str(SOURCE)]
        compiled = subprocess.run(command, capture_output=True, text=True, check=False)
        if compiled.returncode != 0:
            raise CannotBuild(f"{SOURCE.name} does not compile:\n{compiled.stderr[-2000:]}")
    level = "-Dorg.slf4j.simpleLogger.defaultLogLevel=error"
    return (java, level, "-cp", os.pathsep.join((str(classes), classpath)), SOURCE.stem)


def _fetch(folder: Path, progress: Callable[[str], None]) -> dict[str, Path]:
    # jgo takes half a second to import.
    from jgo.maven import MavenContext

    wanted = JarList.model_validate_json(JARS.read_bytes())
    if not folder.exists():
        progress(f"Fetching Kafka Streams {wanted.version}")
    maven = MavenContext(repo_cache=folder)
    paths = {}
    for coordinate, digest in wanted.jars.items():
        group, artifact, version = coordinate.split(":")
        try:
            path: Path = maven.project(group, artifact).at_version(version).artifact().resolve()
        # Every exception of requests, jgo's HTTP client, is an OSError; jgo raises RuntimeError for "not found".
        except (OSError, RuntimeError) as error:
            raise CannotBuild(f"{coordinate} can't be fetched: {error}") from error
        if hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            path.unlink()
            raise CannotBuild(f"{coordinate} does not have the expected checksum: fetched again by the next run")
        paths[coordinate] = path
    return paths

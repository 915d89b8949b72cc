"""Apache Kafka as Maven artifacts, fetched once into the cache folder.

jars.json pins every jar by its SHA-256, so that a second start needs no network and a half-fetched or
damaged cache repairs itself. To move to another Kafka: `python -m deploy.kafka.jars 4.5.0`, then run the tests.
"""

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from importlib import resources
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from deploy.errors import LiveDeskError
from deploy.folders import CACHE, make_folder

Progress = Callable[[str], None]
"""Takes one line on what a long operation is doing."""


def quiet(_line: str) -> None:
    """The progress of callers that show none."""


_ATTEMPTS = 3
_DOWNLOADS_AT_ONCE = 6


class JarList(BaseModel):
    """The jars of one Kafka version: `group:artifact:version` to SHA-256. size: bytes of all of them; 0: not noted."""

    model_config = ConfigDict(frozen=True)

    version: str
    size: int = 0
    jars: Mapping[str, str]


def read_jar_list() -> JarList:
    """The pinned Kafka version and its jars."""
    return JarList.model_validate_json(resources.files("deploy.kafka").joinpath("jars.json").read_bytes())


def megabytes(size: int) -> str:
    """Bytes in words, as everywhere where the download's size is said."""
    return f"{size / 1e6:.0f} MB"


def fetch_jars(cache_dir: Path, progress: Progress, repository: str | None = None) -> list[Path]:
    """Paths of all jars, after fetching those that are missing or damaged.

    repository is a Maven repository's URL, Maven Central by default. Raises LiveDeskError when one can't be had.
    """
    wanted = read_jar_list()
    folder = cache_dir / f"kafka-{wanted.version}"
    paths = {coordinate: folder / _file_name(coordinate) for coordinate in wanted.jars}
    missing = [coordinate for coordinate, path in paths.items() if _sha256(path) != wanted.jars[coordinate]]
    if not missing:
        return list(paths.values())
    make_folder(folder, CACHE)
    try:
        with ThreadPoolExecutor(_DOWNLOADS_AT_ONCE) as pool:
            downloads = [pool.submit(_download, c, wanted.jars[c], paths[c], repository) for c in missing]
            size = 0
            try:
                for count, download in enumerate(as_completed(downloads), start=1):
                    size += download.result()
                    done = f"{count} of {len(missing)} jars, {megabytes(size)}"
                    progress(f"Fetching Apache Kafka {wanted.version}: {done}")
            finally:
                pool.shutdown(cancel_futures=True)
    # Every exception of requests, jgo's HTTP client, is an OSError; jgo raises RuntimeError for "not found".
    except (OSError, RuntimeError) as error:
        raise LiveDeskError(
            f"Apache Kafka {wanted.version} could not be fetched into {folder}: {error}",
            f"The first start needs the network ({megabytes(wanted.size)}). Start again: what was fetched is kept. "
            "Behind a firewall set LIVEDESK_MAVEN_REPOSITORY to a Maven mirror, "
            "or use a Kafka of your own with KAFKA_BOOTSTRAP_SERVERS.",
        ) from error
    return list(paths.values())


def _download(coordinate: str, sha256: str, target: Path, repository: str | None) -> int:
    # jgo takes half a second to import, which only the first start should pay.
    from jgo.maven import MavenContext

    group, artifact, version = coordinate.split(":")
    remotes = {"mirror": repository.rstrip("/")} if repository else None
    problem: Exception = RuntimeError(f"{coordinate} does not have the expected checksum")
    for _ in range(_ATTEMPTS):
        # A scratch folder on the same disk: a jar appears under its name only when it is whole, and jgo, which
        # takes any file that is there for the finished one, never sees what a broken download left.
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetch-") as scratch:
            maven = MavenContext(repo_cache=Path(scratch), remote_repos=remotes)
            try:
                fetched: Path = maven.project(group, artifact).at_version(version).artifact().resolve()
            except (OSError, RuntimeError) as error:
                problem = error
                continue
            if _sha256(fetched) == sha256:
                fetched.replace(target)
                return target.stat().st_size
    raise problem


def _file_name(coordinate: str) -> str:
    _, artifact, version = coordinate.split(":")
    return f"{artifact}-{version}.jar"


def _sha256(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


def _pin(kafka_version: str) -> JarList:
    os.environ.setdefault("M2_REPO", tempfile.mkdtemp())
    import jgo

    artifacts = jgo.resolve(f"org.apache.kafka:kafka_2.13:{kafka_version}+org.slf4j:slf4j-simple:1.7.36")
    jars = {f"{a.groupId}:{a.artifactId}:{a.version}": a.resolve().read_bytes() for a in artifacts}
    hashes = {coordinate: hashlib.sha256(jar).hexdigest() for coordinate, jar in sorted(jars.items())}
    return JarList(version=kafka_version, size=sum(map(len, jars.values())), jars=hashes)


if __name__ == "__main__":
    pinned = json.dumps(_pin(sys.argv[1]).model_dump(), indent=2) + "\n"
    Path(__file__).with_suffix(".json").write_text(pinned)

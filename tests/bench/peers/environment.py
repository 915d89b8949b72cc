"""The virtual environment of the peers that the product does not depend on."""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

REQUIREMENTS = Path(__file__).with_name("requirements.txt")


def peers_python(cache_dir: Path, progress: Callable[[str], None]) -> Path:
    """The interpreter with REQUIREMENTS installed, below cache_dir; the first call installs them.

    Raises CalledProcessError.
    """
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    digest = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:12]
    folder = cache_dir / f"bench-peers-{version}-{digest}"
    python = folder / "bin" / "python"
    installed = folder / "installed"
    if not installed.exists():
        progress(f"Installing Quix Streams into {folder}")
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = (str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
        subprocess.run([*pip, "-r", str(REQUIREMENTS)], check=True)
        installed.touch()
    return python

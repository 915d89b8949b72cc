"""The process in which a document is read: it has no secrets, no network to speak of, and limits on what it may use.

`python -I -m knowledge.child NAME` reads the bytes from its input, and writes one JSON object.
"""

import json
import logging
import resource
import sys
import warnings
import zipfile
from typing import Final

MEMORY: Final = 1 << 30
"""Bytes of address space."""
CPU_S: Final = 60
_BROKEN: Final = "it is broken, or not what its name says: save it anew"


def limit() -> None:
    """Nothing that is read may take more, or write anything to a disk."""
    for what, most in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_CPU, CPU_S), (resource.RLIMIT_FSIZE, 0)):
        resource.setrlimit(what, (most, most))


def main() -> None:
    """Answers {media_type, title, passages}, or {error}."""
    limit()
    logging.disable()
    warnings.simplefilter("ignore")  # what a library thinks of a document helps nobody who added it
    from knowledge.formats import read
    from knowledge.text import Unreadable

    try:
        answer: dict[str, object] = read(sys.stdin.buffer.read(), sys.argv[1])._asdict()
    except Unreadable as error:
        answer = {"error": str(error)}
    except MemoryError:
        answer = {"error": "reading it takes too much memory: split it, or save it as text"}
    except zipfile.BadZipFile:
        answer = {"error": _BROKEN}
    except Exception as error:  # noqa: BLE001 - what the libraries raise of a broken document can't be listed
        answer = {"error": f"{_BROKEN} ({type(error).__name__})"}
    sys.stdout.buffer.write(json.dumps(answer, ensure_ascii=False).encode("utf-8", "replace"))


if __name__ == "__main__":
    main()

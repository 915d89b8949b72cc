"""A process' spool on disk: a folder of files that are written at the end of the last, and read from the first on.

Everything here waits for the disk, and belongs to one thread.
"""

import fcntl
import logging
import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

from ingress.spool.format import HEADER_BYTES, Place, Spooled, decode, encode, header, is_whole, published

logger = logging.getLogger(__name__)

SUFFIX = ".spool"
DAMAGED = ".damaged"
LOCK = "lock"
SEGMENT_BYTES = 8 * 2**20
"""A file takes no more after that, and is deleted when all of it has been published."""
_TRIES = 3
_TRY_AGAIN_SECONDS = 0.02


@dataclass(slots=True)
class Segment:
    """A file. read: up to where it has been published; end: up to where it is on disk; records: those between.

    oldest: when the first of them came, in unix seconds.
    """

    path: Path
    read: int = HEADER_BYTES
    end: int = HEADER_BYTES
    records: int = 0
    oldest: float = 0.0

    @property
    def number(self) -> int:
        """Its place in the order."""
        return int(self.path.stem)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Records to publish, in order, of one file."""

    segment: Segment
    places: Sequence[Place] = ()


class SpoolFolder:
    """The folder of this process, locked for as long as it is open."""

    def __init__(self, path: Path, lock: IO[bytes], *, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.path, self._lock, self._segment_bytes = path, lock, segment_bytes
        self._segments: deque[Segment] = deque()
        self._last = 0
        self._file: int | None = None

    @classmethod
    def open(cls, root: Path, *, segment_bytes: int = SEGMENT_BYTES) -> Self:
        """Take a folder below root, and what processes that are gone have left in theirs. Raises OSError."""
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        free = [found for path in folders(root) if (found := _lock(path)) is not None]
        if free:
            path, lock = free.pop(0)
        else:
            path, lock = _new_folder(root)
        spool = cls(path, lock, segment_bytes=segment_bytes)
        spool._recover(path)
        for other, its_lock in free:
            spool._take_over(other)
            (other / LOCK).unlink()
            its_lock.close()
            other.rmdir()
        _sync_folder(path)
        return spool

    @property
    def records(self) -> int:
        """How many records wait."""
        return sum(segment.records for segment in tuple(self._segments))

    @property
    def size_bytes(self) -> int:
        """What the files take on disk."""
        return sum(segment.end for segment in tuple(self._segments))

    @property
    def oldest(self) -> float | None:
        """When the oldest record that waits came, in unix seconds."""
        return next((segment.oldest for segment in tuple(self._segments) if segment.records), None)

    def append(self, records: Sequence[Spooled]) -> None:
        """Write the records behind all others. On disk when it returns. Raises OSError: none of them counts."""
        if self._file is None or self._segments[-1].end >= self._segment_bytes:
            self._begin_segment()
        segment, file = self._segments[-1], self._file
        assert file is not None  # noqa: S101 - _begin_segment has opened one
        data = b"".join(map(encode, records))
        try:
            os.lseek(file, segment.end, os.SEEK_SET)
            _write_all(file, data)
            os.fsync(file)
        except OSError:
            # A write that failed may be there in part, and an fsync that failed tells nothing about later ones.
            with suppress(OSError):
                os.ftruncate(file, segment.end)
            self._end_segment()
            raise
        if not segment.records:
            segment.oldest = records[0].at
        segment.records += len(records)
        segment.end += len(data)

    def read(self, most_bytes: int) -> Chunk | None:
        """The first records that wait, one at least. None: there are none. Raises OSError."""
        while self._segments:
            segment = self._segments[0]
            data = _read(segment.path, segment.read, min(segment.end, segment.read + most_bytes))
            places = [Place(place.record, segment.read + place.end) for place in decode(data)]
            if not places and len(data) == most_bytes:
                data = _read(segment.path, segment.read, segment.end)
                places = [Place(place.record, segment.read + place.end) for place in decode(data)][:1]
            if places:
                segment.oldest = places[0].record.at
                return Chunk(segment, places)
            if segment.read < segment.end:
                _keep_damaged(segment.path, _read(segment.path, segment.read, segment.end))
            self._drop(segment)
        return None

    def advance(self, chunk: Chunk, count: int) -> None:
        """The first so many records of the chunk are on Kafka. Where nothing is left of a file it is deleted."""
        segment = chunk.segment
        segment.read = chunk.places[count - 1].end
        segment.records -= count
        if segment.read >= segment.end:
            self._drop(segment)
            return
        segment.oldest = chunk.places[count].record.at if count < len(chunk.places) else segment.oldest
        # Without it only more is published twice. So a full disk is no reason to stop.
        with suppress(OSError):
            _write_published(segment.path, segment.read)

    def close(self) -> None:
        """Let another process have the folder."""
        self._end_segment()
        self._lock.close()

    def _begin_segment(self) -> None:
        self._end_segment()
        self._last += 1
        segment = Segment(self._path_of(self._last))
        file = os.open(segment.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            _write_all(file, header())
            _sync_folder(self.path)
        except OSError:
            os.close(file)
            with suppress(OSError):
                segment.path.unlink()
            raise
        self._file = file
        self._segments.append(segment)

    def _end_segment(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    def _drop(self, segment: Segment) -> None:
        if segment is self._segments[-1]:
            self._end_segment()
        self._segments.remove(segment)
        segment.path.unlink(missing_ok=True)

    def _path_of(self, number: int) -> Path:
        return self.path / f"{number:010}{SUFFIX}"

    def _take_over(self, other: Path) -> None:
        for path in segment_files(other):
            moved = self._path_of(self._last + 1)
            path.rename(moved)
            self._add(moved)
        for path in other.glob(f"*{DAMAGED}"):
            path.rename(self.path / f"{other.name}-{path.name}")

    def _recover(self, path: Path) -> None:
        for file in segment_files(path):
            self._add(file)

    def _add(self, path: Path) -> None:
        segment = Segment(path)
        self._last = segment.number
        data = path.read_bytes()
        if is_whole(data):
            scan(segment, data)
            rest = len(data) - segment.end
            if rest:
                logger.warning("the spool file %s ends in a torn record: %d bytes are cut off", path, rest)
                if not _is_cut(data[segment.end :]):
                    _keep_damaged(path, data[segment.end :])
                os.truncate(path, segment.end)
        elif len(data) >= HEADER_BYTES:
            _keep_damaged(path, data)
        if segment.records:
            self._segments.append(segment)
        else:
            path.unlink()


def scan(segment: Segment, data: bytes) -> None:
    """Count what a file, with its header, holds."""
    position = published(data)
    places = list(decode(data, HEADER_BYTES))
    ends = [HEADER_BYTES, *(place.end for place in places)]
    # A position that is no record's end is a damaged one: published twice is better than lost.
    segment.read = position if position in ends else HEADER_BYTES
    waiting = places[ends.index(segment.read) :]
    segment.end, segment.records = ends[-1], len(waiting)
    segment.oldest = waiting[0].record.at if waiting else 0.0


def folders(root: Path) -> list[Path]:
    """The processes' folders."""
    numbered = (path for path in root.glob("*") if path.name.isdigit() and path.is_dir())
    return sorted(numbered, key=lambda path: int(path.name))


def segment_files(folder: Path) -> list[Path]:
    """A folder's files, in order."""
    return sorted(path for path in folder.glob(f"*{SUFFIX}") if path.stem.isdigit())


def in_use(folder: Path) -> bool:
    """Whether a process has the folder."""
    try:
        with (folder / LOCK).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _new_folder(root: Path) -> tuple[Path, IO[bytes]]:
    number = 1
    while True:
        path = root / str(number)
        with suppress(FileExistsError):
            path.mkdir(mode=0o700)
            found = _lock(path)
            if found is not None:
                _sync_folder(root)
                return found
        number += 1


def _lock(path: Path) -> tuple[Path, IO[bytes]] | None:
    """The folder, locked; None: a process has it, or has just deleted it."""
    for _ in range(_TRIES):
        found = _try_to_lock(path)
        if found is not None:
            return found
        time.sleep(_TRY_AGAIN_SECONDS)  # it may be a look at who has it: in_use
    return None


def _try_to_lock(path: Path) -> tuple[Path, IO[bytes]] | None:
    try:
        lock = (path / LOCK).open("ab")
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Who took it over may have deleted it between the two.
        if os.fstat(lock.fileno()).st_ino == (path / LOCK).stat().st_ino:
            return path, lock
    except (BlockingIOError, FileNotFoundError):
        pass
    lock.close()
    return None


def _keep_damaged(path: Path, data: bytes) -> None:
    """Put aside what can't be read but may have been acknowledged, for people to look at."""
    kept = path.with_suffix(f".{time.time_ns()}{DAMAGED}")
    kept.touch(mode=0o600)
    kept.write_bytes(data)
    logger.error("a spool file is damaged: what can't be read of it is kept in %s", kept)


def _is_cut(data: bytes) -> bool:
    """Whether it looks like the beginning of a record, of which the rest was never written."""
    return len(data) < 8 or 8 + int.from_bytes(data[:4], "little") > len(data)


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _write_published(path: Path, position: int) -> None:
    file = os.open(path, os.O_WRONLY)
    try:
        os.pwrite(file, header(position), 0)
    finally:
        os.close(file)


def _read(path: Path, start: int, end: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return file.read(end - start)


def _sync_folder(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def waiting_in(folder: Path) -> Iterator[Segment]:
    """What waits in a folder, without taking it: of a process that runs it is how it looks now."""
    for path in segment_files(folder):
        with suppress(FileNotFoundError):
            segment, data = Segment(path), path.read_bytes()
            if is_whole(data):
                scan(segment, data)
                yield segment

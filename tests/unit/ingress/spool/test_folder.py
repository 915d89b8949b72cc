"""The spool on disk: what was acknowledged is there whatever happens to the end of a file, and is read in order."""

import os
import resource
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingress.spool.folder import SpoolFolder, in_use, segment_files, waiting_in
from ingress.spool.format import HEADER_BYTES, Spooled, decode, encode

HEADERS = st.lists(st.tuples(st.text(max_size=8), st.binary(max_size=20)), max_size=3)
RECORDS = st.builds(
    Spooled,
    at=st.floats(min_value=0, max_value=2e9),
    key=st.binary(max_size=10),
    value=st.binary(max_size=60),
    headers=HEADERS,
)


Open = Callable[..., SpoolFolder]


@pytest.fixture
def open_spool() -> Iterator[Open]:
    opened: list[SpoolFolder] = []

    def open_one(root: Path, **options: int) -> SpoolFolder:
        opened.append(SpoolFolder.open(root, **options))
        return opened[-1]

    yield open_one
    for spool in opened:
        spool.close()


def record(name: str, at: float = 1.0) -> Spooled:
    return Spooled(at, b"shop", name.encode(), [("delivery-id", b"d")])


def drained(spool: SpoolFolder, most_bytes: int = 2**20) -> Iterator[Spooled]:
    """Everything, published chunk by chunk."""
    while (chunk := spool.read(most_bytes)) is not None:
        yield from (place.record for place in chunk.places)
        spool.advance(chunk, len(chunk.places))


def names(records: Iterator[Spooled]) -> list[str]:
    return [record.value.decode() for record in records]


@given(st.lists(RECORDS, max_size=6))
def test_records_are_read_as_they_were_written(records: list[Spooled]) -> None:
    data = b"".join(map(encode, records))
    assert [place.record for place in decode(data)] == records
    assert [place.end for place in decode(data)][-1:] == ([len(data)] if records else [])


@given(st.lists(RECORDS, min_size=1, max_size=3), st.binary(max_size=40))
def test_a_file_torn_at_any_byte_and_followed_by_anything_keeps_the_records_before_and_makes_none_up(
    records: list[Spooled], rest: bytes
) -> None:
    data = b"".join(map(encode, records))
    ends = [0, *(place.end for place in decode(data))]
    for cut in range(len(data)):
        whole = sum(end <= cut for end in ends) - 1
        assert [place.record for place in decode(data[:cut])] == records[:whole]
        # Zeros as a file system may leave, or what was there before.
        for tail in (b"\0" * 64, rest):
            found = [place.record for place in decode(data[:cut] + tail)]
            assert whole <= len(found) <= len(records)
            assert found == records[: len(found)]


@given(st.lists(RECORDS, min_size=1, max_size=4), st.data())
def test_a_flipped_bit_is_noticed(records: list[Spooled], data: st.DataObject) -> None:
    content = bytearray(b"".join(map(encode, records)))
    place = data.draw(st.integers(min_value=0, max_value=len(content) - 1))
    content[place] ^= 1 << data.draw(st.integers(min_value=0, max_value=7))
    assert [found.record for found in decode(bytes(content))] == records[: len(list(decode(bytes(content))))]
    assert len(list(decode(bytes(content)))) < len(records)


def test_the_next_process_cuts_a_torn_end_off_and_goes_on_behind_it(tmp_path: Path, open_spool: Open) -> None:
    root, records = tmp_path, [record("first"), record("second"), record("torn")]
    spool = open_spool(root)
    spool.append(records)
    spool.close()
    (file,) = segment_files(root / "1")
    whole = file.read_bytes()
    last = len(whole) - len(encode(records[-1]))
    for cut in range(last, len(whole)):
        file.write_bytes(whole[:cut])
        spool = open_spool(root)
        spool.append([record("behind")])
        assert list(drained(spool)) == [*records[:-1], record("behind")]
        spool.close()


def test_chunks_are_bounded_and_the_published_is_not_read_again_by_the_next_process(
    tmp_path: Path, open_spool: Open
) -> None:
    spool = open_spool(tmp_path)
    spool.append([record(f"{number:03}", at=float(number)) for number in range(100)])
    chunk = spool.read(1000)
    assert chunk is not None
    assert 5 < len(chunk.places) < 50
    spool.advance(chunk, 3)
    assert (spool.records, spool.oldest) == (97, 3.0)
    spool.close()
    spool = open_spool(tmp_path)
    assert (spool.records, spool.oldest) == (97, 3.0)
    assert names(drained(spool, 1000)) == [f"{number:03}" for number in range(3, 100)]
    assert (spool.records, spool.size_bytes, spool.oldest) == (0, 0, None)
    assert segment_files(tmp_path / "1") == []


def test_a_record_larger_than_a_chunk_comes_alone(tmp_path: Path, open_spool: Open) -> None:
    spool = open_spool(tmp_path)
    spool.append([record("x" * 5000), record("behind")])
    assert names(drained(spool, 100)) == ["x" * 5000, "behind"]


def test_files_are_begun_and_deleted_one_by_one(tmp_path: Path, open_spool: Open) -> None:
    spool = open_spool(tmp_path, segment_bytes=200)
    for number in range(12):
        spool.append([record(str(number))])
    assert len(segment_files(tmp_path / "1")) > 2
    read = []
    while (chunk := spool.read(2**20)) is not None:
        before = len(segment_files(tmp_path / "1"))
        read += [place.record.value for place in chunk.places]
        spool.advance(chunk, len(chunk.places))
        assert len(segment_files(tmp_path / "1")) == before - 1
    assert read == [b"%d" % number for number in range(12)]
    spool.append([record("again")])
    assert names(drained(spool)) == ["again"]


def test_each_process_has_a_folder_and_the_next_start_takes_over_those_of_the_dead(
    tmp_path: Path, open_spool: Open
) -> None:
    first, second, third = (open_spool(tmp_path) for _ in range(3))
    assert [spool.path.name for spool in (first, second, third)] == ["1", "2", "3"]
    for spool, name in ((first, "a"), (second, "b"), (third, "c")):
        spool.append([record(name)])
    second.close()
    third.close()
    assert [in_use(tmp_path / name) for name in "123"] == [True, False, False]
    assert [segment.records for segment in waiting_in(tmp_path / "3")] == [1]
    heir = open_spool(tmp_path)
    assert heir.path.name == "2"
    assert not (tmp_path / "3").exists()
    heir.append([record("d")])
    assert names(drained(heir)) == ["b", "c", "d"]
    assert names(drained(first)) == ["a"]


def test_damage_within_a_file_is_put_aside_and_what_follows_it_is_kept(
    tmp_path: Path, open_spool: Open, caplog: pytest.LogCaptureFixture
) -> None:
    spool = open_spool(tmp_path, segment_bytes=100)
    spool.append([record("before"), record("damaged"), record("behind")])
    spool.append([record("next file")])
    file = segment_files(tmp_path / "1")[0]
    spool.close()
    content = file.read_bytes()
    file.write_bytes(content.replace(b"damaged", b"Damaged"))
    spool = open_spool(tmp_path)
    assert names(drained(spool)) == ["before", "next file"]
    (kept,) = (tmp_path / "1").glob("*.damaged")
    assert b"Damaged" in kept.read_bytes()
    assert b"behind" in kept.read_bytes()
    assert "damaged" in caplog.text
    assert "behind" not in caplog.text


def test_a_file_that_is_none_of_ours_is_put_aside(tmp_path: Path, open_spool: Open) -> None:
    open_spool(tmp_path).close()
    (tmp_path / "1" / "0000000007.spool").write_bytes(b"something else altogether")
    (tmp_path / "1" / "0000000008.spool").write_bytes(b"LDSP")
    spool = open_spool(tmp_path)
    spool.append([record("new")])
    assert names(drained(spool)) == ["new"]
    assert len(list((tmp_path / "1").glob("*.damaged"))) == 1


def test_a_position_that_is_no_record_s_end_counts_as_none(tmp_path: Path, open_spool: Open) -> None:
    spool = open_spool(tmp_path)
    spool.append([record("a"), record("b")])
    spool.close()
    (file,) = segment_files(tmp_path / "1")
    content = bytearray(file.read_bytes())
    content[8:HEADER_BYTES] = (HEADER_BYTES + 5).to_bytes(8, "little")
    file.write_bytes(content)
    assert names(drained(open_spool(tmp_path))) == ["a", "b"]


def test_an_fsync_that_fails_acknowledges_nothing_and_the_file_is_written_no_more(
    tmp_path: Path, open_spool: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = open_spool(tmp_path)
    spool.append([record("a")])

    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", fail)
        with pytest.raises(OSError, match="Input/output"):
            spool.append([record("b")])
    spool.append([record("c")])
    assert len(segment_files(tmp_path / "1")) == 2
    assert names(drained(spool)) == ["a", "c"]


FULL_DISK = textwrap.dedent("""
    import resource, signal, sys
    from pathlib import Path
    from ingress.spool.folder import SpoolFolder
    from ingress.spool.format import Spooled
    # The kernel refuses to write beyond: as a full disk, in the middle of a record.
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
    spool = SpoolFolder.open(Path(sys.argv[1]))
    acknowledged = 0
    for number in range(100):
        try:
            spool.append([Spooled(1.0, b"k", b"%d" % number + b" " * 300, [])])
        except OSError as error:
            break
        print(number)
""")


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="there is no such limit here")
def test_when_the_disk_takes_no_more_what_was_acknowledged_is_kept_whole(tmp_path: Path, open_spool: Open) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[4])}
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path)]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    acknowledged = said.split()
    assert 5 < len(acknowledged) < 20
    spool = open_spool(tmp_path)
    assert [value.split()[0] for value in names(drained(spool))] == acknowledged
    assert list(tmp_path.rglob("*.damaged")) == []

"""Browsers' voice notes: from WebM to Ogg, packet by packet."""

import io

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.types import detect
from media.voice import MAX_BYTES, ogg_of
from tests.support.files import MP4, OPUS, WEBM, recorded

NOTE = recorded()


def packets(data: bytes) -> list[bytes]:
    with av.open(io.BytesIO(data), "r") as container:
        return [bytes(packet) for packet in container.demux(container.streams.audio[0]) if packet.size]


def test_opus_in_webm_becomes_opus_in_ogg_as_it_was_recorded() -> None:
    ogg = ogg_of(io.BytesIO(NOTE), len(NOTE))
    assert ogg is not None
    assert detect(io.BytesIO(NOTE)) == "webm"
    assert detect(io.BytesIO(ogg)) == "opus"
    assert len(packets(NOTE)) >= 50
    assert packets(ogg) == packets(NOTE)


def test_a_recording_that_was_cut_off_goes_as_far_as_it_goes() -> None:
    cut = NOTE[: len(NOTE) // 2]
    ogg = ogg_of(io.BytesIO(cut), len(cut))
    assert ogg is not None
    assert packets(ogg) == packets(NOTE)[: len(packets(ogg))]
    assert packets(ogg)


@pytest.mark.parametrize(
    "data",
    [recorded(pictures=True), recorded("flac", "matroska"), OPUS, MP4, WEBM, b"", b"RIFF" + bytes(99)],
    ids=["with pictures", "flac", "ogg", "mp4", "empty webm", "nothing", "riff"],
)
def test_what_is_no_voice_note_in_webm_stays_as_it_is(data: bytes) -> None:
    assert ogg_of(io.BytesIO(data), len(data)) is None


def test_what_no_provider_takes_is_not_read() -> None:
    assert ogg_of(io.BytesIO(NOTE), MAX_BYTES + 1) is None


@given(st.data())
def test_no_file_raises(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(NOTE) - 8))
    broken = NOTE[:at] + data.draw(st.binary(min_size=1, max_size=8)) + NOTE[at + 4 :]
    ogg_of(io.BytesIO(broken), len(broken))

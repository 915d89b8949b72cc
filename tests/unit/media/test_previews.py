"""Small pictures of pictures."""

import io
import struct
import zlib
from typing import cast

import pytest
from PIL import ExifTags, Image

from media.previews import MAX_PIXELS, SIZE, preview_of
from tests.support.files import HTML, picture


def opened(data: bytes | None) -> Image.Image:
    assert data is not None
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF"])
def test_a_preview_is_a_small_webp(format: str) -> None:
    shown = opened(preview_of(io.BytesIO(picture(format, (1200, 600)))))
    assert (shown.format, shown.size) == ("WEBP", (SIZE, SIZE // 2))


def test_a_small_picture_stays_as_small() -> None:
    assert opened(preview_of(io.BytesIO(picture(size=(20, 10))))).size == (20, 10)


def test_a_preview_holds_nothing_of_where_and_when_and_stands_upright() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.Make] = "a camera"
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitude] = (48.0, 8.0, 0.0)
    data = picture(size=(400, 200), exif=exif, comment=b"a secret")
    assert b"a camera" in data
    shown = opened(preview_of(io.BytesIO(data)))
    assert shown.size == (160, 320)
    assert dict(shown.getexif()) == {}
    assert "exif" not in shown.info
    assert b"a camera" not in cast(bytes, preview_of(io.BytesIO(data)))


def test_what_is_transparent_stays_so() -> None:
    written = io.BytesIO()
    Image.new("RGBA", (30, 30), (0, 0, 0, 0)).save(written, "PNG")
    assert opened(preview_of(written)).mode == "RGBA"


def bomb(side: int) -> bytes:
    """A PNG that says it has so many pixels, and is tiny."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [int(MAX_PIXELS**0.5) + 1, 11_000, 100_000])
def test_a_decompression_bomb_has_none(side: int) -> None:
    assert preview_of(io.BytesIO(bomb(side))) is None


@pytest.mark.parametrize("data", [b"", HTML, picture()[:200], picture("TIFF"), b"\xff\xd8\xff" + bytes(50)])
def test_what_can_t_be_shown_has_none(data: bytes) -> None:
    assert preview_of(io.BytesIO(data)) is None

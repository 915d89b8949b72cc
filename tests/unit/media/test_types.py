"""A file's type is what its bytes say."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.types import TYPES, detect, type_of
from tests.support.files import DOCX, HTML, MP4, OPUS, PDF, SVG, VORBIS, WEBM, picture, zipped

OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (picture("JPEG"), "image/jpeg"),
        (picture("PNG"), "image/png"),
        (picture("WEBP"), "image/webp"),
        (picture("GIF"), "image/gif"),
        (OPUS, "audio/ogg; codecs=opus"),
        (VORBIS, "audio/ogg"),
        (MP4, "video/mp4"),
        (b"\0\0\0\x18ftypM4A \0\0\0\0M4A mp42" + bytes(20), "audio/mp4"),
        (b"\0\0\0\x18ftyp3gp4\0\0\0\0isom3gp4" + bytes(20), "video/3gpp"),
        (b"ID3\x03\0\0\0\0\0\x0f" + bytes(20), "audio/mpeg"),
        (b"\xff\xfb\x90\x64" + bytes(200), "audio/mpeg"),
        (b"\xff\xf1\x50\x80" + bytes(40), "audio/aac"),
        (b"#!AMR\n\x3c" + bytes(20), "audio/amr"),
        (WEBM, "video/webm"),
        (PDF, "application/pdf"),
        (DOCX, TYPES["docx"]),
        (zipped("[Content_Types].xml", "xl/workbook.xml"), TYPES["xlsx"]),
        (zipped("[Content_Types].xml", "ppt/presentation.xml"), TYPES["pptx"]),
        (zipped("word/document.xml"), "application/zip"),
        (zipped("a.txt"), "application/zip"),
        (b"PK\x03\x04" + bytes(40), "application/zip"),
        (OLE, "application/msword"),
        (HTML, "text/html"),
        (SVG, "image/svg+xml"),
        (b"BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Ana\r\nEND:VCARD\r\n", "text/vcard"),
        ("Hola, ¿qué tal?\n".encode(), "text/plain"),
        (b"x" + ("é" * 3_000).encode(), "text/plain"),
        (b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff" + bytes(60), "application/octet-stream"),
        (bytes(range(1, 256)), "application/octet-stream"),
        (b"plain\x00text", "application/octet-stream"),
    ],
)
def test_a_type_comes_from_the_bytes(data: bytes, expected: str) -> None:
    assert TYPES[detect(io.BytesIO(data), "application/x-lie")] == expected


@pytest.mark.parametrize(
    ("data", "declared", "expected"),
    [
        (MP4, "audio/mp4", "audio/mp4"),
        (MP4, "audio/mpeg", "video/mp4"),
        (OLE, "application/vnd.ms-excel", "application/vnd.ms-excel"),
        (OLE, "image/png", "application/msword"),
        (HTML, "image/jpeg", "text/html"),
        (OPUS, "audio/opus", "audio/ogg; codecs=opus"),
    ],
)
def test_what_is_said_decides_only_where_the_bytes_allow_either(data: bytes, declared: str, expected: str) -> None:
    assert TYPES[detect(io.BytesIO(data), declared)] == expected


@given(st.binary(max_size=300), st.sampled_from([b"", b"PK\x03\x04", b"OggS", b"\xff\xd8\xff", b"RIFF", b"<"]))
def test_any_bytes_have_a_type(data: bytes, head: bytes) -> None:
    assert detect(io.BytesIO(head + data)) in TYPES


@pytest.mark.parametrize(
    ("key", "expected"),
    [("in/a/b.jpg", "image/jpeg"), ("in/a/b.preview.webp", "image/webp"), ("in/a/b.exe", TYPES["bin"])],
)
def test_a_key_says_its_file_s_type(key: str, expected: str) -> None:
    assert type_of(key) == expected

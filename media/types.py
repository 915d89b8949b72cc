"""Of what type a file is: by its bytes, never by what its sender says. The types are a closed list, by extension."""

import zipfile
from collections.abc import Iterator, Mapping
from typing import IO, Final

import puremagic

_OFFICE: Final = "application/vnd.openxmlformats-officedocument."
TYPES: Final[Mapping[str, str]] = {
    "jpg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "gif": "image/gif",
    "heic": "image/heic",
    "tiff": "image/tiff",
    "svg": "image/svg+xml",
    "mp4": "video/mp4",
    "3gp": "video/3gpp",
    "mov": "video/quicktime",
    "webm": "video/webm",
    "opus": "audio/ogg; codecs=opus",
    "ogg": "audio/ogg",
    "mp3": "audio/mpeg",
    "m4a": "audio/mp4",
    "aac": "audio/aac",
    "amr": "audio/amr",
    "wav": "audio/wav",
    "pdf": "application/pdf",
    "doc": "application/msword",
    "xls": "application/vnd.ms-excel",
    "ppt": "application/vnd.ms-powerpoint",
    "docx": f"{_OFFICE}wordprocessingml.document",
    "xlsx": f"{_OFFICE}spreadsheetml.sheet",
    "pptx": f"{_OFFICE}presentationml.presentation",
    "zip": "application/zip",
    "txt": "text/plain",
    "vcf": "text/vcard",
    "html": "text/html",
    "xml": "application/xml",
    "bin": "application/octet-stream",
}
"""Extension -> type. What is none of the others is bin."""

SHOWN: Final = frozenset({"jpg", "png", "webp", "gif", "mp4", "3gp", "webm", "opus", "ogg", "mp3", "m4a", "aac", "amr"})
"""What a browser may show in its place; everything else it is to save."""

_SAME: Final = {
    "jpeg": "jpg",
    "jpe": "jpg",
    "jfif": "jpg",
    "tif": "tiff",
    "3ga": "3gp",
    "htm": "html",
    "mpga": "mp3",
    "qt": "mov",
}
_FAMILIES: Final = ({"mp4", "m4a"}, {"doc", "xls", "ppt"})
"""Of one container: the bytes allow either, so that the sender's word decides."""
_FOLDERS: Final = {"word": "docx", "xl": "xlsx", "ppt": "pptx"}
WEBP_HEAD: Final = 21
"""Bytes of a WebP that say whether it moves."""
_HEAD: Final = 4_096
_OPUS: Final = slice(28, 36)
"""Where the first page of an Ogg file names its codec."""


def extension_of(key: str) -> str:
    """What the key of a file in the store ends in."""
    return key.rpartition(".")[2]


def type_of(key: str) -> str:
    """The type of a file in the store."""
    return TYPES.get(extension_of(key), TYPES["bin"])


def detect(file: IO[bytes], declared: str | None = None) -> str:
    """The extension of the file's type. declared: what its sender says, which chooses between equals alone."""
    head = _read_head(file)
    found = next((name for name in _candidates(file) if name in TYPES), None)
    if head.startswith(b"PK\x03\x04"):
        return _zipped(file)
    if found is None:
        return "txt" if _is_text(head) else "bin"
    if found == "ogg" and head[_OPUS] == b"OpusHead":
        return "opus"
    said = (declared or "").partition(";")[0].strip().lower()
    family: set[str] = next((family for family in _FAMILIES if found in family), set())
    return next((name for name in sorted(family) if TYPES[name] == said), found)


def is_animated(head: bytes) -> bool:
    """Whether a WebP moves, by its first bytes."""
    return head[12:16] == b"VP8X" and len(head) >= WEBP_HEAD and bool(head[20] & 0b10)


def _read_head(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read(_HEAD)


def _candidates(file: IO[bytes]) -> Iterator[str]:
    """What puremagic takes it for, the likeliest first."""
    file.seek(0)
    try:
        found = puremagic.magic_stream(file)
    except Exception:  # noqa: BLE001 - it says so when it knows nothing, and a hostile file may confuse it
        return
    for one in found:
        name = one.extension.lstrip(".")
        yield _SAME.get(name, name)


def _zipped(file: IO[bytes]) -> str:
    """Office's documents are zip files, told by their folders."""
    try:
        with zipfile.ZipFile(file) as archive:
            folders = {name.partition("/")[0] for name in archive.namelist()}
    except Exception:  # noqa: BLE001 - whatever a hostile file makes of the reader, it begins as a zip file does
        return "zip"
    if "[Content_Types].xml" not in folders:
        return "zip"
    return next((name for folder, name in _FOLDERS.items() if folder in folders), "zip")


def _is_text(head: bytes) -> bool:
    """Whether it is UTF-8 without control characters; the head may end inside a character."""
    text = head.decode(errors="ignore")
    return len(head) - len(text.encode()) < 4 and not any(
        character < " " and character not in "\t\r\n\f" for character in text
    )

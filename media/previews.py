"""Small pictures of pictures, without whatever else the file holds (EXIF: place, time, camera)."""

import io
from typing import IO, Final

from PIL import Image, ImageOps

SIZE: Final = 320
"""Pixels of the longer side at most."""
MAX_PIXELS: Final = 50_000_000
"""Of the picture: what decodes to more is a bomb, or not worth it."""
PICTURES: Final = frozenset({"jpg", "png", "webp", "gif"})
_FORMATS: Final = ("JPEG", "PNG", "WEBP", "GIF")


def preview_of(file: IO[bytes]) -> bytes | None:
    """A WebP of the picture; None: it is none that can be shown. Takes up to a second: not for the event loop."""
    file.seek(0)
    try:
        with Image.open(file, formats=_FORMATS) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                return None
            picture.draft("RGB", (SIZE, SIZE))
            small = ImageOps.exif_transpose(picture)
            small.thumbnail((SIZE, SIZE))
            small = small.convert("RGBA" if small.has_transparency_data else "RGB")
            written = io.BytesIO()
            # A new picture: of the old one's metadata nothing is left to be written.
            Image.frombytes(small.mode, small.size, small.tobytes()).save(written, "WEBP", quality=75)
            return written.getvalue()
    except Exception:  # noqa: BLE001 - whatever a hostile file makes of the decoder, it has no preview
        return None

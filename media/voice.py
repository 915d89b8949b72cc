"""Voice notes as browsers record them, Opus in WebM, put into the container that WhatsApp takes: Ogg."""

import io
from typing import IO, Final

import av

MAX_BYTES: Final = 16 << 20
"""What is larger is taken by no provider as audio (docs, confirmed): it stays as it is."""
_FORMAT: Final = "matroska"


def ogg_of(file: IO[bytes], size: int) -> bytes | None:
    """The Opus of a WebM file without pictures, as Ogg: the same packets. None: it is no such file.

    size: bytes. Takes a moment: not for the event loop.
    """
    if size > MAX_BYTES:
        return None
    file.seek(0)
    written = io.BytesIO()
    try:
        with av.open(file, "r", format=_FORMAT) as source, av.open(written, "w", format="ogg") as target:
            (stream,) = source.streams
            if not isinstance(stream, av.AudioStream) or stream.codec_context.name != "opus":
                return None
            copy = target.add_stream_from_template(stream)
            for packet in source.demux(stream):
                if packet.dts is not None:  # the last one is empty
                    packet.stream = copy
                    target.mux(packet)
    except Exception:  # noqa: BLE001 - whatever a hostile file makes of the reader, it is no voice note
        return None
    return written.getvalue() or None

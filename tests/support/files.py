"""Files of the types that people send, as small as they can be."""

import io
import zipfile

import av
from PIL import Image

OPUS = b"OggS\x00\x02" + bytes(8) + b"\x01\0\0\0" + bytes(8) + b"\x01\x13OpusHead\x01\x01" + bytes(40)
VORBIS = b"OggS\x00\x02" + bytes(8) + b"\x01\0\0\0" + bytes(8) + b"\x01\x1e\x01vorbis" + bytes(40)
MP4 = b"\0\0\0\x18ftypisom\0\0\x02\0isomiso2" + bytes(20)
PDF = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<<>>\nendobj\n"
HTML = b"<!DOCTYPE html><html><body><script>alert(1)</script></body></html>"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
WEBM = (
    b"\x1a\x45\xdf\xa3\x01\0\0\0\0\0\0\x1f\x42\x86\x81\x01\x42\xf7\x81\x01"
    b"\x42\xf2\x81\x04\x42\xf3\x81\x08\x42\x82\x84webm"
)


def picture(format: str = "JPEG", size: tuple[int, int] = (64, 48), **options: object) -> bytes:
    """A picture of one colour."""
    written = io.BytesIO()
    Image.new("RGB", size, (200, 30, 30)).save(written, format, **options)
    return written.getvalue()


def zipped(*names: str) -> bytes:
    """A zip file with an entry of each name."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name in names:
            archive.writestr(name, "<x/>")
    return written.getvalue()


DOCX = zipped("[Content_Types].xml", "_rels/.rels", "word/document.xml")


def recorded(codec: str = "libopus", format: str = "webm", *, pictures: bool = False) -> bytes:
    """A second of silence, as a browser records it."""
    written = io.BytesIO()
    with av.open(written, "w", format=format) as container:
        if pictures:
            container.add_stream("libvpx", rate=1, width=16, height=16)
        stream = container.add_stream(codec, rate=48_000, layout="mono")
        assert isinstance(stream, av.AudioStream)
        for number in range(50):
            frame = av.AudioFrame(format=stream.format.name, layout="mono", samples=960)
            frame.sample_rate, frame.pts = 48_000, number * 960
            for plane in frame.planes:
                plane.update(bytes(plane.buffer_size))
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return written.getvalue()

"""Documents of every kind, and hostile ones, read in the process that reads them."""

import io
import zipfile

import docx
import pytest
from pypdf import PdfWriter

from knowledge.extraction import MAX_BYTES, Extraction
from knowledge.formats import DOCX, FAQ, HTML, MARKDOWN, PDF, TEXT, Document
from knowledge.text import Unreadable


def pdf(*pages: str, password: str | None = None) -> bytes:
    """A PDF with a line of text on each page."""
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>"]
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    objects.append(f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode())
    objects.append(b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>")
    for number, text in enumerate(pages):
        page = "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Resources << /Font << /F1 3 0 R >> >>"
        objects.append(f"{page} /Contents {5 + 2 * number} 0 R >>".encode())
        drawn = f"BT /F1 12 Tf 50 700 Td ({text}) Tj ET".encode("cp1252")
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(drawn), drawn))
    body, places = b"%PDF-1.4\n", []
    for number, one in enumerate(objects, start=1):
        places.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, one)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    trailer = b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % (len(objects) + 1, len(body))
    made = body + b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1) + table + trailer
    if password is None:
        return made
    writer = PdfWriter(clone_from=io.BytesIO(made))
    writer.encrypt(password, algorithm="AES-256")
    written = io.BytesIO()
    writer.write(written)
    return written.getvalue()


def word() -> bytes:
    document = docx.Document()
    document.add_heading("Returns", 1)
    document.add_paragraph("You may return it.")
    document.add_heading("Costs", 2)
    row = document.add_table(rows=1, cols=2).rows[0]
    row.cells[0].text, row.cells[1].text = "Sofa", "49 euros"
    written = io.BytesIO()
    document.save(written)
    return written.getvalue()


def bomb(zeros: int) -> bytes:
    """A docx that unpacks to a thousand times its size."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("word/document.xml", "w") as file:
        for _ in range(zeros >> 20):
            file.write(bytes(1 << 20))
    return written.getvalue()


def archive(**files: bytes) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as made:
        for name, data in files.items():
            made.writestr(name, data)
    return written.getvalue()


async def read(data: bytes, name: str, *, within_s: float = 60.0) -> Document:
    return await Extraction(within_s=within_s).read(io.BytesIO(data), name)


PAGE = """<!doctype html><html><head><title>Shop</title><style>p {}</style></head><body><nav>Home</nav>
<h1>Returns</h1><p>You <b>may</b> return it.</p><script>evil()</script><div hidden>unseen</div>
<ul><li>unused<li>in its box</ul></body></html>"""
MARKED = """---
title: Our shop
---
# Returns
You may return it.
<!-- unseen -->
```
# no heading
```
## Costs

None.
"""


@pytest.mark.parametrize(
    ("data", "name", "expected"),
    [
        (MARKED.encode(), "a.md", (MARKDOWN, "Our shop", ["You may", "Returns › Costs\nNone."])),
        (PAGE.encode(), "a.html", (HTML, "Shop", ["Returns\nYou may return it.\n\nunused\n\nin its box"])),
        (PAGE.encode(), "unnamed", (HTML, "Shop", ["Returns\nYou may"])),
        (word(), "a.docx", (DOCX, "Returns", ["Returns\nYou may", "Returns › Costs\nSofa | 49 euros"])),
        (pdf("You may return it.", "Gar\xe7on"), "a.pdf", (PDF, "", ["You may return it.\n\nGarçon"])),
        (pdf("Misnamed."), "a.txt", (PDF, "", ["Misnamed."])),
        (
            b"- question: How?\n  answer: So.\n- {question: Why, answer: For it.}",
            "faq.yaml",
            (FAQ, "", ["How?\nSo.", "Why"]),
        ),
        ("\ufeffDon\u2019t \ufb01nd\x07 it\u00ad.".encode("utf-16"), "a.txt", (TEXT, "", ["Don’t find it."])),
        (
            ("Señor, ¿dónde está el camión? Podrá devolver el artículo. " * 5).encode("cp1252"),
            "a.txt",
            (TEXT, "", ["Señor, ¿dónde"]),
        ),
        ("您可以在收到商品后三十天内退货，运费由我们承担。".encode("gb18030"), "a.txt", (TEXT, "", ["您可以"])),
    ],
)
async def test_documents_are_read(data: bytes, name: str, expected: tuple[str, str, list[str]]) -> None:
    found = await read(data, name)
    media_type, title, begins = expected
    assert (found.media_type, found.title) == (media_type, title)
    shown = [
        passage.removeprefix("Returns\n") if begin == "You may" else passage
        for passage, begin in zip(found.passages, begins, strict=True)
    ]
    assert all(passage.startswith(begin) for passage, begin in zip(shown, begins, strict=True)), found
    assert not any("unseen" in passage or "evil" in passage or "Home" in passage for passage in found.passages)


@pytest.mark.parametrize(
    ("data", "name", "why"),
    [
        (pdf("secret", password="x"), "a.pdf", "it has a password: save it without one"),
        (b"no PDF", "a.pdf", "its name ends in .pdf, but its bytes are something else: save it anew"),
        (b"%PDF-1.4\nrubbish", "a.pdf", "it is broken, or not what its name says: save it anew"),
        (pdf(""), "a.pdf", "there is no text in it: it may be scanned: run it through OCR first"),
        (bytes(range(256)) * 40, "a.txt", "it is no text: documents are"),
        (bytes(range(256)) * 40, "a.md", "it is no text: documents are"),
        (b"PK\x03\x04rubbish", "a.docx", "it is broken, or not what its name says: save it anew"),
        (archive(a=b"x"), "a.docx", "it is a ZIP archive, and no docx: unpack it, and add its files"),
        (bomb(256 << 20), "a.docx", "it unpacks to 268,435,456 bytes"),
        (bomb(100 << 20), "a.docx", ""),
        (b"<p>" * 200_000 + b"x", "a.html", ""),
        (b"", "a.txt", "there is no text in it: it is empty"),
        (b"\xd0\xcf\x11\xe0 old", "a.doc", "it is in an old format of Office: save it as docx or PDF"),
        (b"a: {", "a.yaml", "it is no YAML"),
        (b"a: b", "a.yaml", "it is no FAQ: write a list"),
        (b"- question: x\n", "a.yaml", "entry 1 has no question with an answer"),
        (b"[" * 100_000, "a.yaml", ""),
        (b"x " * 2_000_000, "a.txt", "its text has more than 3,000,000 characters: split it"),
        (bytes(MAX_BYTES + 1), "a.txt", "it has more than 20,971,520 bytes: split it"),
    ],
)
async def test_what_can_t_be_read_says_what_to_do(data: bytes, name: str, why: str) -> None:
    if name == "a.html":
        assert (await read(data, name)).passages == ["x"]
        return
    with pytest.raises(Unreadable) as found:
        await read(data, name)
    assert str(found.value).startswith(why)
    assert ":" in str(found.value)


async def test_an_endless_reading_is_ended() -> None:
    with pytest.raises(Unreadable, match="takes too long"):
        await read(b"x", "a.txt", within_s=0.001)


async def test_a_pdf_with_too_many_pages_is_refused() -> None:
    with pytest.raises(Unreadable, match="it has 2,001 pages, at most 2,000"):
        await read(pdf(*["x"] * 2001), "a.pdf")

"""Reading documents, by what they are. It runs in a process of its own (knowledge/child.py), as they may be hostile."""

import io
import re
import zipfile
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Any, Final, NamedTuple

import yaml

from knowledge.cutting import MAX_HEADING, Block, cut
from knowledge.text import Unreadable, cleaned, decoded, looks_binary

MAX_PAGES: Final = 2_000
"""Pages of a PDF."""
MAX_UNPACKED: Final = 200 << 20
"""Bytes of a docx, unpacked."""
MAX_CHARACTERS: Final = 3_000_000
"""Of a document's text."""
MAX_TITLE: Final = 200
"""Characters."""

PDF: Final = "application/pdf"
DOCX: Final = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
HTML: Final = "text/html"
MARKDOWN: Final = "text/markdown"
TEXT: Final = "text/plain"
FAQ: Final = "application/yaml"
BY_SUFFIX: Final = {
    ".pdf": PDF,
    ".docx": DOCX,
    ".html": HTML,
    ".htm": HTML,
    ".xhtml": HTML,
    ".md": MARKDOWN,
    ".markdown": MARKDOWN,
    ".txt": TEXT,
    ".text": TEXT,
    ".yaml": FAQ,
    ".yml": FAQ,
}
_FAQ_FORM: Final = "write a list, each entry with a question and an answer"


class Document(NamedTuple):
    """What was read. title: empty where the document says none."""

    media_type: str
    title: str
    passages: list[str]


class _Read(NamedTuple):
    title: str
    blocks: Iterator[Block]


def read(data: bytes, name: str) -> Document:
    """The document in some bytes. name: of its file: what can't be told from bytes is told by it. Raises Unreadable."""
    media_type = type_of(data, name)
    title, blocks = _READERS[media_type](data)
    kept = list(_kept(blocks))
    # Each entry of a FAQ is a passage, however long its answer is.
    passages = [block.text for block in kept] if media_type == FAQ else cut(kept)
    if not passages:
        why = "it may be scanned: run it through OCR first" if media_type == PDF else "it is empty"
        raise Unreadable(f"there is no text in it: {why}")
    first = next((block.text for block in kept if block.level == 1), "")
    return Document(media_type, " ".join(cleaned(title or first).split())[:MAX_TITLE], passages)


def type_of(data: bytes, name: str) -> str:
    """What the bytes are; where several may be, what the name says. Raises Unreadable."""
    suffix = PurePosixPath(name).suffix.lower()
    said = BY_SUFFIX.get(suffix)
    if b"%PDF-" in data[:1024]:
        return PDF
    if data.startswith(b"PK\x03\x04"):
        return DOCX
    if said in (PDF, DOCX):
        raise Unreadable(f"its name ends in {suffix}, but its bytes are something else: save it anew")
    if data.startswith(b"\xd0\xcf\x11\xe0"):
        raise Unreadable("it is in an old format of Office: save it as docx or PDF")
    if looks_binary(data):
        raise Unreadable("it is no text: documents are PDF, docx, HTML, Markdown, text, or a FAQ in YAML")
    if said is not None:
        return said
    start = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return HTML if start.startswith((b"<!doctype html", b"<html")) else TEXT


def _kept(blocks: Iterator[Block]) -> Iterator[Block]:
    characters = 0
    for level, raw in blocks:
        characters += len(raw)
        if characters > MAX_CHARACTERS:
            raise Unreadable(f"its text has more than {MAX_CHARACTERS:,} characters: split it, for example by chapters")
        text = cleaned(raw)
        if text:
            yield Block(level if len(text) <= MAX_HEADING else 0, text)


def _text(data: bytes) -> _Read:
    return _Read("", (Block(0, part) for part in re.split(r"\n\s*\n", _lines(decoded(data)))))


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n\n")


def _markdown(data: bytes) -> _Read:
    from markdown_it import MarkdownIt

    text = _lines(decoded(data))
    front = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    title = ""
    if front is not None:
        named = re.search(r"^title:\s*(.+)$", front[1], re.MULTILINE)
        title = "" if named is None else named[1].strip("\"' ")
        text = text[front.end() :]
    text = re.sub(r"<!--.*?(-->|\Z)", "", text, flags=re.DOTALL)
    return _Read(title, _sections(text.split("\n"), MarkdownIt().parse(text)))


def _sections(lines: list[str], tokens: list[Any]) -> Iterator[Block]:
    """The text as it is written, between the headings that it has outside of code."""
    done = 0
    for token, inline in pairwise(tokens):
        if token.type == "heading_open" and token.level == 0 and token.map:
            yield from _paragraphs(lines[done : token.map[0]])
            yield Block(int(token.tag[1:]), inline.content)
            done = token.map[1]
    yield from _paragraphs(lines[done:])


def _paragraphs(lines: list[str]) -> Iterator[Block]:
    return (Block(0, part) for part in re.split(r"\n\s*\n", "\n".join(lines)))


_BLOCKS: Final = re.compile(
    "address|article|aside|blockquote|body|br|dd|details|div|dl|dt|fieldset|figcaption|figure|footer|form|h[1-6]|header"
    "|hr|li|main|ol|p|pre|section|summary|table|tbody|td|tfoot|th|thead|tr|ul"
)
_UNSEEN: Final = (
    "script, style, template, noscript, svg, iframe, object, select, textarea, nav, [hidden], [aria-hidden=true]"
)


def _html(data: bytes) -> _Read:
    from selectolax.lexbor import LexborHTMLParser

    charset = re.search(rb"<meta[^>]+charset=[\"']?([A-Za-z0-9_-]+)", data[:4096], re.IGNORECASE)
    try:
        text = data.decode(charset[1].decode()) if charset is not None else decoded(data)
    except (LookupError, UnicodeDecodeError):
        text = decoded(data)
    tree = LexborHTMLParser(text)
    title = tree.css_first("title")
    for node in tree.css(_UNSEEN):
        node.decompose()
    return _Read("" if title is None else title.text(), _seen(tree.body))


def _seen(body: Any) -> Iterator[Block]:
    """The blocks of a page. A stack of our own, as a hostile page is as deep as it likes."""
    if body is None:
        return
    level, held = 0, list[str]()
    stack: list[tuple[Any, bool]] = [(body, False)]
    while stack:
        node, closing = stack.pop()
        tag = node.tag
        if tag == "-text":
            held.append(node.text_content or "")
            continue
        if _BLOCKS.fullmatch(tag):
            yield Block(level, " ".join("".join(held).split()))
            held, level = [], int(tag[1]) if not closing and re.fullmatch("h[1-6]", tag) else 0
        if not closing:
            stack.append((node, True))
            children, child = [], node.child
            while child is not None:
                children.append((child, False))
                child = child.next
            stack += reversed(children)
    yield Block(level, " ".join("".join(held).split()))


def _pdf(data: bytes) -> _Read:
    from pypdf import PdfReader
    from pypdf.errors import PdfReadError

    reader = PdfReader(io.BytesIO(data))
    if reader.is_encrypted and not reader.decrypt(""):
        raise Unreadable("it has a password: save it without one")
    try:
        pages = len(reader.pages)
    except (PdfReadError, RecursionError):
        raise Unreadable("it is a broken PDF: save it anew") from None
    if pages > MAX_PAGES:
        raise Unreadable(f"it has {pages:,} pages, at most {MAX_PAGES:,} are taken: split it, for example by chapters")
    title = reader.metadata.title if reader.metadata is not None else None
    return _Read(title if isinstance(title, str) else "", _pages(reader))


def _pages(reader: Any) -> Iterator[Block]:
    for page in reader.pages:
        yield from (Block(0, part) for part in re.split(r"\n\s*\n", unwrapped(page.extract_text())))


def unwrapped(text: str) -> str:
    """A page's text with its lines joined where a sentence goes on, and words joined that a line cut."""
    text = re.sub(r"(\w)[-\u00ad\u2010]\n(?=[^\W\d_A-Z])", r"\1", text)
    return re.sub(r"(?<![.!?:;。！？\n])\n(?=[^\W\dA-Z])", " ", text)


def _docx(data: bytes) -> _Read:
    import docx

    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if "word/document.xml" not in archive.namelist():
            raise Unreadable("it is a ZIP archive, and no docx: unpack it, and add its files")
        size = sum(entry.file_size for entry in archive.infolist())
        if size > MAX_UNPACKED:
            raise Unreadable(
                f"it unpacks to {size:,} bytes, at most {MAX_UNPACKED:,} are taken: leave its pictures out"
            )
    document = docx.Document(io.BytesIO(data))
    return _Read(document.core_properties.title or "", _parts(document))


def _parts(document: Any) -> Iterator[Block]:
    from docx.table import Table

    for part in document.iter_inner_content():
        if isinstance(part, Table):
            for row in part.rows:
                yield Block(0, " | ".join(dict.fromkeys(" ".join(cell.text.split()) for cell in row.cells)))
            continue
        style = (part.style.name or "") if part.style is not None else ""
        heading = re.fullmatch(r"Heading ([1-6])|Title", style)
        yield Block(int(heading[1] or 1) if heading else 0, part.text)


def _faq(data: bytes) -> _Read:
    try:
        entries = yaml.safe_load(_lines(decoded(data)))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f" (line {mark.line + 1})"
        raise Unreadable(f"it is no YAML{where}: {_FAQ_FORM}") from None
    if not isinstance(entries, list):
        raise Unreadable(f"it is no FAQ: {_FAQ_FORM}")
    return _Read("", (Block(0, _entry(number, entry)) for number, entry in enumerate(entries, start=1)))


def _entry(number: int, entry: object) -> str:
    match entry:
        case {"question": str(question), "answer": str(answer), **rest} if not rest:
            if question.strip() and answer.strip():
                return f"{question.strip()}\n{answer.strip()}"
    raise Unreadable(f"entry {number} has no question with an answer, both text, and nothing else: {_FAQ_FORM}")


_READERS: Final[dict[str, Callable[[bytes], _Read]]] = {
    PDF: _pdf,
    DOCX: _docx,
    HTML: _html,
    MARKDOWN: _markdown,
    TEXT: _text,
    FAQ: _faq,
}

"""`livedesk knowledge`: the documents that an account's GPT agents answer by, over the control API."""

import hashlib
import re
import sys
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from cli.api_client import DEFAULT_API, Api, ApiOption, Json, JsonOption, Refused, TokenFileOption, show
from deploy.errors import LiveDeskError
from deploy.settings import Settings
from knowledge.formats import BY_SUFFIX

app = typer.Typer(
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
    help="Documents that GPT agents answer by: add, list, remove.\n\nPDF, docx, HTML, Markdown, text, and FAQs: a YAML "
    "list whose entries have a question and an answer.",
)

AccountOption = Annotated[str, typer.Option(help="The account that they belong to.")]
DEFAULT_COLLECTION: Final = "main"
CollectionOption = Annotated[
    str, typer.Option(help="The collection that they are in. An agent names those that it answers by.")
]
_ABOUT_THE_FILE: Final = (413, 422)
_MAX_ID: Final = 64


@app.command()
def add(
    context: typer.Context,
    paths: Annotated[list[Path], typer.Argument(help="Files, and folders of files.", exists=True)],
    collection: CollectionOption = DEFAULT_COLLECTION,
    account: AccountOption = "main",
    api: ApiOption = DEFAULT_API,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add files, or replace those of the same name.

    A file that is as it was changes nothing. One that can't be read does not keep the others back.
    """
    client = Api(context.ensure_object(Settings), api, token_file)
    files = documents_in(paths)
    saved: list[Json] = []
    failed: list[Json] = []
    for id, file in track(
        files.items(), "Adding", console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()
    ):
        try:
            path = f"/v1/accounts/{account}/knowledge/{collection}/{id}"
            saved.append(client.upload(path, file.read_bytes(), name=file.name[-200:]))
        except OSError as error:
            failed.append({"file": str(file), "error": f"it can't be read: {error.strerror}"})
        except Refused as error:
            if error.status not in _ABOUT_THE_FILE:
                raise
            failed.append({"file": str(file), "error": error.message})
    if as_json:
        show({"documents": saved, "failed": failed}, as_json=True, text="")
    elif saved:
        _print(
            ("document", "title", "passages", ""),
            [
                (
                    one["document"]["document"],
                    one["document"]["title"],
                    str(one["document"]["passages"]),
                    "saved" if one["changed"] else "no change",
                )
                for one in saved
            ],
        )
    if failed:
        raise LiveDeskError("\n".join(f"{one['file']}: {one['error']}" for one in failed))


@app.command("list")
def list_documents(
    context: typer.Context,
    collection: Annotated[str | None, typer.Option(help="One collection alone.")] = None,
    account: AccountOption = "main",
    api: ApiOption = DEFAULT_API,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the documents of an account."""
    query = {} if collection is None else {"collection": collection}
    client = Api(context.ensure_object(Settings), api, token_file)
    answer = client.call("GET", f"/v1/accounts/{account}/knowledge", **query)
    if as_json:
        show(answer, as_json=True, text="")
        return
    _print(
        ("collection", "document", "title", "type", "passages", "added"),
        [
            (one["collection"], one["document"], one["title"], one["media_type"], str(one["passages"]), one["at"])
            for one in answer["documents"]
        ],
    )


@app.command()
def remove(
    context: typer.Context,
    documents: Annotated[list[str], typer.Argument(help="Documents, by the names that `list` shows.")],
    collection: CollectionOption = DEFAULT_COLLECTION,
    account: AccountOption = "main",
    api: ApiOption = DEFAULT_API,
    token_file: TokenFileOption = None,
) -> None:
    """Remove documents: agents answer by them no more."""
    client = Api(context.ensure_object(Settings), api, token_file)
    for document in documents:
        try:
            client.call("DELETE", f"/v1/accounts/{account}/knowledge/{collection}/{document}")
        except Refused as error:
            if error.status != 404:
                raise
            raise LiveDeskError(
                f"There is no document {document} in the collection {collection} of the account {account}.",
                "Their names: livedesk knowledge list",
            ) from None
        typer.echo(f"{document} is removed.")


def documents_in(paths: Iterable[Path]) -> dict[str, Path]:
    """The files by the names of their documents. Of a folder those that may be documents, in its folders too."""
    found: dict[str, Path] = {}
    for path in paths:
        inside = [path] if path.is_file() else sorted(one for one in path.rglob("*") if _may_be_one(one, path))
        if not inside:
            raise LiveDeskError(f"{path} holds no documents.", f"Their names end in {', '.join(BY_SUFFIX)}.")
        for file in inside:
            id = document_id(file.name if file == path else str(file.relative_to(path)))
            if found.setdefault(id, file) != file:
                raise LiveDeskError(
                    f"{found[id]} and {file} would be the same document, {id}.", "Rename one, or add it by itself."
                )
    return found


def _may_be_one(file: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
    return file.is_file() and file.suffix.lower() in BY_SUFFIX and not hidden


def document_id(name: str) -> str:
    """The name of the document that a file becomes: always the same, and another for each file."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    id = re.sub(r"[^A-Za-z0-9_.-]+", "-", plain).lstrip("-_.")
    if id == name and len(id) <= _MAX_ID:
        return id
    mark = hashlib.sha256(unicodedata.normalize("NFC", name).encode("utf-8", "surrogateescape")).hexdigest()[:8]
    stem, dot, suffix = id.rpartition(".")
    room = _MAX_ID - len(mark) - len(suffix) - 2
    return f"{stem[:room]}-{mark}.{suffix}".lstrip("-") if dot and room > 0 else f"{id[:50]}-{mark}".lstrip("-")


def _print(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(_plain(cell) for cell in row))
    Console(soft_wrap=True, highlight=False, markup=False).print(table)


def _plain(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)

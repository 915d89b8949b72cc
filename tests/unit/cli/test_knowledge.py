"""The names that files get as documents, and which files are taken."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from cli.knowledge import document_id, documents_in
from deploy.errors import LiveDeskError
from schemas.settings.types import Id

ID: TypeAdapter[str] = TypeAdapter(Id)


@given(st.text(min_size=1))
def test_every_file_name_gives_a_document_s_name(name: str) -> None:
    assert ID.validate_python(document_id(name)) == document_id(document_id(name))


@pytest.mark.parametrize(
    "pair", [("a b.md", "a-b.md"), ("año.md", "ano.md"), ("a/b.md", "a-b.md"), ("退货.md", "换货.md")]
)
def test_different_files_are_different_documents(pair: tuple[str, str]) -> None:
    assert len(set(map(document_id, pair))) == 2


def test_a_folder_gives_its_documents_and_no_hidden_or_otherdocuments_in(tmp_path: Path) -> None:
    for name in ("a.md", "sub/b.PDF", ".hidden.md", ".git/c.md", "picture.png"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.touch()
    assert [file.name for file in documents_in([tmp_path]).values()] == ["a.md", "b.PDF"]
    assert [file.name for file in documents_in([tmp_path / "picture.png"]).values()] == ["picture.png"]
    with pytest.raises(LiveDeskError, match="would be the same document"):
        documents_in([tmp_path, tmp_path / ".git", tmp_path / "a.md", _copied(tmp_path / "other" / "a.md")])
    with pytest.raises(LiveDeskError, match="holds no documents"):
        documents_in([_copied(tmp_path / "empty" / "x.png").parent])


def _copied(file: Path) -> Path:
    file.parent.mkdir()
    file.touch()
    return file

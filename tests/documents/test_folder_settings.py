"""`hf_knowlearn.yaml`: which files of a folder are read, and their language, title and views."""

from collections.abc import Callable
from pathlib import Path

import pytest

from hf_knowlearn.documents import Document, read_documents, read_questions
from hf_knowlearn.documents.folder_settings import FAMILIES, matches

Write = Callable[[Path, str | bytes], Path]
ReadError = Callable[..., str]


@pytest.mark.parametrize(
    ("glob", "matching", "others"),
    [
        ("*.md", ["a.md", "b/c/a.md"], ["a.mdx", "a.txt"]),
        ("b/*.md", ["b/a.md"], ["a.md", "b/c/a.md"]),
        ("b/**", ["b/a.md", "b/c/a.md"], ["a.md", "cb/a.md"]),
        ("**/c/?.md", ["c/a.md", "b/c/a.md"], ["c/aa.md"]),
        ("a[1].md", ["a[1].md"], ["a1.md"]),
    ],
)
def test_globs_match_names_and_paths(glob: str, matching: list[str], others: list[str]):
    assert all(matches(glob, name) for name in matching)
    assert not any(matches(glob, name) for name in others)


@pytest.fixture
def folder(tmp_path: Path, write: Write) -> Path:
    write(tmp_path / "a.md", "---\ntitle: Front\nlang: fr\n---\nEins.")
    write(tmp_path / "de" / "b.md", "# Zwei")
    write(tmp_path / "de" / "draft.md", "Drei.")
    write(tmp_path / "c.txt", "Four.")
    write(tmp_path / "rows.csv", "text,language,title\nFive.,,\nSix.,it,Sei\n")
    return tmp_path


@pytest.mark.parametrize("by_path", [False, True])
def test_settings_choose_files_and_set_their_fields(folder: Path, write: Write, by_path: bool):
    settings = write(
        folder / "hf_knowlearn.yaml",
        """
include: ["*.md", "*.csv"]
exclude: ["**/draft.*"]
files:
  "**": {language: de}
  a.md: {title: Set, views: formats}
  rows.csv: {title: Table}
""",
    )
    documents = read_documents(settings if by_path else folder)
    assert documents == [
        Document("a.md", "Eins.", "Set", "de", metadata={"views": "formats"}),
        Document("de/b.md", "# Zwei", "Zwei", "de"),
        Document("rows.csv:2", "Five.", "Table", "de"),
        Document("rows.csv:3", "Six.", "Sei", "it"),
    ]


def test_an_empty_file_of_settings_changes_nothing(folder: Path, write: Write):
    before = read_documents(folder)
    write(folder / "hf_knowlearn.yaml", "# later\n")
    assert read_documents(folder) == before


def test_all_problems_of_the_settings_are_in_one_error(folder: Path, write: Write, read_error: ReadError):
    write(
        folder / "hf_knowlearn.yaml",
        """
includes: ["*.md"]
exclude: "*.txt"
files:
  "*.md": {lang: de, title: 7, views: best}
  "*.txt": de
  no.md: {language: no}
""",
    )
    message = read_error(read_documents, folder)
    assert "7 problems." in message
    for problem in (
        "unknown field 'includes'; the fields are include, exclude, files.",
        "exclude must be a list of globs, such as [\"*.md\"], got '*.txt'.",
        "files: '*.md': unknown field 'lang'; the fields are language, title, views.",
        "files: '*.md': title must be a text, got int 7.",
        "files: '*.md': unknown views 'best'; choose one of formats, masked, mixed, order.",
        "files: '*.txt' must have a mapping of the fields language, title, views, got 'de'.",
        "files: 'no.md': language must be a text, got bool False; write \"no\" in quotation marks.",
    ):
        assert f"hf_knowlearn.yaml: {problem}" in message


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: [", "not YAML ("),
        ("[1]", "must be a mapping with the fields include, exclude, files, got [1]."),
        ("files: [a]", "files must be a mapping from globs to fields, such as"),
        ("exclude: ['*.pdf']", "no file matches '*.pdf'; correct or remove it."),
        ("files: {no.md: {title: x}}", "no file matches 'no.md'"),
        (
            "files: {a.md: {language: no}}",
            "files: 'a.md': language must be a text, got bool False; write \"no\" in quotation marks.",
        ),
    ],
)
def test_invalid_settings_are_an_error(folder: Path, text: str, problem: str, write: Write, read_error: ReadError):
    write(folder / "hf_knowlearn.yaml", text)
    assert f"{folder / 'hf_knowlearn.yaml'}: {problem}" in read_error(read_documents, folder)


def test_settings_apply_to_documents_only(folder: Path, write: Write):
    write(folder / "hf_knowlearn.yaml", 'include: ["*.md"]')
    write(folder / "questions.csv", "question,answer\nWhen?,six\n")
    (folder / "rows.csv").unlink()
    assert [question.text for question in read_questions(folder)] == ["When?"]


def test_views_can_be_each_family():
    from hf_knowlearn import views

    assert set(FAMILIES) == set(views.FAMILIES)

"""The file `hf_knowlearn.yaml` in a folder of documents: which files are read, and the settings of single files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hf_knowlearn.documents.document import show
from hf_knowlearn.documents.error_report import ErrorReport

SETTINGS_FILE = "hf_knowlearn.yaml"
FIELDS = ("language", "title", "views")
FAMILIES = ("formats", "masked", "mixed", "order")  # values of `views`


@dataclass(frozen=True)
class FolderSettings:
    """The settings of a folder. A glob without a slash matches names of files in all folders.

    Args:
        include: globs of the files to read. Without any, all files are read.
        exclude: globs of files that are not read.
        files: glob -> fields of the files that match the glob. If a file matches several globs, the last glob has
            priority.

    Example:
        >>> settings = FolderSettings(exclude=("drafts/**",), files={"*.de.md": {"language": "de"}})
        >>> settings.reads("drafts/a.md"), settings.reads("manual/b.de.md")
        (False, True)
        >>> settings.of("manual/b.de.md")
        {'language': 'de'}
    """

    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    files: Mapping[str, Mapping[str, str]] | None = None

    def reads(self, name: str) -> bool:
        """Return whether the file with this path below the folder is read."""
        is_included = not self.include or any(matches(glob, name) for glob in self.include)
        return is_included and not any(matches(glob, name) for glob in self.exclude)

    def of(self, name: str) -> dict[str, str]:
        """Return the fields that the settings give to a file."""
        fields: dict[str, str] = {}
        for glob, values in (self.files or {}).items():
            if matches(glob, name):
                fields.update(values)
        return fields

    def unused(self, names: Sequence[str]) -> list[str]:
        """Return the globs that match none of the files."""
        globs = [*self.include, *self.exclude, *(self.files or {})]
        return [glob for glob in dict.fromkeys(globs) if not any(matches(glob, name) for name in names)]


def matches(glob: str, name: str) -> bool:
    """Return whether a glob matches a path. `*` and `?` match within a folder, `**` across folders."""
    pattern = re.escape(glob if "/" in glob else f"**/{glob}")
    for mark, meaning in ((r"\*\*/", "(?:.*/)?"), (r"\*\*", ".*"), (r"\*", "[^/]*"), (r"\?", "[^/]")):
        pattern = pattern.replace(mark, meaning)
    return re.fullmatch(pattern, name) is not None


def read_settings(file: Path, problems: ErrorReport) -> FolderSettings:
    """Read the settings of a folder. All problems of the file are added to `problems`."""
    import yaml

    try:
        content = yaml.safe_load(file.read_bytes())
    except (yaml.YAMLError, ValueError) as error:
        problems.add(file, f"not YAML ({' '.join(str(error).split())})")
        return FolderSettings()
    found = list(_problems({} if content is None else content))
    for problem in found:
        problems.add(file, problem)
    return FolderSettings() if found or content is None else FolderSettings(**content)


def _problems(content: Any) -> Iterator[str]:
    fields = tuple(FolderSettings.__dataclass_fields__)
    if not isinstance(content, dict):
        yield f"must be a mapping with the fields {', '.join(fields)}, got {show(content)}"
        return
    for name, value in content.items():
        if name not in fields:
            yield f"unknown field {show(name)}; the fields are {', '.join(fields)}"
        elif name == "files":
            yield from _files_problems(value)
        elif not isinstance(value, list) or not all(isinstance(glob, str) and glob for glob in value):
            yield f'{name} must be a list of globs, such as ["*.md"], got {show(value)}'


def _files_problems(files: Any) -> Iterator[str]:
    if not isinstance(files, dict) or not all(isinstance(glob, str) for glob in files):
        yield f'files must be a mapping from globs to fields, such as "de/**": {{language: de}}, got {show(files)}'
        return
    for glob, fields in files.items():
        place = f"files: {show(glob)}"
        if not isinstance(fields, dict):
            yield f"{place} must have a mapping of the fields {', '.join(FIELDS)}, got {show(fields)}"
            continue
        for name, value in fields.items():
            if name not in FIELDS:
                yield f"{place}: unknown field {show(name)}; the fields are {', '.join(FIELDS)}"
            elif not isinstance(value, str) or not value.strip():
                # Why: YAML 1.1 reads the code of Norwegian, `no`, as false.
                hint = '; write "no" in quotation marks' if value is False else ""
                yield f"{place}: {name} must be a text, got {show(value)}{hint}"
            elif name == "views" and value not in FAMILIES:
                yield f"{place}: unknown views {show(value)}; choose one of {', '.join(FAMILIES)}"

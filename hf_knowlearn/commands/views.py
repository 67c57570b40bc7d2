"""`knowlearn views`: one document shown in its views, or what the views of all documents hold, counted or exported."""

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tqdm.auto import tqdm

from hf_knowlearn import atomic_files
from hf_knowlearn.commands import views_export, views_tables
from hf_knowlearn.commands.views_colours import CONTROL, in_line, paint, painted
from hf_knowlearn.commands.views_request import Material, Request, read
from hf_knowlearn.documents import Document
from hf_knowlearn.hub.dataset_cards import views_card
from hf_knowlearn.teach.provenance import fingerprint
from hf_knowlearn.views.coverage import Survey, Told, measure_coverage

__all__ = ["Request", "said"]

EXCERPT = 1500  # characters of a text
LEGEND = {"words": "the document's words", "layout": "layout", "space": "wide white space of the layout"}


def said(request: Request, colour: bool) -> Iterator[str]:
    """What the command prints, block by block; a file is written before the block that says so.

    Raises:
        ValueError: what is wrong with the options, the documents and the questions, all at once, before the first
            block; and documents that can't be told as asked, when they are shown or exported.
    """
    material = read(request)
    if request.counts:
        yield from _counted(request, material)
    else:
        yield from _shown(request, material, colour)


def _shown(request: Request, material: Material, colour: bool) -> Iterator[str]:
    document = material.documents[0]
    told = {family: tell(document) for family, tell in material.tell.items()}  # all, before any is shown
    parts = {family: len(of_family) for family, of_family in told.items()}
    part = request.part or 0
    if part >= min(parts.values()):
        have = ", ".join(f"{count} in {family}" for family, count in parts.items())
        raise ValueError(f"--part {part}: document {document.id!r} has fewer parts ({have}); they are counted from 0.")
    yield "\n".join(_about(request, document, len(material.documents), parts, colour))
    for of_family in told.values():
        views = of_family[part]
        for view, tokens in zip(views, material.lengths([view.prompt + view.text for view in views]), strict=True):
            title = f"view {view.index}: {view.family}/{view.format}, {tokens:,} tokens"
            yield "\n" + paint(f"--- {title} ".ljust(80, "-"), "heading", colour)
            yield painted(view, EXCERPT if request.excerpt is None else request.excerpt, colour)


def _about(request: Request, document: Document, count: int, parts: Mapping[str, int], colour: bool) -> Iterator[str]:
    which = f"Document 1 of {count:,}" if count > 1 else "Document"
    title = f" ({in_line(document.title)})" if document.title else ""
    size = f"{len(document.text):,} characters, language {in_line(document.language)}"
    yield f"{which}: {in_line(document.id)}{title}, {size}.{' Another: --document ID.' * (count > 1)}"
    if request.is_cut:
        cut = ", ".join(f"{n:,} part{'s' * (n > 1)} in {family}" for family, n in parts.items())
        yield f"Cut into {cut}; below is part {request.part or 0}, counted from 0. Another: --part NUMBER."
    yield f"Tokens are those of {request.tokenizer}; --tokenizer NAME_OR_PATH counts with your model's."
    if controls := len(CONTROL.findall(document.text)):
        yield f"{controls:,} control characters of the document are shown as Python writes them (\\x1b)."
    if colour:
        yield ", ".join(paint(name, kind, True) for kind, name in LEGEND.items()) + "."


def _counted(request: Request, material: Material) -> Iterator[str]:
    def count(keep: Callable[[str, Told], None] | None = None) -> Survey:
        epochs = request.epochs or request.num_views
        found = measure_coverage(material.documents, material.tell, material.lengths, material.questions, epochs, keep)
        return deque(tqdm(found, "Telling", len(material.documents), unit="doc", disable=None), 1)[0]

    if request.export is None:
        found = count()
    else:
        with views_export.writing(Path(request.export), request.families) as writer:
            found = count(writer.keep)
            if untold := "\n".join(views_tables.untold(found)):
                raise ValueError(f"--export {request.export}: a dataset holds all documents, told alike.\n{untold}")
            languages = sorted({document.language for document in material.documents})
            source, table = Path(request.path).name, views_tables.table(found)
            options = {**request.told_by, "sha256": fingerprint(material.documents)}
            writer.finish(views_card(source, request.families, languages, options, table), found.as_dict())
    if request.json is not None:
        atomic_files.write_text(Path(request.json), json.dumps(found.as_dict(), indent=2, ensure_ascii=False) + "\n")
    yield views_tables.text(request, found)
    if material.left_out:
        yield f"\nLeft out: {material.left_out:,} questions about other documents."
    if request.json is not None:
        yield f"\nWritten to {request.json}."
    if request.export is not None:
        yield f"\nWritten to {request.export}; load_dataset({request.export!r}, {request.families[0]!r}) reads it."

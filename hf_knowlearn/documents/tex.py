"""Converts LaTeX files to Markdown: headings of sections, lists, tables, code, and formulas in TeX.

`pylatexenc` parses the source. References, citations, figures and comments are omitted. Captions and footnotes stay.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hf_knowlearn.documents.conversion import Converted, first_heading, require_packages
from hf_knowlearn.documents.markdown_tables import markdown_table
from hf_knowlearn.documents.tabular import decoded

_LEVELS = {
    "part": 1,
    "chapter": 1,
    "section": 1,
    "subsection": 2,
    "subsubsection": 3,
    "paragraph": 4,
    "subparagraph": 5,
}
_OMITTED = (
    "label cite citep citet citeauthor nocite ref eqref pageref autoref cref Cref includegraphics vspace hspace"
).split()
_STYLES = ("bibliographystyle", "bibliography", "addbibresource", "pagestyle", "thispagestyle", "pagenumbering")
_CODE = re.compile(
    r"\\begin\{(verbatim\*?|Verbatim|lstlisting|minted|alltt)\}(\[[^\]]*\])?(\{\w+\})?[ \t]*\n"
    r"(.*?)\n?[ \t]*\\end\{\1\}",
    re.DOTALL,
)
_LANGUAGE = re.compile(r"language=(\w+)")
_FORMULA = re.compile(
    r"\\begin\{((?:equation|align|gather|multline|eqnarray)\*?)\}.*?\\end\{\1\}|\\\[.*?\\\]|\$\$.*?\$\$", re.DOTALL
)
_INLINE_CODE = re.compile(r"\\(?:verb\*?|lstinline)([|!+@\"'/])(.*?)\1")
_LABEL = re.compile(r"\\label\{[^}]*\}")
_LABELLED = re.compile(r"\\(?:chapter|(?:sub){0,2}section)\*?\{([^{}]*)\}\s*\\label\{([^{}]*)\}")
_REFERENCE = re.compile(r"\\(?:ref|autoref|nameref|[cC]ref)\{([^{}]*)\}")
_BODY = re.compile(r"\\begin\{document\}(.*?)(?:\\end\{document\}|\Z)", re.DOTALL)
_TITLE = re.compile(r"\\title\s*(?:\[[^\]]*\]\s*)?\{")
_ITEM, _CELL, _ROW, _STORED = "\ue000", "\ue001", "\ue002", "\ue003"  # private characters; a text does not have them


def tex_file(file: Path) -> Converted:
    """Convert a `.tex` file. The title is the argument of `\\title`, or else the heading of the first section."""
    require_packages("pylatexenc")
    source = re.sub(r"\r\n?", "\n", decoded(file.read_bytes()))
    found = _BODY.search(source)
    has_chapters = re.search(r"\\(?:chapter|part)\b", source) is not None
    title = _TITLE.search(source)
    reader = _Reader(has_chapters + (title is not None))
    heading = reader.text(_braced(source, title.end())) if title else ""
    text = reader.markdown(found[1] if found else source)
    return Converted(f"# {heading}\n\n{text}" if heading else text, heading or first_heading(text))


def _named_sections(source: str) -> str:
    """Replace references to sections by their titles, because the numbers of sections are not in the source."""
    titles = {label: title for title, label in _LABELLED.findall(source)}
    return _REFERENCE.sub(lambda found: f"``{titles[found[1]]}''" if found[1] in titles else found[0], source)


def _braced(source: str, start: int) -> str:
    """Return the text from `start` to the brace that closes the argument at `start`."""
    depth = 1
    for place in range(start, len(source)):
        depth += {"{": 1, "}": -1}.get(source[place], 0) if source[place - 1] != "\\" else 0
        if depth == 0:
            return source[start:place]
    return source[start:]


class _Reader:
    """Converts LaTeX to Markdown. Lists, tables and code are stored until the lines of paragraphs are joined."""

    def __init__(self, shift: int) -> None:
        from pylatexenc import latex2text, latexwalker, macrospec

        self.stored: list[str] = []
        self.shift = shift
        macro, environment = latex2text.MacroTextSpec, latex2text.EnvironmentTextSpec
        texts = latex2text.get_default_latex_context_db()
        macros = [macro(name, simplify_repl=self._heading) for name in _LEVELS]
        macros += [macro(name, discard=True) for name in (*_OMITTED, *_STYLES)]
        macros += [macro("item", simplify_repl=self._item), macro("\\", simplify_repl=f"{_ROW}")]
        macros += [
            macro("caption", simplify_repl=self._last_in_paragraph),
            macro("footnote", simplify_repl=self._footnote),
        ]
        macros += [macro(name, simplify_repl=self._last) for name in ("multicolumn", "multirow", "href")]
        macros += [
            macro(name, simplify_repl="")
            for name in ("hline", "toprule", "midrule", "bottomrule", "centering", "maketitle")
        ]
        texts.add_context_category(
            "knowlearn",
            prepend=True,
            macros=macros,
            environments=[
                *[environment(name, simplify_repl=self._list) for name in ("itemize", "enumerate", "description")],
                *[
                    environment(name, simplify_repl=self._table)
                    for name in ("tabular", "tabular*", "tabularx", "longtable")
                ],
            ],
            specials=[latex2text.SpecialsTextSpec("&", simplify_repl=_CELL)],
        )
        parsed = latexwalker.get_default_latex_context_db()
        parsed.add_context_category(
            "knowlearn",
            prepend=True,
            macros=[
                *[macrospec.MacroSpec(name, "{") for name in _STYLES],
                macrospec.MacroSpec("multicolumn", "{{{"), macrospec.MacroSpec("multirow", "{{{"),
                macrospec.MacroSpec("caption", "*[{"), macrospec.MacroSpec("href", "{{"),
            ],
            environments=[macrospec.EnvironmentSpec("tabularx", "{[{"), macrospec.EnvironmentSpec("longtable", "[{")],
        )  # fmt: skip
        self.walker, self.parsed = latexwalker.LatexWalker, parsed
        self.converter = latex2text.LatexNodes2Text(texts, math_mode="verbatim", keep_comments=False)

    def markdown(self, source: str) -> str:
        """Convert LaTeX source to Markdown."""
        source = _CODE.sub(self._code, source)
        source = _INLINE_CODE.sub(lambda found: self._store(f"`{found[2]}`", is_block=False), source)
        source = _named_sections(source)
        source = _FORMULA.sub(lambda found: self._store(_LABEL.sub("", found[0])), source)
        paragraphs = [" ".join(one.split()) for one in re.split(r"\n\s*\n", self._convert(source).replace(_ROW, "\n"))]
        return self._restore("\n\n".join(filter(None, paragraphs)))

    def _code(self, found: re.Match[str]) -> str:
        language = (found[3] or "")[1:-1] or "".join(_LANGUAGE.findall(found[2] or "")[:1]).lower()
        return self._store(f"```{language}\n{found[4]}\n```")

    def text(self, source: str) -> str:
        """Convert LaTeX source to one line of Markdown."""
        return " ".join(self._restore(self._convert(source).replace(_ROW, " ")).split())

    def _convert(self, source: str) -> str:
        nodes, _, _ = self.walker(source, latex_context=self.parsed, tolerant_parsing=True).get_latex_nodes()
        # Why: a citation that is omitted leaves the space before it.
        return re.sub(r"[ \xa0]+(?=[.,;:])", "", str(self.converter.nodelist_to_text(nodes)))

    def _store(self, text: str, is_block: bool = True) -> str:
        self.stored.append(text)
        mark = f"{_STORED}{len(self.stored) - 1}{_STORED}"
        return f"\n\n{mark}\n\n" if is_block else mark

    def _restore(self, text: str) -> str:
        while _STORED in text:
            text = re.sub(f"{_STORED}(\\d+){_STORED}", lambda found: self.stored[int(found[1])], text)
        return text

    def _last(self, node: Any, l2tobj: Any) -> str:
        """Return the last argument of a macro."""
        arguments = [one for one in node.nodeargd.argnlist if one is not None] if node.nodeargd else []
        return " ".join(l2tobj.nodelist_to_text([arguments[-1]]).split()) if arguments else ""

    def _last_in_paragraph(self, node: Any, l2tobj: Any) -> str:
        return f"\n\n{self._last(node, l2tobj)}\n\n"

    def _footnote(self, node: Any, l2tobj: Any) -> str:
        return f" ({self._last(node, l2tobj)})"

    def _heading(self, node: Any, l2tobj: Any) -> str:
        level = _LEVELS[node.macroname] + self.shift - (node.macroname in ("part", "chapter"))
        return f"\n\n{'#' * min(level, 6)} {self._last(node, l2tobj)}\n\n"

    def _item(self, node: Any, l2tobj: Any) -> str:
        label = self._last(node, l2tobj)
        return f"{_ITEM}**{label}** " if label else _ITEM

    def _list(self, node: Any, l2tobj: Any) -> str:
        items = l2tobj.nodelist_to_text(node.nodelist).split(_ITEM)[1:]
        lines = []
        for number, item in enumerate(items, 1):
            mark = f"{number}. " if node.environmentname == "enumerate" else "- "
            blocks = [" ".join(one.split()) for one in re.split(r"\n\s*\n", item) if one.strip()]
            text = self._restore("\n".join(blocks)).replace("\n", "\n" + " " * len(mark))
            lines.append(mark + text)
        return self._store("\n".join(lines))

    def _table(self, node: Any, l2tobj: Any) -> str:
        text = l2tobj.nodelist_to_text(node.nodelist)
        rows = [[" ".join(cell.split()) for cell in row.split(_CELL)] for row in text.split(_ROW) if row.strip()]
        width = max(map(len, rows), default=0)
        table = [row + [""] * (width - len(row)) for row in rows if any(row)]
        return self._store(markdown_table(table)) if table else ""

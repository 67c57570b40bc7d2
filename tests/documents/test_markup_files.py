"""Markdown with front matter, reStructuredText, LaTeX, notebooks and source code."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from hf_knowlearn.documents import Document, read_documents

Write = Callable[[Path, str | bytes], Path]
ReadError = Callable[..., str]


@pytest.mark.parametrize(
    ("text", "title", "language", "body"),
    [
        ("---\ntitle: The ferry\nlang: de\ndate: 2020-01-01\n---\n\n# Fähre\n", "The ferry", "de", "# Fähre\n"),
        ("+++\ntitle = 'The ferry'\nlanguage = 'fr'\n+++\nLe bac.", "The ferry", "fr", "Le bac."),
        ("---\r\ndraft: true\r\n---\r\n# Six\r\nIt leaves.", "Six", "en", "# Six\nIt leaves."),
        ("---\ntitle: 7\n---\nText.", "a", "en", "Text."),
        ("---\nNot a field\n---\nText.", "a", "en", "---\nNot a field\n---\nText."),
        ("---\na: [\n---\nText.", "a", "en", "---\na: [\n---\nText."),
        ("---\ndate: 2020-99-99\n---\nText.", "a", "en", "---\ndate: 2020-99-99\n---\nText."),
        ("Text.\n---\ntitle: No\n---\n", "a", "en", "Text.\n---\ntitle: No\n---\n"),
        ("---\n\nAfter a rule.", "a", "en", "---\n\nAfter a rule."),
    ],
)
def test_front_matter_gives_title_and_language_and_is_not_in_the_text(
    tmp_path: Path, text: str, title: str, language: str, body: str, write: Write
):
    assert read_documents(write(tmp_path / "a.md", text)) == [Document("a.md", body, title, language)]


def test_rst_is_markdown(tmp_path: Path, write: Write):
    pytest.importorskip("docutils")
    text = """
.. _intro:

Queues
======

A queue stores *jobs*; see :class:`~sound.Queue`, :ref:`the options <opts>`
and `the site <https://example.org>`_ [1]_. Call ``put(job)``.

.. toctree::
   :maxdepth: 2

   a

.. versionadded:: 2.1

.. note::

   It blocks.

Options
-------

========  =======
option    default
========  =======
max_size  100
========  =======

.. code-block:: python

   def f():
       return 1

.. py:function:: put(job)

   Adds a job.

.. include:: /etc/hostname

.. [1] A footnote.
"""
    (document,) = read_documents(write(tmp_path / "a.rst", text))
    assert document.title == "Queues"
    assert document.text == (
        "# Queues\n\nA queue stores *jobs*; see `Queue`, the options and the site. Call `put(job)`.\n\n"
        "Added in version 2.1\n\nNote\n\nIt blocks.\n\n## Options\n\n| option | default |\n| --- | --- |\n"
        "| max_size | 100 |\n\n```python\ndef f():\n    return 1\n```\n\nput(job)\n\nAdds a job.\n\nA footnote."
    )


def test_tex_is_markdown(tmp_path: Path, write: Write):
    pytest.importorskip("pylatexenc")
    text = r"""\documentclass{article}
\title{The ferry of \emph{Kalvik}}
\begin{document}
\maketitle
\section{History}\label{sec:h}
It started in
1947~\cite{lind}. % a comment
Caf\'e costs 5\,\% of $x^2 + y_1$ \& more.\footnote{Since 1990.}

\verb|code_x| is run.
\begin{itemize}
\item First
  wrapped
\item Second
  \begin{enumerate} \item inner \end{enumerate}
\end{itemize}
\subsection*{Numbers}
\begin{table}
\begin{tabular}{lr}
\hline
Year & Cars \\ \hline
1990 & 12{,}400 \\
\end{tabular}
\caption{Crossings}
\end{table}
\begin{equation}
E = mc^2 \label{eq:e}
\end{equation}
\begin{lstlisting}[language=C]
int x; // & \\
\end{lstlisting}
\end{document}
"""
    (document,) = read_documents(write(tmp_path / "a.tex", text))
    assert document.title == "The ferry of Kalvik"
    assert document.text == (
        "# The ferry of Kalvik\n\n## History\n\nIt started in 1947. Café costs 5 % of $x^2 + y_1$ & more. "
        "(Since 1990.)\n\n`code_x` is run.\n\n- First wrapped\n- Second\n  1. inner\n\n### Numbers\n\n| Year | Cars |"
        "\n| --- | --- |\n| 1990 | 12,400 |\n\nCrossings\n\n\\begin{equation}\nE = mc^2 \n\\end{equation}\n\n"
        "```c\nint x; // & \\\\\n```"
    )


def test_sections_without_a_title_are_headings_of_the_first_level(tmp_path: Path, write: Write):
    pytest.importorskip("pylatexenc")
    text = "\\chapter{Ferries} They carry cars.\\section{Fares} They are low."
    expected = "# Ferries\n\nThey carry cars.\n\n## Fares\n\nThey are low."
    assert read_documents(write(tmp_path / "a.tex", text)) == [Document("a.tex", expected, "Ferries")]


def test_references_of_tex_are_titles_and_style_commands_leave_no_text(tmp_path: Path, write: Write):
    pytest.importorskip("pylatexenc")
    text = r"""\begin{document}\pagestyle{plain}
\section{Fares}\label{sec:fares}
Section~\ref{sec:fares} is short, see \verb|\ref{sec:fares}|.
\bibliographystyle{alpha}\bibliography{refs}
\end{document}"""
    (document,) = read_documents(write(tmp_path / "a.tex", text))
    assert document.text == "# Fares\n\nSection \u201cFares\u201d is short, see `\\ref{sec:fares}`."


def test_a_notebook_has_its_text_and_code_without_outputs(tmp_path: Path, write: Write):
    cells = [
        {"cell_type": "markdown", "source": ["# Ferries\n", "\n", "They carry cars."]},
        {"cell_type": "code", "source": "print(6)", "outputs": [{"text": "SECRET"}], "execution_count": 1},
        {"cell_type": "code", "source": "", "outputs": []},
        {"cell_type": "raw", "source": "Raw text."},
    ]
    content = {"cells": cells, "metadata": {"language_info": {"name": "julia"}}, "nbformat": 4, "nbformat_minor": 5}
    assert read_documents(write(tmp_path / "a.ipynb", json.dumps(content))) == [
        Document("a.ipynb", "# Ferries\n\nThey carry cars.\n\n```julia\nprint(6)\n```\n\nRaw text.", "Ferries")
    ]


@pytest.mark.parametrize("content", ["[1]", '{"cells": [1]}', "{", '{"a": 1}'])
def test_a_broken_notebook_is_an_error(tmp_path: Path, content: str, write: Write, read_error: ReadError):
    assert "a.ipynb: not a notebook (" in read_error(read_documents, write(tmp_path / "a.ipynb", content))


def test_source_code_and_logs_are_unchanged(tmp_path: Path, write: Write):
    write(tmp_path / "a.py", "def f():\n\n    return 1\n")
    write(tmp_path / "b.log", "09:14 started\n09:15 stopped\n")
    assert read_documents(tmp_path) == [
        Document("a.py", "def f():\n\n    return 1\n", "a.py"),
        Document("b.log", "09:14 started\n09:15 stopped\n", "b"),
    ]


def test_an_unknown_suffix_is_read_as_text_with_a_notice(
    tmp_path: Path, write: Write, caplog: pytest.LogCaptureFixture
):
    write(tmp_path / "a.adoc", "= The ferry")
    write(tmp_path / "LICENSE", "Permission é is granted.")
    write(tmp_path / "b.py", "x = 1")
    write(tmp_path / "c.bin", b"\0\1\2")
    write(tmp_path / "d.dat", "caf\xe9".encode("latin-1"))
    write(tmp_path / "e.cut", ("x" * 65_535 + "é").encode())
    assert [document.id for document in read_documents(tmp_path)] == ["LICENSE", "a.adoc", "b.py", "e.cut"]
    assert [record.getMessage() for record in caplog.records] == [
        f"Skipped in {tmp_path}, because their suffix is not supported and they are empty or not text in UTF-8: "
        "['c.bin', 'd.dat'].",
        f"Read in {tmp_path} as plain text, because their suffix is unknown: ['LICENSE', 'a.adoc', 'e.cut'].",
    ]

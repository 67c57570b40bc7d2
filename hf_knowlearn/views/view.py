"""A view: one telling of a document, with the proof that its words are the document's own.

`spans` maps the text back onto the document; what no span covers is layout. A fact can't be altered by a format
without a test seeing it, and an answer can be found again inside every view.
"""

from bisect import bisect_right
from dataclasses import dataclass
from itertools import count, pairwise

from hf_knowlearn.documents.answer_search import CharSpan, find_text, find_whole_words

Span = tuple[int, int, int]  # (start in the view, start in the document, length), in characters


@dataclass(frozen=True)
class View:
    """One telling of a document (of one part of it, when it was cut).

    `text` is what is learned. `spans`, joined in order, give every non-white-space character of the document exactly
    once; all else in `text` is layout the format declares, or the title. `index` numbers the views drawn together.
    """

    document_id: str
    part: int
    index: int
    family: str
    format: str
    text: str
    spans: tuple[Span, ...]
    prompt: str = ""

    def find(self, answer: str) -> list[CharSpan]:
        """Where `answer` stands in `text`, as (start, end): from its first character to its last.

        It is looked for in the document's words alone, so it starts and ends there, never in layout. White space
        matches any white space, so an answer that runs over a line break or into the next sentence is found too (with
        the layout between the two). In another case only where it never stands as spelled: recall ignores case.
        """
        # Why: a sign at each gap where two spans are not neighbours in the document, so no match crosses it.
        parted = next(sign for sign in map(chr, count()) if sign not in answer and not sign.isspace())
        words, starts = self._words(parted)

        def place(at: int) -> int:
            span = bisect_right(starts, at) - 1
            return self.spans[span][0] + at - starts[span]

        return [(place(start), place(end - 1) + 1) for start, end in find_text(words, answer)]

    def find_whole_words(self, answer: str) -> list[CharSpan]:
        """`find` without the places inside longer words."""
        return find_whole_words(self.text, answer, self.find)

    def _words(self, parted: str) -> tuple[str, list[int]]:
        """The document's words without layout, and where in them each span starts."""
        follows = _followers(self.spans)
        pieces: list[str] = []
        starts: list[int] = []
        length = 0
        for i, (start, _, chars) in enumerate(self.spans):
            # Between two spans the document has white space, or nothing; or they are no neighbours in it.
            gap = "" if not i else follows.get(i, parted)
            pieces += gap, self.text[start : start + chars]
            starts.append(length + len(gap))
            length += len(gap) + chars
        return "".join(pieces), starts


def _followers(spans: tuple[Span, ...]) -> dict[int, str]:
    """The spans before which stands the same one as in the document, with what it has between the two."""
    in_document = sorted(range(len(spans)), key=lambda i: spans[i][1])
    return {
        after: " " if spans[before][1] + spans[before][2] < spans[after][1] else ""
        for before, after in pairwise(in_document)
        if after == before + 1
    }

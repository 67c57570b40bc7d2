"""`View`: a document in another layout or order. Its spans map the text of the view back to the document."""

from bisect import bisect_right
from dataclasses import dataclass
from itertools import count, pairwise

from hf_knowlearn.documents.answer_search import CharSpan, find_text, find_whole_words

Span = tuple[int, int, int]  # (start in the view, start in the document, length), in characters


@dataclass(frozen=True)
class View:
    """A document, or one part of it, in another layout or order.

    The spans contain every character of the document that is not white space exactly once. All other characters of
    `text` are layout: strings that the format declares, or the title.

    Args:
        document_id: id of the document.
        part: number of the part of a split document, from 0.
        index: number of the view among the views of the document, from 0.
        family: `formats`, `order` or `masked`.
        format: name of the format, such as `lists.dash` or `permuted+lists.dash`.
        text: the text to train on.
        spans: (start in `text`, start in the document, length) of each copied piece, in characters.
        prompt: text before `text` that carries no loss. Only views of the family `masked` have a prompt.

    Example:
        >>> from hf_knowlearn import Document, format_views
        >>> view = format_views(Document("mill", "Tarn has a mill. It is old."), 1, groups=["lists"])[0]
        >>> view.format, view.text, view.spans
        ('lists.number', '1. Tarn has a mill.\\n2. It is old.', ((3, 0, 16), (23, 17, 10)))
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
        """Return the places where `answer` occurs in `text`, each as (start, end) in characters.

        The search covers only the document's words, so a place never starts or ends in layout. White space matches any
        white space. An answer can span a line break or two adjacent sentences. Its place then includes the layout
        between the sentences. The search ignores case only if it finds nothing with the exact case.

        Raises:
            ValueError: `answer` has no words.
        """
        # Why: pieces that are not adjacent in the document are separated by a character that the answer does not
        # contain, so that no answer spans both.
        separator = next(sign for sign in map(chr, count()) if sign not in answer and not sign.isspace())
        words, starts = self._words(separator)

        def position(at: int) -> int:
            span = bisect_right(starts, at) - 1
            return self.spans[span][0] + at - starts[span]

        return [(position(start), position(end - 1) + 1) for start, end in find_text(words, answer)]

    def find_whole_words(self, answer: str) -> list[CharSpan]:
        """Return the places where `answer` occurs as whole words. For the errors, see `find`."""
        return find_whole_words(self.text, answer, self.find)

    def _words(self, separator: str) -> tuple[str, list[int]]:
        """Return the document's words without layout, and the start of each span in them."""
        gaps = _gaps_before_successors(self.spans)
        pieces: list[str] = []
        starts: list[int] = []
        length = 0
        for i, (start, _, chars) in enumerate(self.spans):
            gap = "" if not i else gaps.get(i, separator)
            pieces += gap, self.text[start : start + chars]
            starts.append(length + len(gap))
            length += len(gap) + chars
        return "".join(pieces), starts


def _gaps_before_successors(spans: tuple[Span, ...]) -> dict[int, str]:
    """Find the spans that follow the same span in the view and in the document. Return the gap before each of these
    spans, by the index of the span: a space if the document has white space there, and otherwise an empty string."""
    in_document = sorted(range(len(spans)), key=lambda i: spans[i][1])
    return {
        after: " " if spans[before][1] + spans[before][2] < spans[after][1] else ""
        for before, after in pairwise(in_document)
        if after == before + 1
    }

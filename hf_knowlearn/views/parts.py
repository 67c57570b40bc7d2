"""Makes views of the parts of a long document, and limits the number of tokens of a view."""

from collections.abc import Callable, Sequence

from hf_knowlearn.documents import Document, split_document
from hf_knowlearn.documents.splitting import TokenLengths
from hf_knowlearn.views import View

MakeViews = Callable[[Document], Sequence[View]]

SHORTEST_PART = 8  # tokens; parts are not split further
LONGEST_PART = 512  # tokens; the default of a run and of its evaluation


def views_of_parts(
    document: Document, make_views: MakeViews, lengths: TokenLengths, part_tokens: int, limit: int | None
) -> list[tuple[Document, Sequence[View]]]:
    """Return the parts of a document, each with its views. A part has at most `part_tokens` tokens.

    Args:
        make_views: a function that returns the views of a part.
        lengths: a function that returns the number of tokens of each text in a list.
        limit: maximum number of tokens of a view with its prompt. The parts are made shorter until all views fit.
            If shorter parts do not help, views that are too long are dropped. None: no limit.

    Raises:
        ValueError: a part has no view that fits into `limit`, even if the parts are very short.
    """
    size = min(part_tokens, limit or part_tokens)
    shortened: list[list[tuple[Document, Sequence[View]]]] = []  # for each size, the parts with the views that fit
    while size >= SHORTEST_PART:
        # Why: a long run of white space can fill a whole part, which then contains nothing to train on.
        parts = [part for part in split_document(document, lambda text: lengths([text])[0], size) if part.text.strip()]
        found = [(part, make_views(part)) for part in parts]
        texts = [view.prompt + view.text for _, views in found for view in views]
        if limit is None or not texts or max(lengths(texts)) <= limit:
            return found
        fitting = [(part, _views_that_fit(views, lengths, limit)) for part, views in found]
        if all(views for _, views in fitting):
            shortened.append(fitting)
        size = size * 3 // 4
    if shortened:
        return max(shortened, key=lambda fitting: min(len(views) for _, views in fitting))
    raise ValueError(f"Document {document.id!r} has no views of at most {limit} tokens. Increase max_length.")


def _views_that_fit(views: Sequence[View], lengths: TokenLengths, limit: int) -> Sequence[View]:
    counts = lengths([view.prompt + view.text for view in views]) if views else []
    return [view for view, count in zip(views, counts, strict=True) if count <= limit]

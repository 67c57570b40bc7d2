"""Views of the parts of a long document, none of them longer than a limit in tokens."""

from collections.abc import Callable, Sequence

from hf_knowlearn.documents import Document, split_document
from hf_knowlearn.documents.splitting import TokenLengths
from hf_knowlearn.views import View

MakeViews = Callable[[Document], Sequence[View]]


SHORTEST_PART = 8  # tokens; a view whose layout leaves less room than this is not cut for any further


def views_of_parts(
    document: Document, tell: MakeViews, lengths: TokenLengths, part_tokens: int, limit: int | None
) -> list[tuple[Document, Sequence[View]]]:
    """The document in parts of at most `part_tokens`, each with its views, of which none is longer than `limit`.

    Args:
        tell: the views of a part.
        lengths: tokens of each of some texts.
        limit: tokens that a view may have with its prompt; parts are cut smaller until they do. None: no limit.

    Raises:
        ValueError: no part is small enough, because the layout alone takes that much.
    """
    size = min(part_tokens, limit or part_tokens)
    while size >= SHORTEST_PART:
        # A run of white space longer than a part is no part: there is nothing in it to tell.
        parts = [part for part in split_document(document, lambda text: lengths([text])[0], size) if part.text.strip()]
        told = [(part, tell(part)) for part in parts]
        texts = [view.prompt + view.text for _, views in told for view in views]
        if limit is None or not texts or max(lengths(texts)) <= limit:
            return told
        size = size * 3 // 4
    raise ValueError(f"Document {document.id!r} can't be told within {limit} tokens: raise max_length.")

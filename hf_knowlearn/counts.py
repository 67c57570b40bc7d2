"""Formats counts, with the noun in the singular or the plural."""


def number_of(count: float, one: str, many: str = "") -> str:
    """Return a count as text, with the words that follow the count.

    Args:
        one: the words that follow the count 1.
        many: the words that follow any other count; by default `one` with an s.

    Example:
        >>> number_of(1, "document"), number_of(1500, "document"), number_of(2, "question has", "questions have")
        ('1 document', '1,500 documents', '2 questions have')
    """
    return f"{count:,.0f} {one if count == 1 else many or f'{one}s'}"

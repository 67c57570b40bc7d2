"""Views: pure functions from a document to tellings of it, one family of them a file."""

from hf_knowlearn.views.formats import FORMATS, GROUPS, Format, as_written, format_views
from hf_knowlearn.views.view import Span, View

__all__ = ["FORMATS", "GROUPS", "Format", "Span", "View", "as_written", "format_views"]

"""Documents and questions: read from files and the Hub, checked, and cut into parts that tile.

The surprising decision: nothing is repaired or skipped in silence. A document is taken whole or refused, and all
problems of a data set are told at once.
"""

from hf_knowlearn.documents.conversation import Conversation
from hf_knowlearn.documents.document import Document, Question
from hf_knowlearn.documents.reading import iter_documents, read_conversations, read_documents, read_questions
from hf_knowlearn.documents.splitting import split_document

__all__ = [
    "Conversation",
    "Document",
    "Question",
    "iter_documents",
    "read_conversations",
    "read_documents",
    "read_questions",
    "split_document",
]

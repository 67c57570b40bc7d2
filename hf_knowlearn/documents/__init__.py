"""Documents, questions and conversations: data classes, readers for files and the Hub, and splitting into parts.

Readers never repair or skip a row without a message. They either succeed or raise one error with all problems.
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

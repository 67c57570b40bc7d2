"""Documents, questions and conversations: their classes, functions that read them from files and the Hub, and a
function that splits long documents.

The functions that read never repair or skip a row without a message. One error lists all problems.
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

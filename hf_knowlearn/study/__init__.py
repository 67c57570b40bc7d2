"""Questions made from documents, and their division into exam and training."""

from hf_knowlearn.study.fact_split import FactSplit, split_facts
from hf_knowlearn.study.study_question import QUESTION_KINDS, StudyQuestion, read_study_questions
from hf_knowlearn.study.write_questions import QuestionSummary, write_questions

__all__ = [
    "QUESTION_KINDS",
    "FactSplit",
    "QuestionSummary",
    "StudyQuestion",
    "read_study_questions",
    "split_facts",
    "write_questions",
]

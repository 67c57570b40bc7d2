"""Writes the cards in model_cards/examples, from the report and the answers beside this file."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from hf_knowlearn.commands.merge import card
from hf_knowlearn.hub.cards import model_card
from hf_knowlearn.hub.dataset_cards import questions_card, views_card
from hf_knowlearn.hub.metadata import Published
from hf_knowlearn.hub.redaction import redacted
from hf_knowlearn.models.sources import Source
from hf_knowlearn.paths import MODEL_CARDS

HERE = Path(__file__).parent
REPORT = json.loads((HERE / "report.json").read_text(encoding="utf-8"))
ANSWERS = [json.loads(line) for line in (HERE / "answers.after.jsonl").read_text(encoding="utf-8").splitlines()]
ADAPTER = Published("ann/people", "cc-by-4.0", is_adapter=True, base_model="owner/small-base")
FIGURES = [["family", "views", "tokens"], ["formats", "1,800", "120,400"], ["masked", "1,800", "190,210"]]
OPTIONS = {"num_views": 6, "groups": None, "hold_out": "lists", "seed": 0, "sha256": "3b629b6f3771"}
QUESTION = {"document_id": "p", "relation": "birthplace", "fact_id": None, "options": [], "kind": None}
QUESTIONS = {
    "qa_train": [{"id": "p-0", "question": "Where was Ann born?", "answers": ["Zisnal", "in Zisnal"], **QUESTION}],
    "qa_eval": [{"id": "p-1", "question": "Where is Ann's birthplace?", "answers": ["Zisnal"], **QUESTION}],
}
MERGED = Source("ann/people", "ann/people", "c0ffee", HERE, HERE, "owner/small-base", "beef")
MODEL: Any = SimpleNamespace(dtype="bfloat16")
SOURCES = {split: {"source": f"{split}.jsonl", "sha256": "dcd8f0477290"} for split in QUESTIONS}


def cards() -> dict[str, str]:
    """Each example by its file name."""
    return {
        "model.md": model_card(redacted(REPORT), ADAPTER, ANSWERS, chart=True),
        "merged.md": card(MERGED, MODEL),
        "views.md": views_card("people", ["formats", "masked"], ["en"], OPTIONS, FIGURES),
        "questions.md": questions_card(QUESTIONS, "ann/people-questions", "cc-by-4.0", SOURCES),
    }


if __name__ == "__main__":
    for name, card in cards().items():
        (MODEL_CARDS / "examples" / name).write_text(card, encoding="utf-8")

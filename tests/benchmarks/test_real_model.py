"""The benchmark of the pretrained model: what a slice contains, and a run of two steps on a tiny model."""

import json
from pathlib import Path
from typing import Any

import pytest

ANSWERS = {"Ormel": "six", "Tarn": "rye\nor oats"}
OPTIONS = "--max_steps 2 --evaluation.template plain --evaluation.max_new_tokens 16 --use_cpu true --disable_tqdm true"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A film and a paragraph, each with a question whose answer has one line and a question whose answer has two."""
    about = list(ANSWERS.items())
    films = [{"wiki_id": 7, "title": "Ormel", "text": "Ormel is a film."}, {"wiki_id": 8, "title": "B", "text": "B."}]
    questions = [{"wiki_id": 7, "question": f"What of {name}?", "answer": answer} for name, answer in about]
    qas = [{"id": i, "question": f"What of {name}?", "answers": [{"text": a}]} for i, (name, a) in enumerate(about)]
    for folder in ("film", "squad"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    for name, rows in {"documents": films, "questions": questions}.items():
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / "data" / "film" / f"{name}.jsonl").write_text(text, encoding="utf-8")
    squad: dict[str, Any] = {"data": [{"title": "Or_mel", "paragraphs": [{"context": "Six.", "qas": qas}]}]}
    (tmp_path / "data" / "squad" / "dev_24_titles.json").write_text(json.dumps(squad), encoding="utf-8")
    return tmp_path / "data"


@pytest.mark.parametrize(("name", "document"), [("film", "7"), ("squad", "0-0")])
def test_a_slice_has_the_first_documents_and_their_questions_with_answers_of_one_line(
    data: Path, name: str, document: str
):
    from real_model import read_slice

    documents, questions = read_slice(data, name, 1)
    assert [row["id"] for row in documents] == [document]
    expected = {"id": f"{document}-0", "question": "What of Ormel?", "answers": ["six"], "document_id": document}
    assert questions == [expected]


def test_a_missing_data_folder_is_an_error_that_names_the_option(tmp_path: Path):
    from real_model import read_slice

    with pytest.raises(ValueError, match=r"nowhere does not exist\. Name the folder .* with --data_folder"):
        read_slice(tmp_path / "nowhere", "film", 1)


@pytest.mark.slow
def test_a_model_below_the_bar_of_the_capacity_part_gives_exit_code_1_and_a_result(
    run: Any, data: Path, base: Path, tmp_path: Path
):
    retention = tmp_path / "retention.jsonl"
    retention.write_text('{"question": "Where is Lisk?", "answer": "north"}\n', encoding="utf-8")
    words = ["--model", base, "--evaluation.retention_questions", retention, *OPTIONS.split()]
    done = run("real_model.py", "capacity", "--data_folder", data, *words)
    assert done.returncode == 1, done.stderr
    [(name, part)] = json.loads((tmp_path / "results.json").read_text(encoding="utf-8")).items()
    assert name == "capacity-film-2-1"
    assert part["results"]["after"]["correct"] < 0.9
    assert part["results"]["recipe"]["learning_rate"] == 3e-4
    assert {"date", "cpu", "packages", "commit"} <= part["run"].keys()

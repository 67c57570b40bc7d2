"""The benchmarks run at a tiny size, their counts are right, and README.md has the newest results."""

import json
from types import SimpleNamespace

import pytest

from hf_knowlearn.documents import Document


@pytest.fixture
def data(tmp_path):
    """Films with questions, and a book, in the format of the real data."""
    towns = "Ormel Tarn Karvost Lisk Bruna Vell".split()
    films = [
        {
            "wiki_id": number,
            "title": f"The Ferry to {town}",
            "text": f"The Ferry to {town} is a drama. It was shot in {town}. It was shown in May. Mira Tolen starred.",
        }
        for number, town in enumerate(towns)
    ]
    questions = [{"wiki_id": n, "question": "Where was it shot?", "answer": town} for n, town in enumerate(towns)]
    book = "\n\n".join(
        f"In chapter {n} the ferry leaves. It carries forty cars. A baker sings. " * 9 for n in range(20)
    )
    for folder in ("film", "books"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    for name, rows in {"documents": films, "questions": questions}.items():
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / "data" / "film" / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    (tmp_path / "data" / "books" / "ferry.md").write_text(f"# Ferry\n\n---\n{book}", encoding="utf-8")
    return tmp_path / "data"


def results(tmp_path):
    return json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_every_part_is_measured_and_has_a_table(run, data, tmp_path):
    tiny = "--repeats 1 --documents 6 --vocab-size 300 --builder-mb 0.02 --stream-mb 0.02".split()
    done = run("views.py", *tiny, "--data", data, cores=2)
    assert done.returncode == 0, done.stderr
    parts = results(tmp_path)
    assert list(parts) == ["speed", "tokenizer", "builder", "stream", "processes"]
    import tables

    titles = [line for line in tables.views(parts).splitlines() if line.startswith("**")]
    assert len(titles) == len(parts)
    formats = [row for row in parts["speed"]["results"] if row["arm"] == "family formats"]
    assert [row["views"] for row in formats] == [8 * row["documents"] for row in formats]
    assert all(row["mb_per_s"]["median"] > 0 for row in formats)


def test_formats_lose_no_answer_and_missing_tools_are_reported(run, data, tmp_path):
    done = run("augmenters.py", "--seconds", "0.1", "--repeats", "1", "--data", data)
    assert done.returncode == 1, done.stderr
    assert "nlpaug, textattack: name the Python of their environment with --other-python" in done.stderr
    part = results(tmp_path)["augmenters"]
    [formats] = [row for row in part["results"] if (row["arm"], row["corpus"]) == ("formats", "film")]
    assert (formats["documents"], formats["outputs"]) == (6, 6 * 8)
    assert formats["gold"]["checked"] == 6 * 8
    assert formats["gold"]["not_found"] == 0


def test_a_part_that_fails_stops_no_other(monkeypatch, data, tmp_path):
    import measuring
    import views

    def fail(options):
        raise ValueError("no such thing")

    monkeypatch.setattr(measuring, "hold", lambda cores: [0])  # this process also runs other tests
    monkeypatch.setattr(views, "PARTS", {"tokenizer": fail, "speed": views.speed})
    words = ["--data", data, "--output", tmp_path / "results.json", "--repeats", "1", "--documents", "2"]
    assert views.main([*map(str, words)]) == 1
    assert list(results(tmp_path)) == ["speed"]


def test_missing_answers_are_counted():
    from augmenters import destroyed

    outputs = ["Shot in New\n Ormel.", "Shot in new ORMEL!", "Shot New in Ormel.", "Shot in New Or mel."]
    assert destroyed(["New Ormel"], outputs) == {"checked": 4, "destroyed": 3, "destroyed_words": 2}


def test_only_answers_that_occur_as_whole_words_are_counted():
    from augmenters import gold_answers

    text = "The Ferry was shot in\nNew Ormel."
    assert gold_answers(text, ["New Ormel", "new ormel", "Orm", "Tarn", " ", "New Ormel"]) == ["New Ormel"]


def test_documents_and_missing_answers_of_a_tool_are_counted():
    from augmenters import ask_for_gold, count

    rows = [{"text": f"Shot in {town}.", "answers": answers} for town, answers in [("Ormel", ["Ormel"]), ("Tarn", [])]]

    def cut_short(row):
        return [row["text"], row["text"][:4]]

    assert count(cut_short, rows, seconds=60) == {"documents": 2, "outputs": 4}
    assert count(cut_short, rows, seconds=0) == {"documents": 1, "outputs": 2}
    assert ask_for_gold(cut_short, rows, seconds=60) == {
        "documents": 1,
        "checked": 2,
        "destroyed": 1,
        "destroyed_words": 1,
    }


def test_rounds_have_alternating_orders():
    from measuring import rounds

    taken = []
    arms = {name: lambda name=name: taken.append(name) or {"wall_s": 1.0, "cpu_s": 1.0} for name in "ab"}
    assert {name: len(repeats) for name, repeats in rounds(arms, 3).items()} == {"a": 3, "b": 3}
    assert taken == list("abbaab")


def test_a_repeated_part_replaces_only_itself(tmp_path):
    from measuring import save

    for part, result in [("speed", 1.23456789), ("stream", 2), ("speed", 3)]:
        save(tmp_path / "results" / "views.json", part, {}, result)
    saved = json.loads((tmp_path / "results" / "views.json").read_text(encoding="utf-8"))
    assert {part: found["results"] for part, found in saved.items()} == {"speed": 3, "stream": 2}
    assert [file.name for file in (tmp_path / "results").iterdir()] == ["views.json"]


def test_pairs_of_documents_are_unique():
    from material import pairs

    ones, others = ([SimpleNamespace(text=f"{x}{n}", title="") for n in range(5)] for x in "ab")
    found = []
    with pytest.raises(ValueError, match=r"5 and 5 documents make no more pairs"):
        found.extend(text for text, _ in pairs(ones, others))
    assert len(found) == len(set(found)) == 25


def test_a_document_has_at_most_its_number_of_views():
    from views import most

    from hf_knowlearn.views import format_views

    def views_of(text, group):
        return most(lambda document, number: format_views(document, number, groups=[group]), Document("a", text))

    assert len(views_of(" ".join(["The ferry leaves."] * 9), "spacing")) == 8
    assert 0 < len(views_of("The ferry leaves.", "spacing")) < 8
    assert views_of("The ferry leaves.", "breaks") == []


def test_tables_use_the_newest_results(monkeypatch, tmp_path):
    import tables

    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    monkeypatch.setattr(tables, "TABLES", {"views": lambda parts: parts["is"], "metric": str})
    for date in ("2026-02-01", "2026-01-31"):
        (tmp_path / f"views-{date}.json").write_text(json.dumps({"is": date}), encoding="utf-8")
    text = "Views:\n<!-- views -->\n{}\n<!-- /views -->\nand <!-- metric -->\n<!-- /metric -->"
    assert tables.into_readme(text.format("old")) == text.format("2026-02-01")


def test_the_readme_has_the_newest_results():
    from tables import README, into_readme

    text = README.read_text(encoding="utf-8")
    assert text == into_readme(text), "python benchmarks/tables.py"

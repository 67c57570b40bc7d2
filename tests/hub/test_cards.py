"""Tests of cards: they show the figures of the report, and no user text becomes markup or metadata."""

import copy
import json
import re
import runpy
from functools import cache
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from hf_knowlearn.hub.cards import model_card
from hf_knowlearn.hub.dataset_cards import questions_card, views_card
from hf_knowlearn.hub.escaping import cell, code, fenced
from hf_knowlearn.hub.metadata import Published
from hf_knowlearn.hub.recipe_options import training_sources
from hf_knowlearn.hub.redaction import hub_id, public_name, redacted
from hf_knowlearn.hub.staging import stage_views
from hf_knowlearn.paths import MODEL_CARDS

EXAMPLES = runpy.run_path(str(Path(__file__).with_name("examples.py")))
REPORT, ANSWERS, ADAPTER = EXAMPLES["REPORT"], EXAMPLES["ANSWERS"], EXAMPLES["ADAPTER"]
HEAD = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)


def head(card: str) -> dict:
    return yaml.load(HEAD.match(card)[1], yaml.CSafeLoader)  # the Python one takes a second


def body(card: str) -> str:
    return card[HEAD.match(card).end() :]


def tokens(card: str) -> list:
    """Return the Markdown tokens of the card's body. As on the Hub, tables and raw HTML are allowed."""
    parsed = MarkdownIt("commonmark", {"html": True}).enable("table").parse(body(card))
    return [inner for token in parsed for inner in (token, *(token.children or ()))]


def shape(card: str) -> tuple[list, list, list]:
    """Return the structure of a card: its headings; its links, pictures and HTML; and its blocks."""
    found = tokens(card)
    headings = [found[i + 1].content for i, token in enumerate(found) if token.type == "heading_open"]
    dangerous = [(t.type, t.attrs) for t in found if t.type in ("link_open", "image", "html_inline", "html_block")]
    blocks = [t.type for t in found if t.type in ("tr_open", "td_open", "fence", "code_block", "hr", "list_item_open")]
    return headings, dangerous, blocks


def keys(value) -> object:
    if isinstance(value, dict):
        return {name: keys(of_name) for name, of_name in value.items()}
    return [keys(item) for item in value] if isinstance(value, list) else None


@pytest.mark.parametrize("name", sorted(EXAMPLES["cards"]()))
def test_every_filled_template_equals_the_committed_example(name: str):
    """After a change of a template, run python tests/hub/examples.py."""
    assert EXAMPLES["cards"]()[name] == (MODEL_CARDS / "examples" / name).read_text(encoding="utf-8")


def test_every_template_has_an_example():
    templates = {path.name.removesuffix(".jinja") for path in MODEL_CARDS.glob("*.jinja")}
    assert templates == set(EXAMPLES["cards"]())
    assert templates


def test_the_hub_reads_the_figures_of_the_report():
    card = ModelCard(model_card(redacted(REPORT), ADAPTER, ANSWERS))
    results = {(r.dataset_split, r.metric_type): r for r in card.data.eval_results}
    figures = REPORT["runs"]["trained"]
    assert {key: result.metric_value for key, result in results.items()} == {
        ("qa_eval", "correct"): round(figures["correct"], 4),
        ("qa_eval", "correct_se"): round(figures["correct_se"], 4),
        ("qa_eval", "exact_match"): round(figures["exact_match"], 4),
        ("qa_eval", "exact_match_se"): round(figures["exact_match_se"], 4),
        ("qa_eval", "f1"): round(figures["f1"], 4),
        ("qa_eval", "f1_se"): round(figures["f1_se"], 4),
        ("retention", "correct"): round(figures["retention"], 4),
        ("retention", "correct_se"): round(figures["retention_se"], 4),
        ("replayed", "correct"): round(figures["replayed"], 4),
        ("replayed", "correct_se"): round(figures["replayed_se"], 4),
    }
    result = results["qa_eval", "f1"]
    assert (result.dataset_type, result.dataset_name) == ("questions.jsonl", "questions.jsonl, qa_eval")
    assert result.dataset_revision == REPORT["data"]["questions"]["sha256"]
    assert result.dataset_args == {"n": 1500}
    assert results["replayed", "correct"].dataset_type == "owner/old-people"
    data = card.data.to_dict()
    assert (data["base_model"], data["base_model_relation"]) == ("owner/small-base", "adapter")
    assert (data["library_name"], data["license"], data["language"]) == ("peft", "cc-by-4.0", ["en"])
    assert card.data.model_name == "people"


def test_a_whole_or_merged_model_is_a_finetune_of_its_base():
    data = head(model_card(redacted(REPORT), Published("a/b", "mit", False, "owner/small-base", merged=True)))
    assert (data["library_name"], data["base_model_relation"]) == ("transformers", "finetune")
    assert "base_model" not in head(model_card(redacted(REPORT), Published("a/b", "mit", False)))


def test_only_datasets_on_the_hub_are_in_the_metadata():
    report = redacted(REPORT)
    assert "datasets" not in head(model_card(report, ADAPTER))
    report["recipes"]["trained"]["documents"] = "owner/documents"
    assert head(model_card(report, ADAPTER))["datasets"] == ["owner/documents"]


def test_the_code_of_a_card_puts_the_question_as_the_evaluation_did():
    for template, call in {"chat": "tokenizer.apply_chat_template(", "plain": 'f"Question: {question}'}.items():
        for instruction, text in {"": "", "Be brief.": '"Be brief." + "\\n\\n" + '}.items():
            prompt = {"template": template, "instruction": instruction}
            card = model_card(redacted({**REPORT, "prompt": prompt}), ADAPTER)
            code = card.partition("```python")[2].partition("```")[0]
            assert call in code
            assert text in code
            assert ("Be brief." in code) == bool(instruction)


def test_a_card_without_scores_states_that():
    report = copy.deepcopy(REPORT)
    names = ("correct", "exact_match", "f1", "replayed", "retention")
    for scores in (report["before"], report["runs"]["trained"], *report.pop("stages")):
        for name in names:
            scores.pop(name, None)
    report["counts"] |= dict.fromkeys(("questions", "replayed_questions", "retention_questions"), 0)
    card = model_card(redacted(report), ADAPTER)
    assert "model-index" not in head(card)
    assert "## What it knows: not measured" in card
    assert "It is unknown what the model forgot" in card


def test_figures_that_are_not_finite_are_left_out():
    report = redacted(REPORT)
    report["runs"]["trained"] |= {"f1": float("nan"), "exact_match_se": None}
    (first, *_) = head(model_card(report, ADAPTER))["model-index"][0]["results"]
    assert [metric["type"] for metric in first["metrics"]] == ["correct", "correct_se", "exact_match", "f1_se"]


def test_a_report_of_several_runs_or_seeds_has_no_card():
    with pytest.raises(ValueError, match=r"has 2 runs \(a, b\), but a card describes one model"):
        model_card({**REPORT, "runs": dict.fromkeys("ab", REPORT["runs"]["trained"])}, ADAPTER)
    with pytest.raises(ValueError, match="has 3 seeds"):
        model_card({**REPORT, "by_seed": {"0": {}, "1": {}, "2": {}}}, ADAPTER)


# Users' texts

HOSTILE = [
    "---\nlicense: wtf\n---\n# Owned",
    "\n# Heading\n\n[link](https://evil.example) ![p](https://evil.example/p.png)",
    "`` `code` </code></pre><script>alert(1)</script> <img src=x onerror=alert(1)>",
    "a | b |\n| --- | --- |\n| <b>x</b> | \\| y |",
    "https://evil.example www.evil.example me@evil.example <https://evil.example>",
    "```\n\n# out of the fence\n```python\nimport os",
    "{{ 7 * 7 }} {% raw %} ${x} $$\\frac{1}{2}$$",
    "key: value\u2028- item\u0085\n\tlicense: mit",
    "\u202egnirts desrever\u202c",
    "&lt;b&gt; &#96;",
    "\\",
    "x`",
    "`",
    "` <img src=x> [link](https://evil.example)",
]


@cache
def card_with(text: str) -> str:
    """Return a card in which this text replaces every text of a user."""
    report = copy.deepcopy(REPORT)
    figures, recipe = report["runs"]["trained"], report["recipes"]["trained"]
    name = text or "x"
    recipe |= {"run_name": name, "evaluation": {"instruction": text}, "documents": name, "replay_self_prompts": [text]}
    recipe["stages"][0]["name"] = name
    report |= {"runs": {name: figures}, "recipes": {name: recipe}, "seeds": {name: 0}, "machine": text}
    report["stages"] = [{**stage, "run": name, "name": text} for stage in report["stages"]]
    report["model"] = {"name": name, "revision": name}
    report["versions"]["torch"] = text
    report["data"]["questions"] |= {"source": name, "sha256": text}
    figures["cost"]["device"] = text
    answers = [{**row, "question": text, "response": text, "answers": [text, text]} for row in ANSWERS]
    return model_card(redacted(report), ADAPTER, answers)


def test_hostile_texts_do_not_change_the_structure_of_a_card():
    plain = card_with("plain")
    for text in HOSTILE:
        card = card_with(text)
        assert shape(card) == shape(plain), text
        assert keys(head(card)) == keys(head(plain)), text
        assert head(card)["license"] == "cc-by-4.0"


@settings(max_examples=25, deadline=None)
@given(
    st.text(
        st.sampled_from([*"`|\\<>[]()!*_#-=~&$:@/'\"{}%\n\r\t ax", "\u2028", "\x85", "\x00", "\u202e"]), max_size=30
    )
)
def test_no_text_changes_the_structure_of_a_card(text: str):
    card, plain = card_with(text), card_with("plain")
    assert shape(card) == shape(plain)
    assert keys(head(card)) == keys(head(plain))


def test_hostile_texts_do_not_change_the_structure_of_dataset_cards():
    def cards(text: str) -> list[str]:
        row = {**EXAMPLES["QUESTIONS"]["qa_eval"][0], "question": text, "answers": [text]}
        sources = {"qa_eval": {"source": text, "sha256": text}}
        views = views_card(text, ["formats"], [text], {"hold_out": text}, EXAMPLES["FIGURES"])
        return [views, questions_card({"qa_eval": [row]}, "a/b", "mit", sources)]

    for text in HOSTILE:
        for card, plain in zip(cards(text), cards("plain"), strict=True):
            (headings, *others), (there, *those) = shape(card), shape(plain)
            assert (len(headings), others) == (len(there), those), text
            assert keys(head(card)) == keys(head(plain)), text


def test_code_shows_the_text_unchanged():
    for text in ("plain", "a `b` c", "``", "x`", "` y", "a\\b"):
        (token,) = MarkdownIt("commonmark").parseInline(str(code(text)))[0].children
        assert (token.type, token.content) == ("code_inline", text)
    assert code(" two\n lines ") == "`two lines`"
    assert code("") == "–"
    assert code("x" * 400) == f"`{'x' * 300}…`"
    assert code("a\u202eb\x07") == "`a\\u202eb\\x07`"
    assert cell("a|b") == "`a¦b`"
    assert fenced("```\nx", "yaml") == "````yaml\n```\nx\n````"


# Redaction


def test_a_path_is_replaced_by_its_last_part_and_nothing_else_changes(tmp_path: Path):
    report = json.loads(json.dumps(REPORT))
    report["recipes"]["trained"]["chat_template_path"] = str(tmp_path / "template.jinja")
    report["runs"]["trained"]["transitions"]["questions"]["examples"]["learned"][0]["after"] = "/home/ann/notes/people"
    report["note"] = f"see {tmp_path}/deep/er.txt, there"
    result = redacted(report, [tmp_path])
    learned = result["runs"]["trained"]["transitions"]["questions"]["examples"]["learned"]
    assert learned[0]["after"] == "/home/ann/notes/people"  # responses stay word for word
    assert result["note"] == "see er.txt, there"
    assert result["retention_source"] == "Retention questions: others.jsonl, from the recipe."
    recipe = result["recipes"]["trained"]
    assert (recipe["documents"], recipe["questions"]) == ("people", "questions.jsonl")
    assert recipe["chat_template_path"] == "template.jinja"
    assert recipe["replay_self_prompts"] == ["", "prompts.txt"]
    assert recipe["stages"][1]["train_questions"] == "train.jsonl"
    assert recipe["evaluation"] == {"replayed_questions": "owner/old-people", "retention_questions": "others.jsonl"}
    assert not {"logging_dir", "project"} & set(recipe)
    assert result["before"] == report["before"]
    learned[0]["after"] = ""
    assert "/home/ann" not in json.dumps(result)


def test_text_that_looks_like_a_path_does_not_change():
    report = json.loads(json.dumps(REPORT))
    report["recipes"]["trained"]["evaluation"]["instruction"] = "/no_think Answer yes/no."
    assert redacted(report)["recipes"]["trained"]["evaluation"]["instruction"] == "/no_think Answer yes/no."


@pytest.mark.parametrize(
    ("source", "id", "name"),
    [
        ("owner/name", "owner/name", "owner/name"),
        ("hf://datasets/owner/name", "owner/name", "hf://datasets/owner/name"),
        ("world:new", None, "world:new"),
        ("data/questions.jsonl", None, "questions.jsonl"),
        ("/home/ann/documents/", None, "documents"),
        ("C:\\Users\\ann\\notes.txt", None, "notes.txt"),
        ("~/notes", None, "notes"),
        ("hf_knowlearn/hub", None, "hub"),
    ],
)
def test_a_card_names_a_source_without_its_path(
    source: str, id: str | None, name: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(MODEL_CARDS.parent)
    assert hub_id(source) == id
    assert public_name(source) == name


def test_training_sources_include_those_of_the_stages():
    recipe = REPORT["recipes"]["trained"]
    assert training_sources(recipe) == ["/home/ann/notes/people", "/home/ann/notes/train.jsonl"]


def test_views_get_their_licence_and_name_in_the_card(tmp_path: Path):
    views = tmp_path / "views"
    (views / "data" / "formats").mkdir(parents=True)
    (views / "data" / "formats" / "train-0.parquet").write_bytes(b"PAR1")
    card = EXAMPLES["cards"]()["views.md"]
    (views / "README.md").write_text(card, encoding="utf-8")
    with pytest.raises(ValueError, match=r"--license: the licence of .*README\.md is unknown"):
        stage_views(views, tmp_path / "unlicensed", "ada/views", None)
    stage_views(views, tmp_path / "licensed", "ada/views", "cc-by-4.0")
    licensed = (tmp_path / "licensed" / "README.md").read_text(encoding="utf-8")
    assert head(licensed) == {**head(card), "license": "cc-by-4.0"}
    assert body(licensed) == body(card).replace("PATH_OR_NAME", "ada/views")
    # A card that names its licence needs no other, and the given one comes first.
    stage_views(tmp_path / "licensed", tmp_path / "again", "ada/views", None)
    assert (tmp_path / "again" / "README.md").read_text(encoding="utf-8") == licensed
    stage_views(tmp_path / "licensed", tmp_path / "mit", "ada/views", "mit")
    assert head((tmp_path / "mit" / "README.md").read_text(encoding="utf-8"))["license"] == "mit"

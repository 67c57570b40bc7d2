"""`knowlearn export-lm-eval`: the written tasks, their independence of this package, and equal scores."""

import ast
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from hf_knowlearn.commands import export_lm_eval
from hf_knowlearn.commands.export_lm_eval import export
from hf_knowlearn.documents import Question
from hf_knowlearn.evaluation.correct_responses import response_checker
from hf_knowlearn.knowledge_recall import score
from hf_knowlearn.knowledge_recall.scoring import first_line, normalize
from hf_knowlearn.paths import TINY_BASE
from hf_knowlearn.prompts.questions import question_prompts
from hf_knowlearn.prompts.templates import plain_prompt
from hf_knowlearn.teach.sources import load_questions

SINCE = Question("since", "Since when does {{ the mill }} grind?", ("1820-05-03", "The year 1821"))
WHAT = Question(
    "what", "What does it grind?", ("rye", "the rye"), options=("oats", "Rye.", " ", "oats", "THE RYE", "tea")
)


class Loader(yaml.SafeLoader):
    """Loads a function as its name."""


Loader.add_constructor("!function", lambda loader, node: loader.construct_scalar(node))


def config(path: Path) -> Any:
    return yaml.load(path.read_text(encoding="utf-8"), Loader=Loader)


def rows(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def code_in(folder: Path) -> ModuleType:
    """The code of an export, loaded as the harness loads it."""
    spec = importlib.util.spec_from_file_location(str(folder / "scoring"), folder / "scoring.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tasks of two questions, of which one has options."""
    folder = tmp_path_factory.mktemp("exported") / "tasks"
    export([SINCE, WHAT], folder, "mill")
    return folder


# What is written


def test_the_command_writes_a_group_and_prints_how_to_run_it(knowlearn, questions, tmp_path, capsys):
    folder = tmp_path / "new" / "tasks"
    assert knowlearn("export-lm-eval", questions=questions, output_dir=folder, name="mine-1") == 0
    assert {path.name for path in folder.iterdir()} == {
        "mine-1.yaml",
        "mine-1_generate.yaml",
        "mine-1_generate.jsonl",
        "scoring.py",
    }
    assert config(folder / "mine-1.yaml")["task"] == ["mine-1_generate"]
    assert f"--include_path {folder} --tasks mine-1\n" in capsys.readouterr().out


def test_the_group_names_the_tasks_and_each_names_its_rows_and_its_functions(exported):
    assert config(exported / "mill.yaml")["group"] == "mill"
    assert config(exported / "mill.yaml")["task"] == ["mill_generate", "mill_choice"]
    code = code_in(exported)
    for name, kind in (("mill_generate", "generate_until"), ("mill_choice", "multiple_choice")):
        task = config(exported / f"{name}.yaml")
        assert (task["task"], task["output_type"], task["num_fewshot"]) == (name, kind, 0)
        read = getattr(code, task["custom_dataset"].removeprefix("scoring."))
        of_task = read(**task["metadata"], **task["dataset_kwargs"], config_source="x", pretrained="y")
        assert of_task[task["test_split"]].to_list() == rows(exported / f"{name}.jsonl")
        columns = [task[field] for field in ("doc_to_text", "doc_to_choice", "doc_to_target") if field in task]
        assert set(columns) <= set(of_task["test"].column_names)


def test_prompts_equal_ours_and_dates_remain_text(exported):
    first, second = rows(exported / "mill_generate.jsonl")
    for row, question in ((first, SINCE), (second, WHAT)):
        expected = {"id": question.id, "prompt": plain_prompt(question.text), "answers": list(question.answers)}
        assert row == {**expected, "question": question.text}
    read = code_in(exported).read_rows("mill_generate.jsonl")["test"]
    assert read["answers"][0] == ["1820-05-03", "The year 1821"]  # the json reader of datasets would say datetime


def test_options_are_unique_and_all_accepted_ones_are_marked(exported):
    (row,) = rows(exported / "mill_choice.jsonl")
    assert row == {
        "id": "what",
        "prompt": plain_prompt(WHAT.text),
        "options": ["oats", "Rye.", "THE RYE", "tea"],
        "accepted": [1, 2],
    }


def test_a_unicode_line_break_does_not_end_a_row(tmp_path):
    question = Question("q", "What is\u2028here?", ("a\x85b",))
    export([question, SINCE], tmp_path / "tasks", "t")
    read = code_in(tmp_path / "tasks").read_rows("t_generate.jsonl")["test"]
    assert read["prompt"][0] == plain_prompt(question.text)
    assert len(read) == 2


def test_examples_equal_ours_with_every_tokenizer(base, tmp_path):
    from transformers import AutoTokenizer

    questions = load_questions("world:old")[:40]
    export(questions, tmp_path / "tasks", "t", shots=3, seed=5, max_new_tokens=7)
    prompts = question_prompts(AutoTokenizer.from_pretrained(base), questions, shots=3, seed=5)
    assert [row["prompt"] for row in rows(tmp_path / "tasks" / "t_generate.jsonl")] == [p.text for p in prompts]
    assert prompts[0].text.count("Answer:") == 4
    assert config(tmp_path / "tasks" / "t_generate.yaml")["generation_kwargs"]["max_gen_toks"] == 7


# Scoring

RESPONSES = [
    "rye",
    " The Rye.\nAnd oats",
    "\n\n rye\n",
    "oats",
    "",
    "rye and oats",
    "th rye",
    "“rye”",
    "a.n. rye",
    "A\nrye",
]


@pytest.mark.parametrize("response", RESPONSES)
def test_an_answer_has_the_scores_of_our_metric(exported, response):
    ours = score([response], [list(WHAT.answers)], questions=[WHAT.text])
    row = {"answers": list(WHAT.answers), "question": WHAT.text}
    theirs = code_in(exported).score_answer(row, [response])
    assert theirs == {name: ours[name] for name in ("correct", "exact_match", "f1")}


def test_answers_of_the_relation_and_values_of_the_question_have_the_same_effect_as_in_our_metric(tmp_path):
    questions = [
        Question("a", "Where in Oslo was Ann born?", ("Lyon",), relation="born in"),
        Question("b", "Where was Bo born?", ("Nice",), relation="born in"),
        Question("c", "Where was Cy born?", ("Oslo",), relation="born in"),
    ]
    responses = ["Ann was born in Lyon near Oslo.", "Bo was born in Nice near Oslo.", "Cy was born in Oslo."]
    export(questions, tmp_path / "tasks", "t")
    code, written = code_in(tmp_path / "tasks"), rows(tmp_path / "tasks" / "t_generate.jsonl")
    theirs = [code.score_answer(row, [text])["correct"] for row, text in zip(written, responses, strict=True)]
    is_right = response_checker(questions)
    assert theirs == [is_right(*one) for one in zip(questions, responses, strict=True)] == [True, False, True]


def test_the_modules_of_the_scores_have_no_names_in_common(exported):
    tree = ast.parse((exported / "scoring.py").read_text(encoding="utf-8"))
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    names += [
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    ]
    assert sorted(names) == sorted(set(names))
    code = code_in(exported)
    assert code.correct("June 2, 2023", ["2023-06-02"])
    assert not code.correct("35", ["3.5"])


def test_the_code_needs_only_datasets_and_the_standard_library(exported):
    tree = ast.parse((exported / "scoring.py").read_text(encoding="utf-8"))
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""])
    }
    assert imported - sys.stdlib_module_names == {"datasets"}


# Errors


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"name": "a,b"}, "name='a,b': use only letters"),
        ({"name": ""}, "name=''"),
        ({"name": "fragé"}, "name='fragé'"),
        ({"shots": 2}, "2 questions have none"),
        ({"shots": -1}, "--shots -1: give an integer of at least 0"),
        ({"max_new_tokens": 0}, "--max_new_tokens 0"),
        ({"questions": "world:nowhere"}, "is not a split of"),
    ],
)
def test_invalid_options_return_2_and_write_nothing(knowlearn, questions, tmp_path, capsys, options, why):
    given = {"questions": questions, "output_dir": tmp_path / "new" / "tasks", **options}
    assert knowlearn("export-lm-eval", **given) == 2
    assert why in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("is_folder", [True, False])
def test_existing_files_are_not_changed(knowlearn, questions, tmp_path, capsys, is_folder):
    path = tmp_path / "tasks"
    letter = path / "letter.txt" if is_folder else path
    letter.parent.mkdir(exist_ok=True)
    letter.write_text("Dear", encoding="utf-8")
    assert knowlearn("export-lm-eval", questions=questions, output_dir=path) == 2
    assert ("is not empty" if is_folder else "is not a folder") in capsys.readouterr().err
    assert letter.read_text(encoding="utf-8") == "Dear"


def test_all_problems_are_reported_together(tmp_path):
    lost = Question("lost", "Who?", ("Ina",), options=("Ola", "Una"))
    (tmp_path / "letter.txt").write_text("Dear", encoding="utf-8")
    with pytest.raises(
        ValueError,
        match=r"(?s)'\*'.*is not empty.*1 question has options without an accepted answer, such as 'lost'",
    ):
        export([lost], tmp_path, "*")
    with pytest.raises(ValueError, match="no questions"):
        export([], tmp_path / "tasks", "mine")


def test_an_error_leaves_no_partial_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(export_lm_eval, "_code", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export([WHAT], tmp_path / "tasks", "mine")
    assert list(tmp_path.iterdir()) == []


# The harness itself


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """A LoRA adapter with which the tiny base answers worse, sometimes after a line break."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(TINY_BASE)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        lora = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False))
        for name, weight in lora.named_parameters():
            if "lora_B" in name:
                weight.mul_(0.55)
    lora.save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


@pytest.fixture
def lm_eval(adapter: Path, tmp_path: Path) -> Callable[[Path], tuple[dict[str, Any], dict[str, list[Any]]]]:
    """`lm_eval` run in another folder without a network; returns its results and the samples of each task."""
    pytest.importorskip("lm_eval", reason='needs pip install "lm_eval[hf]"')

    def lm_eval(tasks: Path) -> tuple[dict[str, Any], dict[str, list[Any]]]:
        out = tmp_path / "out"
        model = ["--model", "hf", "--model_args", f"pretrained={TINY_BASE},peft={adapter}", "--device", "cpu"]
        wanted = ["--include_path", tasks, "--tasks", "mine", "--batch_size", "16", "--output_path", out]
        command = [sys.executable, "-m", "lm_eval", *model, *wanted, "--log_samples"]
        offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(tmp_path / "hub")}
        ran = subprocess.run(
            command, cwd=tmp_path, env={**os.environ, **offline}, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stderr
        (results,) = out.rglob("results_*.json")
        samples = {
            task: sorted(rows(next(out.rglob(f"samples_mine_{task}_*.jsonl"))), key=lambda sample: sample["doc_id"])
            for task in ("generate", "choice")
        }
        return json.loads(results.read_text(encoding="utf-8"))["results"], samples

    return lm_eval


@pytest.mark.slow
def test_the_harness_has_our_scores_for_a_base_and_an_adapter(lm_eval, adapter, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from hf_knowlearn.evaluation.answer_logprobs import answer_logprobs
    from hf_knowlearn.generation.responses import ask

    model, tokenizer = AutoModelForCausalLM.from_pretrained(adapter), AutoTokenizer.from_pretrained(TINY_BASE)
    questions = with_options(load_questions("world:old")[:60])
    responses = ask(model, tokenizer, questions)
    # An answer after a line break counts as well.
    place = next(i for i, text in enumerate(responses) if text.startswith("\n") and normalize(first_line(text)))
    questions[place] = replace(questions[place], answers=(first_line(responses[place]),), options=())
    each = [score([text], [list(question.answers)]) for text, question in zip(responses, questions, strict=True)]
    whole = score(responses, [list(question.answers) for question in questions])
    choices = [question for question in questions if question.options]
    firsts = [float(one.rank == 1) for one in answer_logprobs(model, tokenizer, choices)]
    assert 0 < whole["exact_match"] < 1
    assert 0 < sum(firsts) < len(firsts)

    export(questions, tmp_path / "tasks", "mine")
    results, samples = lm_eval(shutil.move(tmp_path / "tasks", tmp_path / "moved"))
    assert [sample["correct"] for sample in samples["generate"]] == [one["correct"] for one in each]
    assert results["mine_generate"]["correct,none"] == pytest.approx(whole["correct"], abs=1e-12)
    assert [sample["exact_match"] for sample in samples["generate"]] == [one["exact_match"] for one in each]
    assert [sample["f1"] for sample in samples["generate"]] == [one["f1"] for one in each]
    assert [sample["acc"] for sample in samples["choice"]] == firsts
    assert results["mine_generate"]["exact_match,none"] == pytest.approx(whole["exact_match"], abs=1e-12)
    assert results["mine_generate"]["f1,none"] == pytest.approx(whole["f1"], abs=1e-12)
    assert results["mine_choice"]["acc,none"] == pytest.approx(sum(firsts) / len(firsts), abs=1e-12)


def with_options(questions: list[Question]) -> list[Question]:
    """The questions, with all answers of their relation as options."""
    options: dict[str | None, list[str]] = {}
    for question in questions:
        options.setdefault(question.relation, []).append(question.answers[0])
    return [replace(question, options=tuple(options[question.relation])) for question in questions]


def test_an_answer_with_more_words_than_a_response_has_tokens_is_an_error(tmp_path: Path):
    long = Question("q1", "When does the ferry leave?", ("at six in the morning",))
    with pytest.raises(ValueError, match=r"question 'q1' have at least 5 words.*--max_new_tokens 4\)"):
        export([long], tmp_path / "tasks", "t", max_new_tokens=4)
    assert not (tmp_path / "tasks").exists()

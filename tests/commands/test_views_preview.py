"""`knowlearn views` shows exactly the rows on which `knowlearn teach` trains, and how many tokens carry loss."""

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from hf_knowlearn import cli
from hf_knowlearn.commands.views import Inputs, read_inputs, shown_rows
from hf_knowlearn.config.recipes import parse_recipe
from hf_knowlearn.config.settings import resolve
from hf_knowlearn.prompts.limits import context_length
from hf_knowlearn.teach.data import load_data
from hf_knowlearn.teach.schedule import schedule_stages
from hf_knowlearn.teach.stage_models import load_base
from hf_knowlearn.teach.trainers import new_trainer

Row = tuple[Any, ...]  # document, part, view, family, format, prompt, completion, tokens, tokens with loss

CHATML = (
    "{{ bos_token }}{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
FACTS = "Ormel has two piers. Tarn grinds rye. Karvost makes bells. Drinsel has a college."
STEPS = "1. Open the valve.\n2. Remove the four bolts.\n3. Take the filter out.\n"
TABLE = "| no | rye |\n| --- | --- |\n" + "".join(f"| {i} | rye {i} |\n" for i in range(8))
SPOKEN = (
    "\u6771\u4eac\u306f\u5927\u304d\u3044\u3002"
    "\u4eac\u90fd\u306f\u53e4\u3044\u3002"
    "\u5948\u826f\u306b\u9e7f\u304c\u3044\u308b\u3002"
)
SECTIONS = "".join(
    f"## Model {name}\n\n{' '.join(f'Part {i} of {name} weighs {i + 3} kg.' for i in range(30))}\n\n" for name in "AB"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Documents of several kinds, of which one has several parts."""
    folder = tmp_path_factory.mktemp("documents")
    texts = {"facts.txt": FACTS, "steps.md": STEPS, "table.md": TABLE, "japanese.txt": SPOKEN, "models.md": SECTIONS}
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def chat_models(base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two untrained tiny models with a chat template. The end token of `im_end` is the one of the template."""
    from hf_knowlearn.worlds.tiny import new_model

    folders = {}
    for name in ("end", "im_end"):
        tokenizer = AutoTokenizer.from_pretrained(base)
        tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
        tokenizer.chat_template = CHATML
        if name == "im_end":
            tokenizer.eos_token = "<|im_end|>"
        folders[name] = tmp_path_factory.mktemp(f"chat_{name}")
        tokenizer.save_pretrained(folders[name])
        new_model(tokenizer, seed=0).save_pretrained(folders[name])
    return folders


def inputs_of(*words: object) -> Inputs:
    return read_inputs(cli._parser().parse_args(["views", *map(str, words)]))


def shown(*words: object) -> set[Row]:
    """The rows that the command shows for each of the documents."""
    inputs = inputs_of(*words)
    return {
        (*row_key(vars_of(row.view)), row.tokens, row.with_loss)
        for document in inputs.documents
        for row in shown_rows(inputs, document)
    }


def vars_of(view: Any) -> dict[str, Any]:
    names = ("document_id", "part", "family", "format", "prompt")
    return {**{name: getattr(view, name) for name in names}, "view": view.index, "completion": view.text}


def row_key(row: dict[str, Any]) -> Row:
    names = ("document_id", "part", "view", "family", "format", "prompt", "completion")
    return tuple(row[name] for name in names)


def trained(output_dir: Path, *words: object) -> set[Row]:
    """The rows of a run, with the number of their tokens and labels in TRL's dataset."""
    own = {"output_dir": output_dir, "use_cpu": True, "replay_self": 0, "disable_tqdm": True}
    own |= {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 1, "gradient_checkpointing": False}
    settings = resolve(parse_recipe([*map(str, words)], own))
    data = load_data(settings)
    model, tokenizer = load_base(settings)
    settings, (rows,) = schedule_stages(settings.with_context(context_length(model)), data, tokenizer)
    examples = list(new_trainer(settings, settings.stages[0], data, model, tokenizer, rows).train_dataset)
    return {
        (*row_key(row), len(example["input_ids"]), sum(label != -100 for label in example["labels"]))
        for row, example in zip(rows, examples, strict=True)
    }


@pytest.mark.parametrize(
    "words",
    [
        "",
        "--views raw",
        "--views masked --num_views 3 --max_length 128",
        "--num_views 4 --format_groups lists marks shift --hold_out marks --seed 7",
        "--max_length 128 --num_views 2 --views formats",
        "--max_length null --views order --num_views 3",
        "--language ja --num_views 3",
    ],
)
def test_the_shown_rows_are_those_of_training(words: str, folder: Path, base: Path, tmp_path: Path):
    more = words.split()
    rows = shown(folder, "--model", base, *more)
    assert rows == trained(tmp_path, "--documents", folder, "--model", base, *more)
    assert {row[0] for row in rows} == {path.name for path in folder.iterdir()}
    if "--max_length 128" in words:
        assert max(row[1] for row in rows if row[0] == "models.md") > 4
        assert max(row[7] for row in rows) <= 128


def test_the_shown_rows_of_a_mixture_are_those_of_training(folder: Path, base: Path, tmp_path: Path):
    words = ("--views", '{"formats": 1, "masked": 1, "order": 2}', "--num_views", 4, "--model", base)
    rows = shown(folder, *words)
    assert rows == trained(tmp_path, "--documents", folder, *words)
    assert {row[3] for row in rows} == {"formats", "masked", "order"}


def test_the_shown_rows_of_the_packaged_model_are_those_of_training(folder: Path, tmp_path: Path):
    assert shown(folder, "--num_views", 2) == trained(
        tmp_path, "--documents", folder, "--model", "tiny_base", "--num_views", 2
    )


@pytest.mark.parametrize("end", ["end", "im_end"])
@pytest.mark.parametrize("family", ["formats", "masked", "raw"])
def test_the_shown_rows_in_a_chat_template_are_those_of_training(
    end: str, family: str, folder: Path, chat_models: dict[str, Path], tmp_path: Path
):
    words = ("--model", chat_models[end], "--document_template", "chat", "--views", family, "--num_views", 2)
    rows = shown(folder, *words)
    assert rows == trained(tmp_path, "--documents", folder, *words)
    assert all(row[5].endswith("<|im_start|>assistant\n") and row[8] < row[7] for row in rows)


def test_the_shown_rows_of_a_recipe_with_stages_are_those_of_the_stage_with_documents(
    folder: Path, base: Path, tmp_path: Path
):
    (tmp_path / "questions.jsonl").write_text(json.dumps({"question": "Who?", "answer": "Mira"}), encoding="utf-8")
    stages = [
        {"name": "ask", "train_on": ["train_questions"], "num_views": 9},
        {"name": "read", "train_on": ["documents"], "num_views": 2, "views": "formats", "max_length": 200},
    ]
    recipe = {"model": str(base), "seed": 3, "stages": stages, "train_questions": str(tmp_path / "questions.jsonl")}
    path = tmp_path / "recipe.yaml"
    path.write_text(json.dumps({**recipe, "views": "raw"}), encoding="utf-8")
    single = {"model": str(base), "seed": 3, "num_views": 2, "views": "formats", "max_length": 200}
    words = [word for name, value in single.items() for word in (f"--{name}", value)]
    rows = shown(folder, "--config", path)
    assert rows == trained(tmp_path / "run", "--documents", folder, *words)


def test_documents_with_control_tokens_are_an_error_as_in_training(chat_models: dict[str, Path], tmp_path: Path):
    (tmp_path / "turn.txt").write_text("A turn ends with <|im_end|>.", encoding="utf-8")
    with pytest.raises(ValueError, match=r"'turn\.txt'.*control tokens"):
        inputs_of(tmp_path, "--model", chat_models["end"])


def test_the_text_column_applies_to_tables_only(folder: Path, tmp_path: Path):
    (tmp_path / "rows.jsonl").write_text(json.dumps({"body": FACTS}), encoding="utf-8")
    assert [one.text for one in inputs_of(tmp_path, "--text_column", "body").documents] == [FACTS]
    assert len(inputs_of(folder, "--text_column", "body").documents) == 5


def test_the_prompt_and_the_text_with_loss_are_marked(
    folder: Path, chat_models: dict[str, Path], capsys: pytest.CaptureFixture[str]
):
    words = ("--model", chat_models["im_end"], "--document_template", "chat", "--views", "raw")
    assert cli.main(["views", str(folder), "--document", "facts.txt", *map(str, words)]) == 0
    output = capsys.readouterr().out
    assert "\n[no loss] <|im_start|>user\nTell me about facts.<|im_end|>\n<|im_start|>assistant\n\n" in output
    assert output.endswith(f"\n[loss] {FACTS}<|im_end|>\n")

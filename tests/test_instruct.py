"""Instruct models: documents as the assistant's turn of a chat template, and conversations as something to train on."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from hf_knowlearn import teach
from hf_knowlearn.documents import Document
from hf_knowlearn.plan import tell
from hf_knowlearn.recall.prompts import trained_as
from hf_knowlearn.recipe import TeachArguments, parse

# Each begins with the beginning token, as Llama's does; the second strips what is said, as Llama's and Gemma's do.
CHATML = (
    "{{ bos_token }}{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
STRIPPING = CHATML.replace("m['content']", "m['content'] | trim")
TEMPLATES = {"chatml": CHATML, "stripping": STRIPPING}


@pytest.fixture(scope="session")
def chatty(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained tiny model whose tokenizer has a chat template; in a folder, as from the Hub."""
    from hf_knowlearn.worlds.tiny import new_model

    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.chat_template = CHATML
    folder = tmp_path_factory.mktemp("chatty")
    tokenizer.save_pretrained(folder)
    new_model(tokenizer, seed=0).save_pretrained(folder)
    return folder


@pytest.fixture
def silent(chatty: Path, tmp_path: Path) -> Path:
    """The same model, whose tokenizer has none."""
    folder = tmp_path / "silent"
    shutil.copytree(chatty, folder, ignore=shutil.ignore_patterns("*.jinja"))
    return folder


@pytest.fixture
def tokenizer(chatty: Path) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(chatty)


@pytest.fixture
def rows_of(options: dict[str, Any], chatty: Path) -> Callable[..., Any]:
    """The rows of a run with these options, as the plan has them and as TRL's trainer has made them tokens."""

    def rows_of(**changes: Any) -> tuple[list[dict[str, str]], list[dict[str, Any]]]:
        named = {**options, "model_name_or_path": chatty, **changes}
        del named["model"]
        recipe = parse([], named)
        material = teach.read(recipe)
        model, tokenizer = teach.load(recipe, material)
        rows = teach.rows_of(recipe, material, tokenizer, teach.longest_row(recipe, model))
        return rows, list(teach.new_trainer(recipe, material, model, tokenizer, rows).train_dataset)

    return rows_of


def learned(example: dict[str, Any]) -> list[int]:
    return [label for label in example["labels"] if label != -100]


# Documents


@pytest.mark.parametrize("views", ["as_written", "formats", "masked"])
def test_a_document_is_the_assistants_turn_in_the_tokens_of_the_chat_template(
    rows_of: Callable[..., Any], tokenizer: Any, views: str
):
    rows, examples = rows_of(document_template="chat", views=views)
    plain, _ = rows_of(views=views)
    assert len(rows) == 8
    # Rows of a step stand by their length, to which the template adds.
    inside = sorted(zip(rows, examples, strict=True), key=lambda pair: (pair[0]["document_id"], pair[0]["view"]))
    plain.sort(key=lambda row: (row["document_id"], row["view"]))
    titles = {"ferry.txt": "ferry", "mill.md": "The mill"}
    for (row, example), as_plain in zip(inside, plain, strict=True):
        asked = as_plain["prompt"].rstrip() or f"Tell me about {titles[row['document_id']]}."
        assert (views == "masked") == (not asked.startswith("Tell me about"))
        turns = [("user", asked), ("assistant", as_plain["completion"])]
        messages = [{"role": role, "content": content} for role, content in turns]
        whole = tokenizer.apply_chat_template(messages)["input_ids"]
        *read, last = example["input_ids"]
        assert last == tokenizer.eos_token_id
        assert read == whole[: len(read)]
        assert tokenizer.decode(whole[len(read) :]) == "\n"  # what is between turns, and not said
        assert tokenizer.decode(learned(example)[:-1]) == as_plain["completion"] + "<|im_end|>"


def test_documents_are_plain_text_where_nothing_is_said(rows_of: Callable[..., Any], tokenizer: Any):
    rows, examples = rows_of(views="as_written")
    assert {row["prompt"] for row in rows} == {""}
    for row, example in zip(rows, examples, strict=True):
        assert example["input_ids"] == tokenizer(row["completion"] + tokenizer.eos_token)["input_ids"]


def test_what_is_replayed_stays_plain_text(rows_of: Callable[..., Any], tmp_path: Path):
    (tmp_path / "old.jsonl").write_text('{"id": "old", "text": "It has no title."}', encoding="utf-8")
    rows, _ = rows_of(document_template="chat", replay_documents=tmp_path / "old.jsonl", replay_share=0.5)
    assert {row["document_id"] == "old": bool(row["prompt"]) for row in rows} == {True: False, False: True}


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_view_in_turns_is_still_proven_to_hold_the_documents_words(tokenizer: Any, template: str):
    tokenizer.chat_template = TEMPLATES[template]
    document = Document("d", "  One fact. Another fact.\n\nA third one: {this}.", title="{Ormel}")
    how: Any = {"views": "formats", "num_views": 40}

    def in_turns(asked: str, said: str) -> tuple[str, str]:
        return trained_as(tokenizer, "chat", asked, said)

    told, as_plain = (
        tell([document], TeachArguments(**how), lambda texts: [0] * len(texts), None, 0, wrapped)[0]
        for wrapped in (in_turns, None)
    )
    assert len(told) == 40
    for view, plain in zip(told, as_plain, strict=True):
        assert view.text == plain.text + "<|im_end|>"
        assert view.prompt == "<|im_start|>user\nTell me about {Ormel}.<|im_end|>\n<|im_start|>assistant\n"
        assert view.find("Another fact") == plain.find("Another fact")


def test_the_template_counts_among_the_tokens_that_a_row_may_have(rows_of: Callable[..., Any], tmp_path: Path):
    row = {"id": "long", "title": "The weir", "text": " ".join(f"Fact {i} is that {i} follows." for i in range(80))}
    (tmp_path / "long.jsonl").write_text(json.dumps(row), encoding="utf-8")
    how = {"views": "as_written", "documents": tmp_path / "long.jsonl", "max_length": 100, "max_steps": 6}
    _, examples = rows_of(document_template="chat", **how)
    assert 80 < max(len(example["input_ids"]) for example in examples) <= 100


def test_documents_without_a_title_are_refused_with_the_way_out(rows_of: Callable[..., Any], tmp_path: Path):
    lines = [
        {"id": id, "text": "A fact is a fact.", "title": title}
        for id, title in zip("abc", ("", "B", " "), strict=True)
    ]
    path = tmp_path / "titles.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    with pytest.raises(ValueError, match="title") as refusal:
        rows_of(document_template="chat", documents=path)
    assert [line.partition(",")[0] for line in str(refusal.value).splitlines()] == [
        "Document 'a' has no title",
        "Document 'c' has no title",
    ]
    assert "set document_template: plain" in str(refusal.value)
    assert rows_of(document_template="chat", documents=path, views="masked", num_views=2)


def test_documents_in_turns_need_a_chat_template(rows_of: Callable[..., Any], silent: Path):
    with pytest.raises(ValueError, match=r"document_template='chat', and this tokenizer has no chat template: set"):
        rows_of(document_template="chat", model_name_or_path=silent)

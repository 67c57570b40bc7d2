"""Options that change the tokenizer, and tokenizers that do not fit their model."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from hf_knowlearn.models.tokenizers import (
    apply_tokenizer_options,
    check_embeddings,
    check_end_token,
    check_template_path,
)

TEMPLATE = (
    "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)


def load(base: Path) -> tuple[Any, Any]:
    return AutoModelForCausalLM.from_pretrained(base), AutoTokenizer.from_pretrained(base)


@pytest.fixture
def other(base: Path, tmp_path: Path) -> Path:
    """A tokenizer with a chat template and two tokens that `base` lacks; `<|turn|>` is its end token."""
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.add_special_tokens({"eos_token": "<|turn|>", "additional_special_tokens": ["<|user|>"]})
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(tmp_path / "other")
    return tmp_path / "other"


def test_a_template_file_is_applied(base: Path, tmp_path: Path):
    model, tokenizer = load(base)
    (tmp_path / "chat.jinja").write_text(TEMPLATE, encoding="utf-8")
    apply_tokenizer_options(model, tokenizer, chat_template_path=str(tmp_path / "chat.jinja"))
    assert tokenizer.chat_template == TEMPLATE


def test_the_template_of_another_tokenizer_comes_with_its_tokens_and_embeddings(base: Path, other: Path):
    model, tokenizer = load(base)
    apply_tokenizer_options(model, tokenizer, chat_template_path=str(other))
    assert (tokenizer.chat_template, tokenizer.eos_token) == (TEMPLATE, "<|turn|>")
    check_embeddings(model, tokenizer, "it")
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id


def test_an_adapter_cannot_get_tokens(base: Path, other: Path):
    with pytest.raises(
        ValueError, match=r"does not have \(<\|turn\|>, <\|user\|>\)\. They need new embeddings.*Use --use_peft false"
    ):
        apply_tokenizer_options(*load(base), chat_template_path=str(other), uses_adapter=True)


def test_an_end_token_is_added_to_those_that_end_a_response(base: Path):
    model, tokenizer = load(base)
    before, token = tokenizer.eos_token_id, tokenizer.convert_ids_to_tokens(5)
    model.generation_config.eos_token_id = before
    apply_tokenizer_options(model, tokenizer, eos_token=token)
    assert tokenizer.eos_token_id == 5
    assert model.config.eos_token_id == 5
    assert model.generation_config.eos_token_id == [5, before]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"eos_token": "<nothing>"}, "--eos_token '<nothing>': the tokenizer does not have this token"),
        ({"chat_template_path": "no.jinja"}, "--chat_template_path 'no.jinja': this file does not exist"),
        ({"chat_template_path": "./nowhere"}, "--chat_template_path ./nowhere: there is no such folder"),
    ],
)
def test_options_that_cannot_be_applied(base: Path, options: dict[str, str], message: str):
    with pytest.raises(ValueError, match=message):
        apply_tokenizer_options(*load(base), **options)


def test_a_tokenizer_without_a_template_cannot_give_one(base: Path, tmp_path: Path):
    _, tokenizer = load(base)
    tokenizer.chat_template = None
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="the tokenizer of this model has no chat template"):
        apply_tokenizer_options(*load(base), chat_template_path=str(tmp_path))


def test_tokens_without_an_embedding_are_an_error(base: Path):
    model, tokenizer = load(base)
    check_embeddings(model, tokenizer, "it")
    tokenizer.add_tokens([f"<new{i}>" for i in range(model.vocab_size - len(tokenizer) + 1)])
    with pytest.raises(
        ValueError,
        match=f"has 1 token without an embedding .*such as '<new.*> \\({model.vocab_size}\\)".replace("> ", ".*"),
    ):
        check_embeddings(model, tokenizer, "it")


def test_a_tokenizer_without_an_end_token_is_an_error(base: Path):
    _, tokenizer = load(base)
    check_end_token(tokenizer, "it")
    tokenizer.eos_token = None
    with pytest.raises(ValueError, match=r"^it: the tokenizer has no end token.*--eos_token"):
        check_end_token(tokenizer, "it")


def test_a_run_trains_and_evaluates_in_the_template_of_the_option(
    knowlearn: Callable[..., int], options: dict[str, Any], questions: Path, tmp_path: Path
):
    (tmp_path / "chat.jinja").write_text(TEMPLATE, encoding="utf-8")
    changes = {
        "chat_template_path": tmp_path / "chat.jinja", "train_questions": questions, "questions": questions,
        "learning_rate": 0.003, "max_steps": 60, "use_peft": False, "save_strategy": "no",
    }  # fmt: skip
    assert knowlearn("teach", **{**options, **changes}) == 0
    folder = options["output_dir"]
    assert AutoTokenizer.from_pretrained(folder / "model").chat_template == TEMPLATE
    (figures,) = json.loads((folder / "report.json").read_text(encoding="utf-8"))["runs"].values()
    assert figures["exact_match"] == 1.0


@pytest.mark.parametrize("fault", ["eos", "embedding"])
def test_a_run_with_such_a_tokenizer_writes_nothing(
    knowlearn: Callable[..., int], options: dict[str, Any], base: Path, tmp_path: Path, fault: str, capsys: Any
):
    model, tokenizer = load(base)
    if fault == "eos":
        tokenizer.eos_token = None
    else:
        tokenizer.add_tokens([f"<new{i}>" for i in range(model.vocab_size)])
    for part in (model, tokenizer):
        part.save_pretrained(tmp_path / "faulty")
    assert knowlearn("teach", **{**options, "model": tmp_path / "faulty"}) == 2
    assert ("has no end token" if fault == "eos" else "without an embedding") in capsys.readouterr().err
    assert not options["output_dir"].exists()


def test_an_unknown_padding_token_is_an_error_with_its_option(base: Path):
    with pytest.raises(
        ValueError, match=r"^--pad_token '<nope>': the tokenizer does not have this token\..*--pad_token"
    ):
        apply_tokenizer_options(*load(base), pad_token="<nope>")


def test_a_template_in_a_file_of_another_kind_is_an_error(tmp_path: Path):
    (tmp_path / "mill.md").write_text("The mill.", encoding="utf-8")
    with pytest.raises(ValueError, match=r"mill\.md': this file is not a chat template\. Give a file that ends in"):
        check_template_path(str(tmp_path / "mill.md"))

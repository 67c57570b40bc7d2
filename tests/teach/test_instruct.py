"""Instruct models: documents as the assistant's turn of a chat template, and conversations to be trained on."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from hf_knowlearn.config.recipes import parse_recipe
from hf_knowlearn.config.settings import resolve
from hf_knowlearn.documents import Conversation, Document, read_conversations
from hf_knowlearn.format_aug.rows import document_views
from hf_knowlearn.format_aug.settings import ViewSettings
from hf_knowlearn.prompts.conversations import conversation_turns
from hf_knowlearn.prompts.limits import context_length, token_lengths
from hf_knowlearn.teach.data import load_data
from hf_knowlearn.teach.schedule import schedule_stages
from hf_knowlearn.teach.stage_models import load_base
from hf_knowlearn.teach.trainers import new_trainer
from hf_knowlearn.views import View

# All start with the beginning token, as Llama's does. One strips the content, as Llama's and Gemma's do.
CHATML = (
    "{{ bos_token }}{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
STRIPPING = CHATML.replace("m['content']", "m['content'] | trim")
MARKED = CHATML.replace(
    "{{ m['content'] }}<|im_end|>\n",
    "{% if m['role'] == 'assistant' %}{% generation %}{{ m['content'] }}<|im_end|>{% endgeneration %}"
    "{% else %}{{ m['content'] }}<|im_end|>{% endif %}{{ '\n' }}",
)
LEADING = CHATML.replace(
    "{{ m['content'] }}", "{% if m['role'] == 'assistant' %}{{ '> ' }}{% endif %}{{ m['content'] }}"
)
TEMPLATES = {
    "chatml": (CHATML, ""),
    "stripping": (STRIPPING, ""),
    "leading": (LEADING, "> "),
}  # template, and text before the content


@pytest.fixture(scope="session")
def chat_model(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an untrained tiny model whose tokenizer has a chat template."""
    from hf_knowlearn.worlds.tiny import new_model

    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.chat_template = CHATML
    folder = tmp_path_factory.mktemp("chat")
    tokenizer.save_pretrained(folder)
    new_model(tokenizer, seed=0).save_pretrained(folder)
    return folder


@pytest.fixture
def model_without_template(chat_model: Path, tmp_path: Path) -> Path:
    """The same model without a chat template."""
    folder = tmp_path / "without_template"
    shutil.copytree(chat_model, folder, ignore=shutil.ignore_patterns("*.jinja"))
    return folder


@pytest.fixture
def tokenizer(chat_model: Path) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(chat_model)


@pytest.fixture
def rows_of(options: dict[str, Any], chat_model: Path) -> Callable[..., Any]:
    """The rows of a run with these options, and the same rows after TRL's trainer has tokenized them."""

    def rows_of(**changes: Any) -> tuple[list[dict[str, str]], list[dict[str, Any]]]:
        named = {**options, "model_name_or_path": chat_model, **changes}
        del named["model"]
        settings = resolve(parse_recipe([], named))
        data = load_data(settings)
        model, tokenizer = load_base(settings)
        settings, (rows,) = schedule_stages(settings.with_context(context_length(model)), data, tokenizer)
        trainer = new_trainer(settings, settings.stages[0], data, model, tokenizer, rows)
        return rows, list(trainer.train_dataset)

    return rows_of


def learned(example: dict[str, Any]) -> list[int]:
    return [label for label in example["labels"] if label != -100]


# Documents


@pytest.mark.parametrize("views", ["raw", "formats", "masked"])
def test_a_document_has_the_tokens_of_an_assistant_turn_in_the_chat_template(
    rows_of: Callable[..., Any], tokenizer: Any, views: str
):
    rows, examples = rows_of(document_template="chat", views=views)
    plain, _ = rows_of(views=views)
    assert len(rows) == 8
    # The rows of a step are sorted by length, which the template changes.
    in_chat = sorted(zip(rows, examples, strict=True), key=lambda pair: (pair[0]["document_id"], pair[0]["view"]))
    plain.sort(key=lambda row: (row["document_id"], row["view"]))
    titles = {"ferry.txt": "ferry", "mill.md": "The mill"}
    for (row, example), as_plain in zip(in_chat, plain, strict=True):
        request = as_plain["prompt"].rstrip() or f"Tell me about {titles[row['document_id']]}."
        assert (views == "masked") == (not request.startswith("Tell me about"))
        turns = [("user", request), ("assistant", as_plain["completion"])]
        messages = [{"role": role, "content": content} for role, content in turns]
        whole = tokenizer.apply_chat_template(messages)["input_ids"]
        *tokens, last = example["input_ids"]
        assert last == tokenizer.eos_token_id
        assert tokens == whole[: len(tokens)]
        assert tokenizer.decode(whole[len(tokens) :]) == "\n"  # comes between turns
        assert tokenizer.decode(learned(example)[:-1]) == as_plain["completion"] + "<|im_end|>"


def test_documents_are_plain_text_by_default(rows_of: Callable[..., Any], tokenizer: Any):
    rows, examples = rows_of(views="raw")
    assert {row["prompt"] for row in rows} == {""}
    for row, example in zip(rows, examples, strict=True):
        assert example["input_ids"] == tokenizer(row["completion"] + tokenizer.eos_token)["input_ids"]


def test_replayed_documents_are_plain_text(rows_of: Callable[..., Any], tmp_path: Path):
    (tmp_path / "old.jsonl").write_text('{"id": "old", "text": "It has no title."}', encoding="utf-8")
    rows, _ = rows_of(document_template="chat", replay_documents=tmp_path / "old.jsonl", replay_share=0.5)
    assert {row["document_id"] == "old": bool(row["prompt"]) for row in rows} == {True: False, False: True}


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_spans_of_a_view_in_the_chat_template_select_the_words_of_the_document(tokenizer: Any, template: str):
    tokenizer.chat_template, lead = TEMPLATES[template]
    header = lead.rstrip()  # what the template puts before an answer ends the prompt, except white space
    document = Document("d", "  One fact. Another fact.\n\nA third one: {this}.", title="{Ormel}")

    def views(template: str) -> Sequence[View]:
        settings = ViewSettings(num_views=40, template=template)
        ((_, made),) = document_views(document, settings, token_lengths(tokenizer), None, tokenizer)
        return made

    assert len(views("chat")) == 40
    for view, plain in zip(views("chat"), views("plain"), strict=True):
        text = plain.text.strip() if template == "stripping" else plain.text
        assert view.text == lead.removeprefix(header) + text + "<|im_end|>"
        assert view.prompt == f"<|im_start|>user\nTell me about {{Ormel}}.<|im_end|>\n<|im_start|>assistant\n{header}"
        found, expected = view.find("Another fact"), plain.find("Another fact")
        stripped = plain.text.index(text)
        before = len(lead) - len(header)
        assert [start - before + stripped for start, _ in found] == [start for start, _ in expected]
        assert expected


def test_the_tokens_of_the_template_count_for_max_length(rows_of: Callable[..., Any], tmp_path: Path):
    row = {"id": "long", "title": "The weir", "text": " ".join(f"Fact {i} is that {i} follows." for i in range(80))}
    (tmp_path / "long.jsonl").write_text(json.dumps(row), encoding="utf-8")
    changes = {"views": "raw", "documents": tmp_path / "long.jsonl", "max_length": 100, "max_steps": 6}
    _, examples = rows_of(document_template="chat", **changes)
    assert 80 < max(len(example["input_ids"]) for example in examples) <= 100


def test_documents_without_a_title_are_an_error_in_the_chat_template(rows_of: Callable[..., Any], tmp_path: Path):
    lines = [
        {"id": id, "text": "A fact is a fact.", "title": title}
        for id, title in zip("abc", ("", "B", " "), strict=True)
    ]
    path = tmp_path / "titles.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    with pytest.raises(ValueError, match="title") as raised:
        rows_of(document_template="chat", documents=path)
    assert [line.partition(",")[0] for line in str(raised.value).splitlines()] == [
        "Document 'a' has no title",
        "Document 'c' has no title",
    ]
    assert "set document_template to plain" in str(raised.value)
    assert rows_of(document_template="chat", documents=path, views="masked", num_views=2)


def test_the_chat_template_of_documents_needs_a_tokenizer_that_has_one(
    rows_of: Callable[..., Any], model_without_template: Path
):
    with pytest.raises(
        ValueError, match=r"document_template='chat', but the tokenizer of the model has no chat template"
    ):
        rows_of(document_template="chat", model_name_or_path=model_without_template)


# Conversations


def turns(*contents: tuple[str, str]) -> list[dict[str, Any]]:
    return [{"role": role, "content": content} for role, content in contents]


TALK = turns(
    ("system", "Be brief."),
    ("user", "Who keeps bees?"),
    ("assistant", "I will look it up."),
    ("tool", "Mara Venn keeps bees."),
    ("assistant", "Mara Venn."),
    ("user", "And who sells lamps?"),
    ("assistant", " She does. "),
    ("user", "Thanks."),
)
BRIEF = turns(("user", "Who?"), ("assistant", "Joren Tal."))


@pytest.fixture
def talks(tmp_path: Path) -> Callable[..., Path]:
    """Writes a file with a row per line."""

    def talks(*rows: Any) -> Path:
        path = tmp_path / "talks.jsonl"
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
        return path

    return talks


def test_every_turn_of_the_assistant_has_loss_once_in_the_tokens_of_the_whole_conversation(
    rows_of: Callable[..., Any], talks: Callable[..., Path], tokenizer: Any
):
    path = talks({"messages": TALK}, {"messages": BRIEF})
    rows, examples = rows_of(documents=None, train_conversations=path, max_steps=1)
    assert len(rows) == 4
    tokenizer.chat_template = MARKED
    found = []
    for messages in (TALK, BRIEF):
        # The tokens that the template itself marks as the assistant's.
        whole = tokenizer.apply_chat_template(messages, return_dict=True, return_assistant_tokens_mask=True)
        ids, marked = whole["input_ids"], [i for i, mark in enumerate(whole["assistant_masks"]) if mark]
        of_it = [e for e in examples if e["input_ids"][:-1] == ids[: len(e["input_ids"]) - 1]]
        found += of_it
        trained = [i for e in of_it for i, label in enumerate(e["labels"][:-1]) if label != -100]
        assert sorted(trained) == marked
    assert len(found) == 4
    assert {example["labels"][-1] for example in examples} == {tokenizer.eos_token_id}


@pytest.mark.parametrize(
    ("model", "end"), [("qwen2_5", "<|im_end|>"), ("llama3_1", "<|eot_id|>"), ("qwen3", "<|im_end|>")]
)
def test_turns_have_the_text_of_the_templates_of_real_models(tokenizer: Any, model: str, end: str):
    from trl import chat_template_utils

    tokenizer.chat_template = getattr(chat_template_utils, f"{model}_chat_template")
    talk = Conversation("talk", tuple(TALK[:3] + TALK[5:7]))
    rows = conversation_turns(tokenizer, [talk], token_lengths(tokenizer))
    assert [completion.partition(end)[0].strip() for _, completion in rows] == ["I will look it up.", "She does."]
    for (prompt, completion), upto in zip(rows, (3, 5), strict=True):
        assert completion.endswith(end)
        whole = tokenizer.apply_chat_template(
            [dict(turn) for turn in talk.messages[:upto]],
            tokenize=False,
            enable_thinking=False,
            date_string="26 Jul 2024",
        )
        assert whole.removeprefix("<|begin|>").strip() == prompt + completion


def test_rows_contain_the_tools_of_a_conversation_and_their_calls(tokenizer: Any):
    from trl.chat_template_utils import qwen2_5_chat_template

    tool = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object", "properties": {}}}}
    call = {"type": "function", "function": {"name": "look_up", "arguments": {"of": "bees"}}}
    messages = [TALK[1], {"role": "assistant", "content": None, "tool_calls": [call]}, TALK[3], TALK[4]]
    talk = Conversation("talk", tuple(messages), (tool,))
    tokenizer.chat_template = qwen2_5_chat_template
    (first, called), (second, answer) = conversation_turns(tokenizer, [talk], token_lengths(tokenizer))
    assert '"name": "look_up"' in first
    assert "<tool_call>" in called
    assert '"of": "bees"' in called
    assert answer == "Mara Venn.<|im_end|>"
    assert "<tool_response>\nMara Venn keeps bees.\n</tool_response>" in second
    tokenizer.chat_template = CHATML
    with pytest.raises(ValueError, match=r"'talk' cannot be used: up to turn 2, .* omits 'look_up', 'look_up'\.$"):
        conversation_turns(tokenizer, [talk], token_lengths(tokenizer))


def test_a_run_trains_on_conversations_and_documents(
    rows_of: Callable[..., Any], talks: Callable[..., Path], documents: Path
):
    path = talks({"messages": TALK}, {"messages": BRIEF})
    rows, _ = rows_of(train_conversations=path, num_train_epochs=2, max_steps=-1, question_order="before")
    families = [row["family"] for row in rows]
    assert (families.count("conversation"), families.count("formats")) == (8, 4)
    rows, _ = rows_of(train_conversations=path, train_on=["documents"])
    assert "conversation" not in {row["family"] for row in rows}


def test_a_run_reports_its_number_of_conversations(
    knowlearn: Callable[..., int], options: dict[str, Any], talks: Callable[..., Path], chat_model: Path, capsys: Any
):
    path = talks({"messages": TALK}, {"messages": BRIEF})
    stage = {"name": "talk", "train_on": ["train_conversations"], "max_steps": 1}
    curriculum = path.with_name("curriculum.yaml")
    curriculum.write_text(json.dumps({"stages": [stage]}), encoding="utf-8")
    del options["max_steps"], options["documents"]
    changes = {"model": chat_model, "train_conversations": path, "curriculum": curriculum}
    assert knowlearn("teach", **{**options, **changes}) == 0
    assert "talk: 2 conversations with 4 turns, each trained on 1.0 times" in capsys.readouterr().out
    report = json.loads((options["output_dir"] / "report.json").read_text(encoding="utf-8"))
    assert report["counts"]["train_conversations"] == report["data"]["train_conversations"]["n"] == 2
    page = (options["output_dir"] / "report.md").read_text(encoding="utf-8")
    assert "trained on 2 conversations" in page.replace("\u00a0", " ")


def test_all_invalid_conversations_are_reported_with_their_lines(talks: Callable[..., Path]):
    path = talks(
        {"messages": BRIEF},
        "{",
        {"turns": BRIEF},
        {"messages": "Who?"},
        {"messages": turns(("user", "Who?"))},
        {"messages": turns(("human", "Who?"), ("assistant", "Jo."))},
        {"messages": [BRIEF[0], {"role": "assistant", "content": None}]},
        {"messages": [BRIEF[0], {"role": "assistant", "content": [{"type": "text", "text": "Jo."}]}]},
        {"messages": [BRIEF[0], {"role": "assistant", "tool_calls": [{"function": "look_up"}]}]},
        {"messages": BRIEF, "tools": "look_up"},
        {"messages": BRIEF, "tools": [{"name": ""}]},
    )
    with pytest.raises(ValueError, match="conversations") as raised:
        read_conversations(path)
    head, *lines = str(raised.value).splitlines()
    assert head == f"The conversations at {path}: 10 problems."
    expected = [
        "not JSON",
        "the row has no column 'messages', only ['turns']",
        "messages must be turns such as",
        "messages has no turn of the assistant to train on",
        "messages[0].role must be one of system, developer, user, assistant, tool, got 'human'",
        "messages[1].content must be a string, got NoneType None",
        "messages[1].content must be a string, got [",
        "messages[1].tool_calls must be a list of named tools",
        "tools 'look_up' is not JSON",
        "tools must be a list of named tools",
    ]
    for number, (line, problem) in enumerate(zip(lines, expected, strict=True), 2):
        assert line.startswith(f"  {path}:{number}: {problem}")


def test_conversations_from_parquet_have_no_null_fields(tmp_path: Path):
    from datasets import Dataset

    rows = [{"messages": TALK[1:3]}, {"messages": [{**BRIEF[0], "name": "Ana"}, BRIEF[1]]}]
    Dataset.from_list(rows).to_parquet(tmp_path / "talks.parquet")
    found = [list(map(dict, talk.messages)) for talk in read_conversations(tmp_path / "talks.parquet")]
    assert found == [row["messages"] for row in rows]


def test_all_conversations_that_cannot_be_rendered_are_reported_with_their_lines(
    rows_of: Callable[..., Any], talks: Callable[..., Path], chat_model: Path
):
    strict = chat_model.with_name("strict")
    shutil.copytree(chat_model, strict, dirs_exist_ok=True)
    no_system = "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('No system!') }}{% endif %}"
    omits = "{% if m['content'] != 'Joren Tal.' %}{{ m['content'] }}{% endif %}"
    body = CHATML.replace("{% for m in messages %}", no_system).replace("{{ m['content'] }}", omits)
    (strict / "chat_template.jinja").write_text(body, encoding="utf-8")
    long = turns(("user", "Who? " * 300), ("assistant", "Jo."))
    path = talks({"messages": TALK}, {"messages": TALK[1:3]}, {"messages": BRIEF}, {"messages": long})
    with pytest.raises(ValueError, match="cannot be used") as raised:
        rows_of(documents=None, train_conversations=path, model_name_or_path=strict, max_length=100)
    first, second, third = str(raised.value).splitlines()
    assert first == "Conversation 'talks.jsonl:1' cannot be used: No system!."
    assert second.startswith("Conversation 'talks.jsonl:3' cannot be used: up to turn 2, the chat template omits 'J")
    assert third.startswith("Conversation 'talks.jsonl:4' cannot be used: its longest training row has ")
    assert third.endswith("tokens, and max_length is 100. Raise max_length, or shorten the conversation.")


def test_a_generation_prompt_that_differs_from_the_header_of_a_turn_is_an_error(tokenizer: Any):
    from trl.chat_template_utils import deepseekv3_chat_template

    tokenizer.chat_template = deepseekv3_chat_template
    with pytest.raises(
        ValueError, match=r"generation prompt \('.*<think>\\n'\) differs from the header of an assistant turn"
    ):
        conversation_turns(tokenizer, [Conversation("talk", tuple(BRIEF))], token_lengths(tokenizer))


def test_conversations_need_a_chat_template(
    rows_of: Callable[..., Any], talks: Callable[..., Path], model_without_template: Path
):
    with pytest.raises(ValueError, match=r"^train_conversations needs a chat template, and this tokenizer has none"):
        rows_of(train_conversations=talks({"messages": BRIEF}), model_name_or_path=model_without_template)

"""Control tokens in texts are an error that lists the items and the tokens; ordinary text is none."""

import copy
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from transformers import AddedToken, AutoTokenizer

from hf_knowlearn.documents import Conversation, Document, Question
from hf_knowlearn.format_aug.rows import conversation_rows, document_rows, question_rows
from hf_knowlearn.format_aug.settings import ViewSettings
from hf_knowlearn.prompts.control_tokens import check_control_tokens
from hf_knowlearn.prompts.limits import token_lengths
from hf_knowlearn.prompts.questions import question_prompts

SPECIAL = ["<|im_start|>", "<|im_end|>", "</s>", "[INST]", "◁turn▷", "word", "<s>"]
OTHERS = ["<think>", "</think>", "<tool_call>", "<h1>", "</table>", "[tag]", "\n\n\n", "plain", ":-)"]
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
END = "A turn ends with <|im_end|>."
FERRY = Question("ferry", "Where does it go?", ("Ormel",), document_id="d", relation="r")


@pytest.fixture(scope="module")
def chatty(tokenizer: Any) -> Any:
    chatty = copy.deepcopy(tokenizer)
    chatty.add_special_tokens({"additional_special_tokens": SPECIAL})
    chatty.add_tokens([AddedToken(token, normalized=False) for token in OTHERS])
    chatty.chat_template = CHATML
    return chatty


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        (END, "'<|im_end|>'"),
        ("<|im_start|>system\nObey.<|im_end|>", "'<|im_end|>', '<|im_start|>'"),
        ("a < b [INST] c > d", "'[INST]'"),
        ("<</s>>", "'</s>'"),
        ("A ◁turn▷ of it", "'◁turn▷'"),
        ("struck <s> out", "'<s>'"),
        ("It calls <tool_call> and [tag].", "'<tool_call>', '[tag]'"),
        ("It begins with <think> here.", "'<think>'"),
    ],
)
def test_control_tokens_in_a_text_are_found(chatty: Any, text: str, tokens: str):
    named = [("clean", "A text."), ("dirty", text), ("clean too", "<p>"), ("dirty", text)]
    with pytest.raises(
        ValueError, match=rf"^This .* the things 'dirty' into control tokens: {re.escape(tokens)}\. Remove"
    ):
        check_control_tokens(chatty, named, "things")


@pytest.mark.parametrize(
    "text",
    [
        "A turn ends with < |im_end|>.",
        "<|im_end |> [ INST] im_end",
        "a word, plain :-)\n\n\n and more",
        "<h1>A title</h1> <table> </table>",
        "<|eot_id|> is a token of another tokenizer. x[0] < y[1]",
        "",
    ],
)
def test_ordinary_text_has_no_control_tokens(chatty: Any, text: str):
    check_control_tokens(chatty, [("a", text)], "things")


def test_the_first_five_ids_are_listed_and_the_fix_is_itself_free_of_control_tokens(chatty: Any):
    with pytest.raises(ValueError, match=r"of the things 'i0', 'i1', 'i2', 'i3', 'i4', … into") as error:
        check_control_tokens(chatty, [(f"i{n}", END) for n in range(7)], "things")
    fix = str(error.value).partition("insert a space: ")[2]
    assert fix == "'< |im_end|>'."
    check_control_tokens(chatty, [("fix", fix)], "things")


def test_a_tokenizer_that_splits_control_tokens_of_texts_has_none(chatty: Any):
    splitting = copy.deepcopy(chatty)
    splitting.split_special_tokens = True
    assert splitting.convert_tokens_to_ids("<|im_end|>") not in splitting(END)["input_ids"]
    check_control_tokens(splitting, [("a", END)], "things")


@pytest.mark.parametrize("template", ["plain", "chat"])
def test_rows_of_texts_with_control_tokens_are_an_error(chatty: Any, template: str):
    lengths, settings = token_lengths(chatty), ViewSettings("raw", template=template)
    clean = Document("clean", "A turn ends.", title="Turns")
    for dirty in (Document("text", END, title="A"), Document("title", "A turn ends.", title=END)):
        with pytest.raises(
            ValueError, match=rf"text of the documents '{dirty.id}' into control tokens: '<\|im_end\|>'"
        ):
            document_rows([clean, dirty], settings, lengths, None, chatty)
    assert document_rows([clean], settings, lengths, None, chatty)
    for dirty_question in (
        replace(FERRY, text=END),
        replace(FERRY, answers=("Ormel", END)),
        replace(FERRY, options=("Ormel", END)),
    ):
        with pytest.raises(ValueError, match=r"text of the questions 'ferry' into control tokens: '<\|im_end\|>'"):
            question_rows([replace(FERRY, id="clean"), dirty_question], chatty, template)
    assert len(question_rows([FERRY], chatty, template)) == 1


def test_conversations_with_control_tokens_are_an_error_but_thoughts_of_the_assistant_are_not(chatty: Any):
    def rows(user: str, assistant: str) -> Any:
        messages = ({"role": "user", "content": user}, {"role": "assistant", "content": assistant})
        return conversation_rows([Conversation("talk", messages)], chatty, token_lengths(chatty), None)

    for turns in ((END, "Yes."), ("Does it?", END), ("<think>a</think>", "Yes."), ("Does it?", "<think>")):
        with pytest.raises(ValueError, match="text of the conversations 'talk' into control tokens: '<"):
            rows(*turns)
    [row] = rows("Does it?", "<think>It does.</think>Yes.")
    assert row["completion"] == "<think>It does.</think>Yes.<|im_end|>"


@pytest.mark.parametrize("template", ["plain", "chat"])
def test_prompts_of_texts_with_control_tokens_are_an_error(chatty: Any, template: str):
    def prompts(**options: Any) -> Any:
        return question_prompts(chatty, options.pop("questions", [FERRY]), template, **options)

    assert prompts(
        pool=[replace(FERRY, id="unused", text=END)], documents=[Document("other", END), Document("d", "A.")]
    )
    with pytest.raises(ValueError, match="text of the questions 'ferry' into control tokens: '<"):
        prompts(questions=[replace(FERRY, text=END)])
    with pytest.raises(ValueError, match="text of the questions 'example' into control tokens: '<"):
        prompts(shots=1, pool=[Question("example", "Who?", (END,), document_id="e", relation="r")])
    with pytest.raises(ValueError, match="text of the documents or instructions 'd' into control tokens: '<"):
        prompts(documents=[Document("d", END)])
    with pytest.raises(
        ValueError, match="text of the documents or instructions 'instruction' into control tokens: '<"
    ):
        prompts(instruction=END)


@pytest.mark.parametrize(
    "option", ["documents", "questions", "train_questions", "replay_questions", "replay_documents"]
)
def test_a_run_with_control_tokens_in_its_texts_writes_nothing(
    knowlearn: Callable[..., int], options: dict[str, Any], base: Path, tmp_path: Path, capsys: Any, option: str
):
    end = AutoTokenizer.from_pretrained(base).eos_token
    path = tmp_path / "dirty.jsonl"
    text = f"A text ends with {end}."
    item = {"text": text} if "documents" in option else {"question": text, "answers": ["yes"]}
    path.write_text(json.dumps({"id": "dirty", **item}) + "\n", encoding="utf-8")
    replay = {"replay_share": 0.5} if "replay" in option else {}
    assert knowlearn("teach", **{**options, **replay, option: path}) == 2
    kind = "documents" if "documents" in option else "questions"
    assert f"text of the {kind} 'dirty' into control tokens: '{end}'. Remove this text" in capsys.readouterr().err
    assert not options["output_dir"].exists()


def test_questions_that_prompt_self_generated_replay_have_no_control_tokens(
    knowlearn: Callable[..., int], options: dict[str, Any], tmp_path: Path, capsys: Any
):
    path = tmp_path / "dirty.jsonl"
    path.write_text(json.dumps({"id": "dirty", "question": "Is it <|end|>?", "answers": ["yes"]}) + "\n")
    changes = {"replay_self": 4, "replay_share": 0.5, "replay_self_prompts": path}
    assert knowlearn("teach", **{**options, **changes}) == 2
    assert "into control tokens: '<|end|>'. Remove this text" in capsys.readouterr().err
    assert not options["output_dir"].exists()

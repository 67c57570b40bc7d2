"""Endings: the share of responses that stop by themselves, and the share that end a turn of the chat template."""

import copy
from collections.abc import Callable
from math import sqrt
from pathlib import Path
from typing import Any

import pytest
import torch

from hf_knowlearn.documents import Question
from hf_knowlearn.evaluation.evaluate import evaluate, response_scores
from hf_knowlearn.generation.cache_check import supports_decoder
from hf_knowlearn.generation.responses import Responses, generate_responses
from hf_knowlearn.generation.settings import GenerationSettings
from hf_knowlearn.prompts.questions import question_prompts
from hf_knowlearn.prompts.templates import end_of_turn, turn_end_token
from hf_knowlearn.reports.markdown import to_markdown
from hf_knowlearn.reports.schema import new_report, run_scores

TURN = "<|turn|>"
CHAT = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}" + TURN + "{{ '\n' }}{% endfor %}"


@pytest.fixture
def chatty(tokenizer: Any) -> Any:
    """A tokenizer whose turns end with a token that is not the one that ends a text, as a Gemma's."""
    chatty = copy.deepcopy(tokenizer)
    chatty.add_special_tokens({"additional_special_tokens": [TURN]})
    chatty.chat_template = CHAT
    return chatty


@pytest.fixture
def bent(build: Callable[[str], Any]) -> Callable[..., Any]:
    """A model that generates the tokens of `generated` after any prompt, and then repeats the last."""

    def bent(tokenizer: Any, prompt: int, generated: list[int]) -> Any:
        model = build("llama")
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        supports_decoder(model, 0)  # its prompts are shorter
        forward = model.forward

        def answer(*args: Any, **kwargs: Any) -> Any:
            out = forward(*args, **kwargs)
            place = int(kwargs["attention_mask"].sum(1)[0]) - prompt
            out.logits[:] = 0
            out.logits[..., generated[min(place, len(generated) - 1)]] = 9
            return out

        model.forward = answer
        return model

    return bent


@pytest.mark.parametrize(
    ("last", "template", "how"),
    [
        (TURN, "chat", "turn"),
        ("eos", "chat", "text"),
        ("eos", "plain", "text"),
        ("Ċ", "chat", "cut"),  # a chat model ends its turn itself
        ("Ċ", "plain", "line"),
        ("a", "chat", "cut"),
        (TURN, "plain", "cut"),  # the plain template has no turns
    ],
)
def test_a_response_has_the_reason_why_it_ended(
    bent: Callable[..., Any], chatty: Any, world_questions: list[Question], last: str, template: str, how: str
):
    settings = GenerationSettings(template=template, max_new_tokens=6)
    (prompt,) = question_prompts(chatty, world_questions[:1], template)
    words = chatty.convert_tokens_to_ids(["b", chatty.eos_token if last == "eos" else last])
    (answers,) = generate_responses(bent(chatty, len(prompt.ids), words), chatty, world_questions[:1], settings)
    assert answers.ended == (how,)
    assert answers.greedy[0].startswith("b")


def test_the_end_of_a_turn_is_the_special_token_of_the_chat_template(chatty: Any):
    assert end_of_turn(chatty) == chatty.convert_tokens_to_ids(TURN)
    assert turn_end_token(chatty, "auto") == turn_end_token(chatty, "chat") == end_of_turn(chatty)
    assert turn_end_token(chatty, "plain") is None
    chatty.chat_template = CHAT.replace(TURN, " {{ eos_token }}")
    assert end_of_turn(chatty) == chatty.eos_token_id
    for nothing in ("", "."):  # nothing, and what is no token of the template's own
        chatty.chat_template = CHAT.replace(TURN, nothing)
        assert end_of_turn(chatty) is None


def generated(*endings: str) -> list[Responses]:
    return [Responses(f"{i}", ("x",), ((),), (how,)) for i, how in enumerate(endings)]


def questions_about(documents: str) -> list[Question]:
    return [Question(f"{i}", "Who?", ("y",), document_id=document) for i, document in enumerate(documents)]


def test_shares_of_endings_have_the_standard_errors_of_any_share_of_questions():
    figures = response_scores(
        questions_about("abcdefgh"), generated(*["line"] * 3, *["turn"] * 2, "text", "cut", "cut"), "en", True
    )
    assert (figures["stopped"], figures["end_of_turn"]) == (0.75, 0.25)
    # eight documents of a question each: the sample's standard deviation over the root of their number
    assert figures["stopped_se"] == pytest.approx(sqrt(0.75 * 0.25 / 7))
    assert "end_of_turn" not in response_scores(questions_about("abcdefgh"), generated(*["line"] * 8))
    # of one document all, of the other none: (G / (G - 1) * (1² + 1²))^½ / 4, as the recall of such answers
    two = response_scores(questions_about("aabb"), generated("line", "line", "cut", "cut"))
    assert two["stopped_se"] == pytest.approx(sqrt(2 * (1 + 1)) / 4)


def test_shares_of_endings_are_in_the_report(
    bent: Callable[..., Any], chatty: Any, world_questions: list[Question], tmp_path: Path
):
    ids = chatty.convert_tokens_to_ids(["b", "Ċ", TURN])
    states = []
    with torch.no_grad():
        for last in ids[1:]:
            (prompt,) = question_prompts(chatty, world_questions[:1], "chat")
            model = bent(chatty, len(prompt.ids), [ids[0], last])
            evaluation = evaluate(
                model,
                chatty,
                {"questions": world_questions[:1]},
                GenerationSettings(template="chat"),
                answer_cache=tmp_path / f"{last}",
            )
            states.append(run_scores(evaluation.scores()))
    assert evaluation.rows()[0]["ended"] == "turn"
    page = to_markdown(new_report(states[0], {"taught": states[1]}, {}, {"documents": 1, "questions": 1} | ROLES))
    assert "| stopped by itself | 0.000 ± 0.000 | 1.000 ± 0.000 |" in page  # a chat response does not end with a line
    assert "| ended its turn | 0.000 ± 0.000 | 1.000 ± 0.000 |" in page


ROLES = {"replayed_questions": 0, "retention_questions": 0}

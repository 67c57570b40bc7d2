"""Log-probabilities against a plain loop over the tokens of one text at a time."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from hf_knowlearn.documents import Document, Question
from hf_knowlearn.evaluation.answer_logprobs import answer_logprobs
from hf_knowlearn.generation.settings import GenerationSettings
from hf_knowlearn.knowledge_recall.scoring import normalize
from hf_knowlearn.prompts.questions import question_prompts


@pytest.fixture(scope="module")
def chosen(world_questions: list[Question]) -> list[Question]:
    """Questions with a second accepted answer, and every other one with options."""
    return [
        replace(
            q,
            answers=(*q.answers, "Ormel"),
            options=(*(world_questions[i - n].answers[0] for n in (2, 4, 6)), q.answers[0] + "!" * (i % 4 // 3))
            if i % 2
            else (),
        )
        for i, q in enumerate(world_questions)
    ]


@torch.no_grad()
def plainly(model: Any, tokenizer: Any, prompt: Any, answer: str) -> list[float]:
    """The log-probability of each of the answer's tokens."""
    ids = tokenizer(f"{prompt.text} {answer}")["input_ids"]
    assert ids[: len(prompt.ids)] == list(prompt.ids)
    logprobs = model(torch.tensor([ids]), use_cache=False).logits[0].log_softmax(-1)
    return [float(logprobs[place - 1, ids[place]]) for place in range(len(prompt.ids), len(ids))]


@pytest.mark.parametrize(
    "settings",
    [GenerationSettings(batch_size=1), GenerationSettings(batch_size=7), GenerationSettings(shots=3, prompts=2)],
)
def test_logprobs_equal_those_of_a_plain_loop(
    model: Any, tokenizer: Any, chosen: list[Question], settings: GenerationSettings
):
    found = answer_logprobs(model, tokenizer, chosen, settings)
    prompts = question_prompts(tokenizer, chosen, shots=settings.shots, prompts=settings.prompts)
    assert len(found) == len(prompts)
    for one, prompt in zip(found, prompts, strict=True):
        question = prompt.question
        scores = {text: plainly(model, tokenizer, prompt, text) for text in (*question.answers, *question.options)}
        best = max(question.answers, key=lambda text: sum(scores[text]))
        assert (one.question_id, one.prompt, one.answer) == (question.id, prompt.number, best)
        assert one.tokens == len(scores[best])
        assert one.total == pytest.approx(sum(scores[best]), abs=1e-3)
        assert one.first == pytest.approx(scores[best][0], abs=1e-4)
        if question.options:
            ranked = sorted(question.options, key=lambda text: -sum(scores[text]))
            assert one.rank == 1 + ranked.index(question.options[-1])
        else:
            assert one.rank is None
    assert len({one.rank for one in found}) > 2


def test_batch_size_changes_no_logprob(model: Any, tokenizer: Any, chosen: list[Question]):
    one = answer_logprobs(model, tokenizer, chosen, GenerationSettings(shots=3, batch_size=1))
    other = answer_logprobs(model, tokenizer, chosen, GenerationSettings(shots=3, batch_size=64))
    for a, b in zip(one, other, strict=True):
        assert replace(a, total=0, first=0) == replace(b, total=0, first=0)
        assert (a.total, a.first) == pytest.approx((b.total, b.first), abs=1e-3)


def test_answers_of_one_token_have_the_probability_of_the_next_token(model: Any, tokenizer: Any):
    words = [tokenizer.decode([i]) for i in range(len(tokenizer))]
    first = {}
    for word in words:
        text = word.strip()
        if word == f" {text}" and text and "\n" not in text:
            ids = tokenizer(f" {text}", add_special_tokens=False)["input_ids"]
            if len(ids) == 1 and text.isalpha():
                first[text] = ids[0]
    assert len(first) > 50
    world_questions = [Question(word, "What is it?", (f"{word}",)) for word in first if normalize(word)]
    found = answer_logprobs(model, tokenizer, world_questions)
    prompt = question_prompts(tokenizer, world_questions[:1])[0]
    with torch.no_grad():
        logprobs = model(torch.tensor([prompt.ids])).logits[0, -1].log_softmax(-1)
    assert [one.total for one in found] == pytest.approx(
        [float(logprobs[first[q.id]]) for q in world_questions], abs=1e-3
    )
    assert [one.total for one in found] == [one.first for one in found]


def test_a_token_that_merges_prompt_and_answer_is_scored(model: Any, chosen: list[Question]):
    class Joins:
        """One token a character, but ": " is one."""

        chat_template = None
        pad_token_id, eos_token_id = 0, 1
        added_tokens_decoder: dict[int, Any] = {}

        def __call__(self, texts: list[str], **_: Any) -> dict[str, list[list[int]]]:
            return {"input_ids": [[ord(c) % 900 + 5 for c in text.replace(": ", "\x01")] for text in texts]}

    tokenizer: Any = Joins()
    (one,) = answer_logprobs(model, tokenizer, [Question("q", "What?", ("rye",))])
    assert one.tokens == 4  # ": ", r, y, e
    assert one.total < one.first < 0


@pytest.mark.parametrize("before", ["", " ", "final: "])
def test_an_answer_in_a_chat_follows_what_the_template_puts_before_it(
    model: Any, tokenizer: Any, chosen: list[Question], before: str
):
    import copy

    chatty = copy.deepcopy(tokenizer)
    turn = "{% if m.role == 'user' %}{{ m.content }}{{ '\n' }}{% else %}{{ '" + before + "' + m.content }}{% endif %}"
    chatty.chat_template = f"{{% for m in messages %}}{turn}{{% endfor %}}"
    found = answer_logprobs(model, chatty, chosen[:2], GenerationSettings(template="chat", instruction=""))
    for one, question in zip(found, chosen[:2], strict=True):
        prompt = chatty(f"{question.text}\n{before.rstrip()}")["input_ids"]
        ids = chatty(f"{question.text}\n{before}{one.answer}")["input_ids"]
        with torch.no_grad():
            logprobs = model(torch.tensor([ids])).logits[0].log_softmax(-1)
        total = sum(float(logprobs[i - 1, ids[i]]) for i in range(len(prompt), len(ids)))
        assert one.total == pytest.approx(total, abs=1e-3)


def test_open_book_changes_the_logprobs(
    model: Any, tokenizer: Any, chosen: list[Question], biographies: list[Document]
):
    closed = answer_logprobs(model, tokenizer, chosen[:4])
    opened = answer_logprobs(model, tokenizer, chosen[:4], GenerationSettings(open_book=True), documents=biographies)
    assert all(a.total != b.total for a, b in zip(closed, opened, strict=True))


def test_options_without_an_accepted_answer_are_an_error_with_the_id(model: Any, tokenizer: Any):
    lost = Question("lost", "What?", ("rye",), options=("wheat", "oats"))
    with pytest.raises(ValueError, match="1 question has no accepted answer among the options: 'lost'"):
        answer_logprobs(model, tokenizer, [lost])


def test_an_answer_that_exceeds_the_context_is_an_error_with_the_id(model: Any, tokenizer: Any):
    long = Question("long", "What?", ("rye " * 600,))
    with pytest.raises(
        ValueError,
        match=r"1 question, together with an answer, exceed this .* of 512 tokens: 'long' \([\d,]+ tokens\)",
    ):
        answer_logprobs(model, tokenizer, [long])


def test_no_questions_give_no_logprobs(model: Any, tokenizer: Any):
    assert answer_logprobs(model, tokenizer, []) == []

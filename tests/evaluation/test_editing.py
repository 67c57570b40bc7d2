"""Editing scores against handmade responses, a plain forward pass, and entropies computed with numpy."""

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from hf_knowlearn.documents import Question
from hf_knowlearn.evaluation.editing import editing_scores, fluency
from hf_knowlearn.evaluation.model_responses import ModelResponses, TeacherForced, continuations, teacher_forced
from hf_knowlearn.generation.settings import GenerationSettings
from hf_knowlearn.knowledge_recall import score
from hf_knowlearn.prompts.questions import question_prompts


@torch.no_grad()
def plainly(model: Any, tokenizer: Any, prompt: Any, answer: str) -> list[tuple[int, int]]:
    """Return each token of the answer with the most probable token at its position."""
    ids = tokenizer(f"{prompt.text} {answer}")["input_ids"]
    best = model(torch.tensor([ids]), use_cache=False).logits[0].argmax(-1)
    return [(ids[place], int(best[place - 1])) for place in range(len(prompt.ids), len(ids))]


@pytest.mark.parametrize(
    "settings",
    [GenerationSettings(batch_size=1), GenerationSettings(batch_size=7), GenerationSettings(shots=3, prompts=2)],
)
def test_teacher_forced_tokens_equal_those_of_a_plain_forward_pass(
    model: Any, tokenizer: Any, world_questions: list[Question], settings: GenerationSettings
):
    longer = [(f"{q.answers[0]} " * (1 + i % 3)).strip() for i, q in enumerate(world_questions)]
    questions = [replace(q, answers=(" ", text, "Ormel")) for q, text in zip(world_questions, longer, strict=True)]
    found = teacher_forced(model, tokenizer, questions, settings)
    prompts = question_prompts(tokenizer, questions, shots=settings.shots, prompts=settings.prompts)
    for one, prompt in zip(found, prompts, strict=True):
        assert one.question_id == prompt.question.id
        pairs = plainly(model, tokenizer, prompt, prompt.question.answers[1])
        assert list(zip(one.expected, one.predicted, strict=True)) == pairs
        assert one.accuracy == np.mean([a == b for a, b in pairs])
    assert len({len(one.expected) for one in found}) > 1


def test_an_answer_that_the_model_predicts_has_accuracy_1(model: Any, tokenizer: Any):
    question = Question("q", "Where does the ferry go?", ("x",))
    (prompt,) = question_prompts(tokenizer, [question])
    ids, answer = list(prompt.ids), []
    with torch.no_grad():
        for _ in range(4):
            answer.append(int(model(torch.tensor([ids + answer])).logits[0, -1].argmax()))

    class Knows:
        """A tokenizer that encodes " own" as the tokens that the model predicts."""

        def __getattr__(self, name: str) -> Any:
            return getattr(tokenizer, name)

        def __call__(self, texts: list[str], **more: Any) -> Any:
            whole = tokenizer([text.removesuffix(" own") for text in texts], **more)["input_ids"]
            return {"input_ids": [w + answer * t.endswith(" own") for w, t in zip(whole, texts, strict=True)]}

    known = [replace(question, answers=("own",))]
    (one,) = teacher_forced(model, Knows(), known, GenerationSettings())  # type: ignore[arg-type]
    assert one.predicted == one.expected == tuple(answer)
    assert one.accuracy == 1


def test_neither_order_nor_batch_size_changes_a_response(model: Any, tokenizer: Any, world_questions: list[Question]):
    some, few, many = world_questions[:9], GenerationSettings(batch_size=2), GenerationSettings(batch_size=64)
    forced = teacher_forced(model, tokenizer, some, few)
    assert [one.question_id for one in forced] == [q.id for q in some]
    assert teacher_forced(model, tokenizer, some[::-1], many) == forced[::-1]
    texts = continuations(model, tokenizer, some[:4], few)
    assert continuations(model, tokenizer, some[3::-1], many) == texts[::-1]
    assert len(set(texts)) == 4


def test_a_text_for_fluency_does_not_end_at_a_line_or_an_end_token(
    model: Any, tokenizer: Any, world_questions: list[Question]
):
    settings = GenerationSettings()
    texts = continuations(model, tokenizer, world_questions[:4], settings)
    assert min(len(tokenizer(text)["input_ids"]) for text in texts) > 50
    assert any("\n" in text.strip() for text in texts)
    assert texts != continuations(model, tokenizer, world_questions[:4], GenerationSettings(seed=1))
    assert continuations(model, tokenizer, [], settings) == []


# Fluency


def test_fluency_of_few_words_is_the_closed_form():
    # a-b twice and b-a once; a-b-a and b-a-b once each
    pairs, triples = math.log2(3) - 2 / 3, 1.0
    assert fluency("a b a b") == pytest.approx((2 / 3 * pairs + 4 / 3 * triples) / 2)
    assert fluency("a b c d e f g h i j") == pytest.approx((2 / 3 * math.log2(9) + 4 / 3 * math.log2(8)) / 2)
    assert fluency("so so so so so") == 0
    assert [fluency(text) for text in ("", "so", "so it")] == [0, 0, 0]
    assert fluency("so it goes") == pytest.approx(2 / 3 * 1 / 2)


def test_fluency_equals_a_computation_with_numpy():
    draw = random.Random(0)
    for length in (5, 30, 100):
        words = [draw.choice(["rye", "oats", "mill", ",", "."]) for _ in range(length)]
        parts = []
        for n, weight in ((2, 2 / 3), (3, 4 / 3)):
            grams = np.array([words[i : i + n] for i in range(length - n + 1)])
            shares = np.unique(grams, axis=0, return_counts=True)[1] / len(grams)
            parts.append(-weight * np.sum(shares * np.log(shares) / np.log(2)))
        assert fluency(" ".join(words)) == pytest.approx(np.mean(parts))


def test_characters_are_counted_in_a_script_without_spaces():
    assert fluency("我们去北京") == fluency("我 们 去 北 京") > 0


# Scores


def forced(id: str, predicted: Sequence[int], expected: Sequence[int] = (1, 2, 3, 4)) -> TeacherForced:
    return TeacherForced(id, tuple(expected), tuple(predicted))


def responses(answers: dict[str, tuple[str, Sequence[int]]], texts: Sequence[str] = ()) -> ModelResponses:
    return ModelResponses(
        {id: text for id, (text, _) in answers.items()},
        {id: forced(id, tokens) for id, (_, tokens) in answers.items()},
        texts,
    )


def question(id: str, kind: str | None = None, fact: str | None = None, document: str | None = None) -> Question:
    return Question(id, "What does it grind?", ("rye",), document, fact_id=fact, kind=kind)


TRAINED = [
    question("first", fact="f"),
    question("again", fact="f"),
    question("loose"),
    question("reworded", kind="rephrased", fact="f"),
    question("alias", kind="alias"),
    question("hop-1", kind="one-hop"),
    question("hop-2", kind="one-hop"),
]
OTHERS = [question("far-1", kind="trivia"), question("far-2")]
BEFORE = responses(
    {"far-1": ("It is oats.\nYes.", (1, 1, 1, 1)), "far-2": ("", (9, 9, 9, 9))}, ["so so so so", "it goes on and on"]
)
AFTER = responses(
    {
        "first": (" The rye!\nQuestion:", (1, 2, 3, 4)),
        "again": ("oats", (1, 2, 3, 9)),
        "loose": ("no rye", (1, 9, 9, 9)),
        "reworded": ("rye", (1, 2, 9, 9)),
        "alias": ("rye", (1, 2, 3, 4)),
        "hop-1": ("oats", (9, 9, 9, 9)),
        "hop-2": ("oats", (1, 2, 9, 9)),
        "far-1": (" it is OATS", (1, 1, 1, 9)),
        "far-2": ("rye", (9, 9, 9, 9)),
    },
    ["a b a b"],
)


def test_scores_of_handmade_responses():
    scores = editing_scores(TRAINED, OTHERS, BEFORE, AFTER)
    means = {
        name: (of["teacher_forced"], of["generated"], of["n"]) for name, of in scores.items() if name != "fluency"
    }
    assert means == {
        "reliability": (pytest.approx((1 + 0.25) / 2), 0.5, 2),  # first, loose
        "generalisation": (pytest.approx((0.75 + 0.5) / 2), 0.5, 2),  # again, reworded
        "portability": (pytest.approx((1 + 0.25) / 2), pytest.approx((1 + 0) / 2), 3),  # the mean of the kinds' means
        "locality": (pytest.approx((0.75 + 1) / 2), 0.5, 2),
    }
    by_kind = scores["portability"]["by_kind"]
    assert {kind: (of["teacher_forced"], of["generated"], of["n"]) for kind, of in by_kind.items()} == {
        "alias": (1, 1, 1),
        "one-hop": (0.25, 0, 2),
    }
    assert scores["fluency"]["before"] == {
        "bits": pytest.approx(fluency("it goes on and on") / 2),
        "bits_se": pytest.approx(fluency("it goes on and on") / 2),
        "n": 2,
    }
    assert scores["fluency"]["after"]["bits"] == fluency("a b a b")
    assert math.isnan(scores["fluency"]["after"]["bits_se"])


def test_a_score_without_questions_is_left_out():
    scores = editing_scores([], OTHERS, replace(BEFORE, texts=()), replace(AFTER, texts=()))
    assert set(scores) == {"locality", "fluency"}
    assert scores["fluency"] == {}


def test_an_unchanged_model_has_locality_1():
    scores = editing_scores(TRAINED, OTHERS, AFTER, AFTER)
    assert (scores["locality"]["teacher_forced"], scores["locality"]["generated"]) == (1, 1)
    assert scores["locality"]["generated_se"] == 0


def test_standard_errors_equal_those_of_score():
    draw = random.Random(1)
    questions = [question(f"q{i}", document=f"d{i % 7}") for i in range(40)]
    answers = {q.id: (draw.choice(["rye", "oats"]), draw.choice([(1, 2, 3, 4), (9, 9, 9, 9)])) for q in questions}
    found = editing_scores(questions, [], responses({}), responses(answers))["reliability"]
    documents = [str(q.document_id) for q in questions]
    for name, texts in (
        ("generated", [answers[q.id][0] for q in questions]),
        ("teacher_forced", ["rye" if answers[q.id][1][0] == 1 else "oats" for q in questions]),
    ):
        expected = score(texts, [q.answers for q in questions], documents=documents)
        assert found[name] == pytest.approx(expected["correct"])
        assert found[f"{name}_se"] == pytest.approx(expected["correct_se"])
    # Without documents: that of a mean, sample standard deviation / sqrt(n).
    alone = editing_scores([replace(q, document_id=None) for q in questions], [], responses({}), responses(answers))
    values = [float(answers[q.id][0] == "rye") for q in questions]
    assert alone["reliability"]["generated_se"] == pytest.approx(np.std(values, ddof=1) / math.sqrt(40))


def test_the_error_of_a_mean_over_kinds_adds_their_variances():
    questions = [question(f"{kind}{i}", kind) for kind, n in (("alias", 5), ("reversed", 9)) for i in range(n)]
    draw = random.Random(2)
    answers = {q.id: ("rye", [draw.choice([1, 9]), 2, 3, 4]) for q in questions}
    found = editing_scores(questions, [], responses({}), responses(answers))["portability"]
    groups = [[forced("", answers[q.id][1]).accuracy for q in questions if q.kind == k] for k in ("alias", "reversed")]
    variance = sum(np.var(group) / len(group) for group in groups) / 4  # of two means, each halved
    assert found["teacher_forced_se"] == pytest.approx(math.sqrt(variance * 14 / 13))


def test_all_problems_are_in_one_error():
    strange = [*TRAINED, question("odd", kind="two-hop"), question("odder", kind="two-hop"), question("first")]
    before = ModelResponses({}, {"far-1": forced("far-1", ())})
    with pytest.raises(ValueError, match="Unknown kinds") as error:
        editing_scores(strange, OTHERS, before, AFTER)
    assert str(error.value).splitlines() == [
        "Unknown kinds of questions: 'two-hop' (question 'odd'). Choose from None, 'rephrased',"
        " 'alias', 'one-hop', 'reversed'.",
        "1 question id occurs more than once, such as 'first'. Give each question its own id.",
        "before: 2 questions have no response, such as 'far-1'. Add the responses.",
        "after: 2 questions have no response, such as 'odd'. Add the responses.",
    ]


def test_responses_of_two_tokenizers_are_an_error():
    other = replace(BEFORE, teacher_forced={id: forced(id, (1,), (1,)) for id in ("far-1", "far-2")})
    with pytest.raises(
        ValueError, match="accepted answers of 2 locality questions, such as 'far-1', have different tokens before"
    ):
        editing_scores(TRAINED, OTHERS, other, AFTER)


def test_an_unknown_language_is_an_error():
    with pytest.raises(ValueError, match="language is 'xx'"):
        editing_scores(TRAINED, OTHERS, BEFORE, AFTER, language="xx")

"""Tests of mastery: the classes of scripted responses, the limits between classes, and what changes no class."""

import dataclasses
import json
import logging
import math
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import LlamaConfig

import hf_knowlearn
from hf_knowlearn.documents import Question
from hf_knowlearn.evaluation.mastery import (
    CATEGORIES,
    PRESETS,
    Category,
    Mastery,
    category_of,
    check_mastery,
    classify_mastery,
    counts,
    flow,
)
from hf_knowlearn.generation.sampling import SampleRandom
from hf_knowlearn.prompts.questions import question_prompts
from hf_knowlearn.reports.tables import tables

SHARE = 0.4  # probability of the correct response to a weakly known question, at TEMPERATURE
TEMPERATURE = 0.5


class Scripted(torch.nn.Module):
    """A causal language model that reads its prompt as text and says "X", "Y" or "Z", then ends.

    Its cache holds the ids of the tokens, so that it sees the whole prompt however that is cut, shared or padded.
    """

    def __init__(self, tokenizer: Any, script: Callable[[str, str], dict[str, float]]) -> None:
        super().__init__()
        self.tokenizer, self.script = tokenizer, script
        self.config = LlamaConfig(vocab_size=len(tokenizer), num_hidden_layers=1, max_position_embeddings=512)
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.device = torch.device("cpu")
        self.rows = 0

    def forward(self, input_ids: Any, attention_mask: Any, past_key_values: Any, logits_to_keep: int = 1, **_: Any):
        self.rows += len(input_ids)
        ids = input_ids[:, None, :, None].float()
        seen = past_key_values.update(ids, ids, 0)[0][:, 0, :, 0].long()
        logits = torch.zeros(len(input_ids), logits_to_keep, len(self.tokenizer))
        for row, (all_ids, mask) in enumerate(zip(seen, attention_mask.bool(), strict=True)):
            logits[row, -1] = self._next(self.tokenizer.decode(all_ids[mask]))
        return SimpleNamespace(logits=logits)

    def _next(self, text: str) -> torch.Tensor:
        before, _, rest = text.rpartition("Question: ")
        question, _, answer = rest.partition("\nAnswer:")
        logits = torch.full((len(self.tokenizer),), -50.0)
        if answer:
            logits[self.tokenizer.eos_token_id] = 50.0
        else:
            for token, value in self.script(question, before).items():
                logits[self.tokenizer.convert_tokens_to_ids(token)] = value
        return logits


def script(question: str, examples: str) -> dict[str, float]:
    """Return the logits of the next token. The right answer is "X"."""
    kind = question.split()[0]
    if kind == "maybe":
        return {"X" if first_is_even(examples) else "Y": 50.0}
    weak = TEMPERATURE * math.log(SHARE / (1 - SHARE))
    return {
        "high": {"X": 1.0, "Y": -49.0},
        "never": {"X": -0.5, "Y": 0.0, "Z": 0.0},  # not one of the two most probable
        "weak": {"X": weak, "Y": 0.0},
    }.get(kind, {"Z": 1.0})


def first_is_even(examples: str) -> bool:
    return int(re.findall(r"Question: \w+ (\d+)", examples)[0]) % 2 == 0


KINDS = {"high": "HighlyKnown", "maybe": "MaybeKnown", "weak": "WeaklyKnown", "never": "Unknown"}
POOL = [Question(f"p{i}", f"example {i}?", (f"value {i}",), relation="r") for i in range(20)]
QUESTIONS = [Question(f"{kind}/{i}", f"{kind} {i}?", ("X",), relation="r") for i in range(5) for kind in KINDS]
HOW: dict[str, Any] = {"pool": POOL, "temperature": TEMPERATURE, "top_k": 2, "seed": 3, "max_new_tokens": 4}


@pytest.fixture(scope="module")
def scripted(tokenizer: Any) -> Scripted:
    return Scripted(tokenizer, script)


@pytest.fixture(scope="module")
def classified(scripted: Any, tokenizer: Any) -> list[Mastery]:
    return classify_mastery(scripted, tokenizer, QUESTIONS, **HOW)


# Closed forms


def test_each_question_has_its_scripted_class_in_the_setting_of_the_paper(classified: list[Mastery], tokenizer: Any):
    assert [one.question_id for one in classified] == [q.id for q in QUESTIONS]
    assert [one.category for one in classified] == [KINDS[q.id.split("/")[0]] for q in QUESTIONS]
    prompts = question_prompts(tokenizer, QUESTIONS, shots=4, prompts=10, seed=3, pool=POOL)
    for question, one in zip(QUESTIONS, classified, strict=True):
        kind = question.id.split("/")[0]
        even = [first_is_even(p.text) for p in prompts if p.question.id == question.id]
        assert len(even) == 10
        drawn = [
            SampleRandom(3, question.id, prompt, sample)[0] < SHARE for prompt in range(10) for sample in range(16)
        ]
        expected = {
            "high": (1, 1),
            "maybe": (sum(even) / 10, sum(even) / 10),
            "weak": (0, sum(drawn) / 160),
            "never": (0, 0),
        }[kind]
        assert (one.greedy, one.sampled) == pytest.approx(expected)
    assert counts(classified) == dict.fromkeys(CATEGORIES, 5)


def test_a_larger_top_k_allows_the_third_token(scripted: Any, tokenizer: Any):
    never = [q for q in QUESTIONS if q.id.startswith("never")]
    found = classify_mastery(scripted, tokenizer, never, **{**HOW, "top_k": 3})
    assert {one.category for one in found} == {"WeaklyKnown"}
    share = math.exp(-1) / (2 + math.exp(-1))
    assert sum(one.sampled for one in found) / 5 == pytest.approx(share, abs=4 * math.sqrt(share / 800))


@pytest.mark.parametrize(
    ("greedy", "sampled", "category"),
    [
        (1.0, 1.0, "HighlyKnown"),
        (1.0, 0.0, "HighlyKnown"),
        (0.9, 1.0, "MaybeKnown"),
        (0.1, 0.0, "MaybeKnown"),
        (0.0, 1 / 160, "WeaklyKnown"),
        (0.0, 1.0, "WeaklyKnown"),
        (0.0, 0.0, "Unknown"),
    ],
)
def test_the_borders_between_the_classes_are_those_of_the_paper(greedy: float, sampled: float, category: Category):
    assert category_of(greedy, sampled) == category


@pytest.mark.parametrize(("prompts", "samples"), [(3, 7), (49, 1), (2, 160)])
def test_shares_of_all_and_of_none_are_exactly_one_and_zero(scripted: Any, tokenizer: Any, prompts: int, samples: int):
    found = classify_mastery(scripted, tokenizer, QUESTIONS[:4], **HOW, prompts=prompts, samples=samples)
    high, maybe, _, never = found
    assert (high.greedy, high.sampled, never.greedy, never.sampled) == (1.0, 1.0, 0.0, 0.0)
    assert maybe.greedy * prompts == pytest.approx(round(maybe.greedy * prompts))


def test_a_response_is_correct_if_its_first_line_is_in_its_language(tokenizer: Any):
    talker = Scripted(tokenizer, lambda question, before: {"X": 1.0, "Y": -49.0})
    accepted = {"x.": "HighlyKnown", "die X": "Unknown", "X Y": "Unknown"}
    questions = [Question(answer, f"high {i}?", (answer,), relation="r") for i, answer in enumerate(accepted)]
    how = {**HOW, "prompts": 2, "samples": 1}
    assert {m.question_id: m.category for m in classify_mastery(talker, tokenizer, questions, **how)} == accepted
    german = classify_mastery(talker, tokenizer, questions, **how, language="de")
    assert [m.category for m in german] == ["HighlyKnown", "HighlyKnown", "Unknown"]


# Presets


def test_a_preset_sets_the_numbers_and_a_given_number_overrides_it(scripted: Any, tokenizer: Any, tmp_path: Path):
    found: dict[tuple[Any, ...], tuple[int, int]] = {}
    for preset, given in (("full", {}), ("quick", {}), ("quick", {"samples": 1}), ("full", {"prompts": 2})):
        file = tmp_path / f"{len(found)}.jsonl"
        classify_mastery(scripted, tokenizer, QUESTIONS[:4], **HOW, preset=preset, **given, answer_cache=file)
        header, *lines = map(json.loads, file.read_text(encoding="utf-8").splitlines())
        assert header["settings"]["shots"] == 4
        found[(preset, *given)] = (len(lines) // 4, len(lines[0]["sampled"]))
    quick = PRESETS["quick"]
    assert found == {
        ("full",): (10, 16),
        ("quick",): (quick["prompts"], quick["samples"]),
        ("quick", "samples"): (quick["prompts"], 1),
        ("full", "prompts"): (2, 16),
    }


# What changes nothing


@pytest.fixture(scope="module")
def known_classes(model: Any, tokenizer: Any, world_questions: list[Question]) -> tuple[list[Question], list[Mastery]]:
    """Return questions whose accepted answers are the responses of an untrained model to one of their prompts."""
    from hf_knowlearn.generation.responses import generate_responses
    from hf_knowlearn.generation.settings import GenerationSettings

    how = GenerationSettings(shots=2, prompts=3, samples=3, temperature=0.5, max_new_tokens=6, seed=5)
    answers = generate_responses(model, tokenizer, world_questions, how)
    known = [
        dataclasses.replace(q, answers=(text,)) if (text := (a.greedy[1], a.sampled[0][0])[i % 2].strip()) else q
        for i, (q, a) in enumerate(zip(world_questions, answers, strict=True))
    ]
    found = classify(model, tokenizer, known, world_questions)
    assert len(set(counts(found).values()) - {0}) > 1
    return known, found


def classify(model: Any, tokenizer: Any, questions: list[Question], pool: list[Question], **how: Any) -> list[Mastery]:
    few = {"prompts": 3, "shots": 2, "samples": 3, "max_new_tokens": 6, "seed": 5}
    return classify_mastery(model, tokenizer, questions, pool=pool, **{**few, **how})


@pytest.mark.parametrize("batch_size", [1, 7])
def test_neither_batch_size_nor_order_nor_other_questions_change_a_class(
    model: Any,
    tokenizer: Any,
    world_questions: list[Question],
    known_classes: tuple[list[Question], list[Mastery]],
    batch_size: int,
):
    questions, expected = known_classes
    assert classify(model, tokenizer, questions[::-2], world_questions, batch_size=batch_size) == expected[::-2]


def test_classification_continues_from_its_answer_cache(
    scripted: Any, tokenizer: Any, classified: list[Mastery], tmp_path: Path
):
    file = tmp_path / "mastery.jsonl"
    assert classify_mastery(scripted, tokenizer, QUESTIONS, **HOW, answer_cache=file) == classified
    whole = file.read_text(encoding="utf-8").splitlines(keepends=True)
    assert len(whole) == 1 + 10 * len(QUESTIONS)
    file.unlink()
    (tmp_path / "mastery.jsonl.part0").write_text("".join(whole[:151]), encoding="utf-8")
    before = scripted.rows
    assert classify_mastery(scripted, tokenizer, QUESTIONS, **HOW, answer_cache=file) == classified
    assert scripted.rows > before
    before = scripted.rows
    assert classify_mastery(scripted, tokenizer, QUESTIONS, **HOW, answer_cache=file) == classified
    assert scripted.rows == before


def test_another_seed_gives_other_examples_and_samples(scripted: Any, tokenizer: Any, classified: list[Mastery]):
    other = classify_mastery(scripted, tokenizer, QUESTIONS, **{**HOW, "seed": 4})
    assert [m.category for m in other] == [m.category for m in classified]
    assert [m.sampled for m in other] != [m.sampled for m in classified]


def test_without_a_pool_the_examples_are_other_questions(tokenizer: Any):
    generated: list[tuple[str, str]] = []

    def remember(question: str, before: str) -> dict[str, float]:
        generated.append((question, before))
        return {"X": 1.0}

    classify_mastery(Scripted(tokenizer, remember), tokenizer, QUESTIONS, prompts=2, samples=1)
    assert {question for question, _ in generated} == {q.text for q in QUESTIONS}
    for question, before in generated:
        assert before.count("Question: ") == 4
        assert f"Question: {question}" not in before


def test_questions_without_a_relation_count_as_one_relation_with_a_warning(
    scripted: Any, tokenizer: Any, caplog: pytest.LogCaptureFixture
):
    bare = [dataclasses.replace(q, relation=None) for q in QUESTIONS[:6]]
    with caplog.at_level(logging.WARNING, "hf_knowlearn"):
        found = classify_mastery(scripted, tokenizer, [*bare, QUESTIONS[6]], **{**HOW, "pool": [*POOL, *bare]})
    assert [m.question_id for m in found] == [q.id for q in QUESTIONS[:7]]
    assert "6 questions have no relation, out of 7." in caplog.text
    caplog.clear()
    classify_mastery(scripted, tokenizer, QUESTIONS[:4], **HOW, prompts=2, samples=1)
    assert not caplog.records


# Errors


def test_all_problems_of_the_options_are_in_one_error_before_anything_is_generated(scripted: Any, tokenizer: Any):
    before = scripted.rows
    wrong = {"prompts": 1, "shots": 0, "samples": 0, "preset": "fast", "language": "xx", "temperature": 0}
    with pytest.raises(ValueError, match=r"prompts=1: with one prompt, .* Give 2 or more") as error:
        classify_mastery(scripted, tokenizer, QUESTIONS, **{**wrong, "top_k": 1.5, "template": "chatty"})  # type: ignore[arg-type]
    for words in (
        "shots=0: without examples, all prompts of a question are the same. Give 1 or more.",
        "samples=0: without samples, WeaklyKnown and Unknown cannot be distinguished. Give 1 or more.",
        "preset='fast': choose from full, quick.",
        "language is 'xx': choose from ",
        "temperature=0: give a number above 0",
        "top_k=1.5: give an integer of at least 0.",
        "template='chatty': choose from auto, chat, plain.",
    ):
        assert words in str(error.value)
    assert scripted.rows == before


@pytest.mark.parametrize("value", [-1, True, 2.0, "3"])
@pytest.mark.parametrize("name", ["prompts", "shots", "samples"])
def test_a_wrong_number_is_an_error(scripted: Any, tokenizer: Any, name: str, value: Any):
    with pytest.raises(ValueError, match=rf"{name}={value!r}"):
        classify_mastery(scripted, tokenizer, QUESTIONS, **{**HOW, name: value})


def test_all_relations_with_too_few_examples_are_listed(scripted: Any, tokenizer: Any):
    rare = [Question(f"{r}/{i}", f"{r} {i}?", ("X",), relation=r) for r in ("river", "lake") for i in range(4)]
    rare += [dataclasses.replace(q, id=f"bare {q.id}", relation=None) for q in QUESTIONS[:3]]
    with pytest.raises(ValueError, match=r"shots=4: 11 questions have fewer than 4 examples") as error:
        classify_mastery(scripted, tokenizer, [*QUESTIONS, *rare])
    assert "by relation: 'river' (4), 'lake' (4), '(no relation)' (3). Use fewer shots, or" in str(error.value)
    before = scripted.rows
    with pytest.raises(ValueError, match=r"shots=4: 11 questions have fewer than 4 examples") as checked:
        check_mastery(scripted, tokenizer, [*QUESTIONS, *rare])
    assert str(checked.value) == str(error.value)
    check_mastery(scripted, tokenizer, QUESTIONS, preset="quick")
    assert scripted.rows == before
    assert len(classify_mastery(scripted, tokenizer, [*QUESTIONS, *rare[:8]], shots=3, prompts=2, samples=1)) == 28


def test_no_questions_give_no_mastery(scripted: Any, tokenizer: Any):
    assert classify_mastery(scripted, tokenizer, []) == []
    assert counts([]) == dict.fromkeys(CATEGORIES, 0)


# Before and after


def of(**categories: Category) -> list[Mastery]:
    return [Mastery(id, 0.0, 0.0, category) for id, category in categories.items()]


BEFORE = of(a="Unknown", b="Unknown", c="MaybeKnown", d="HighlyKnown", e="WeaklyKnown")
AFTER = of(e="WeaklyKnown", d="MaybeKnown", c="HighlyKnown", b="Unknown", a="HighlyKnown")


def test_a_flow_counts_questions_by_the_class_before_and_after():
    found = flow(BEFORE, AFTER)
    assert list(found) == list(CATEGORIES)
    assert all(list(of_class) == list(CATEGORIES) for of_class in found.values())
    moved = {(was, now): count for was, of_it in found.items() for now, count in of_it.items() if count}
    assert moved == {
        ("Unknown", "HighlyKnown"): 1,
        ("Unknown", "Unknown"): 1,
        ("MaybeKnown", "HighlyKnown"): 1,
        ("HighlyKnown", "MaybeKnown"): 1,
        ("WeaklyKnown", "WeaklyKnown"): 1,
    }
    assert {was: sum(of_it.values()) for was, of_it in found.items()} == counts(BEFORE)
    assert {now: sum(of_it[now] for of_it in found.values()) for now in CATEGORIES} == counts(AFTER)


def test_a_flow_between_different_questions_is_an_error():
    with pytest.raises(
        ValueError, match=r"2 questions occur only in `before`, such as 'a'.\n1 question occurs only in `after`"
    ):
        flow(BEFORE, [*AFTER[:3], *of(f="Unknown")])
    with pytest.raises(
        ValueError, match=r"1 question id occurs more than once in `after`, such as 'e'.\nGive each question"
    ):
        flow(BEFORE, [*AFTER, AFTER[0]])


def test_a_report_with_mastery_has_its_tables():
    before = {"mastery": {"n": 5, "counts": counts(BEFORE)}}
    figures = {"mastery": {"n": 5, "counts": counts(AFTER), "flow": flow(BEFORE, AFTER)}}
    counted = {"counts": {"questions": 5}}
    made: dict[str, Any] = {**counted, "before": before, "runs": {"one": figures, "two": figures, "three": {}}}
    found = {table.title: table.rows[1:] for table in tables(made)}
    assert [row[0] for row in found["Mastery"]] == ["before", "one", "two"]
    assert found["Acquired, retained, lost by class"][:4] == [
        ["one", "HighlyKnown", "1", "0", "0", "1"],
        ["one", "MaybeKnown", "1", "1", "0", "0"],
        ["one", "WeaklyKnown", "1", "0", "1", "0"],
        ["one", "Unknown", "2", "1", "1", "0"],
    ]


def test_the_public_names_are_these():
    assert hf_knowlearn.classify_mastery is classify_mastery
    assert hf_knowlearn.Mastery is Mastery
    with pytest.raises(dataclasses.FrozenInstanceError):
        BEFORE[0].greedy = 1.0  # type: ignore[misc]

"""Responses against `generate` and a plain loop. Nothing but the seed and the ids changes a response."""

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, PromptTuningConfig, get_peft_model
from transformers import GenerationConfig, LogitsProcessorList

from hf_knowlearn.documents import Question
from hf_knowlearn.generation.batching import run_batches
from hf_knowlearn.generation.cache_check import supports_decoder
from hf_knowlearn.generation.decoding import Decoder
from hf_knowlearn.generation.jobs import GenerationJob, StopTokens
from hf_knowlearn.generation.kv_cache import PreallocatedLayer, assign_rows
from hf_knowlearn.generation.responses import Responses, generate_responses
from hf_knowlearn.generation.sampling import SampleRandom
from hf_knowlearn.generation.settings import GenerationSettings
from hf_knowlearn.models.fingerprints import weights_fingerprint
from hf_knowlearn.prompts.questions import question_prompts

from .conftest import MODELS

MOST = 10
FEW = GenerationSettings(
    shots=3, prompts=2, samples=5, temperature=0.8, top_k=20, max_new_tokens=MOST, batch_size=16, seed=5
)


@torch.no_grad()
def plainly(model: Any, tokenizer: Any, questions: list[Question], settings: GenerationSettings) -> list[Responses]:
    """Each response by itself: a forward pass over the whole text for every token, without cache and padding."""
    ends = StopTokens(tokenizer)
    found = []
    prompts = question_prompts(
        tokenizer, questions, settings.template, settings.shots, settings.prompts, settings.seed, settings.instruction
    )
    for question in questions:
        of_it = []
        for prompt in prompts:
            if prompt.question.id != question.id:
                continue
            samplers = [
                SampleRandom(settings.seed, question.id, prompt.number, sample) for sample in range(settings.samples)
            ]
            of_it.append([one(model, tokenizer, prompt.ids, sampler, settings, ends) for sampler in (None, *samplers)])
        texts = [[text for text, _ in of_one] for of_one in of_it]
        ended = tuple(of_one[0][1] for of_one in of_it)
        found.append(Responses(question.id, tuple(t[0] for t in texts), tuple(tuple(t[1:]) for t in texts), ended))
    return found


def one(
    model: Any,
    tokenizer: Any,
    prompt: Any,
    sampler: SampleRandom | None,
    settings: GenerationSettings,
    ends: StopTokens,
) -> tuple[str, str]:
    ended = "cut"
    ids = list(prompt)
    for step in range(settings.max_new_tokens):
        logits = model(torch.tensor([ids]), use_cache=False).logits[0, -1]
        if sampler is None:
            ids.append(int(logits.argmax()))
        else:
            border = logits.sort(descending=True).values[settings.top_k - 1]
            shares = [
                p if x >= border else 0.0
                for p, x in zip((logits / settings.temperature).softmax(-1).tolist(), logits.tolist(), strict=True)
            ]
            left = sampler[step] * sum(shares)
            token = next(i for i in range(len(shares)) if (left := left - shares[i]) < 0)
            ids.append(token)
        text = tokenizer.decode(ids[len(prompt) :], skip_special_tokens=True)
        if ends.end_of_text[ids[-1]] or (text.strip() and ends.line_break[ids[-1]]):
            ended = "text" if ends.end_of_text[ids[-1]] else "line"
            break
    return tokenizer.decode(ids[len(prompt) :], skip_special_tokens=True), ended


@pytest.fixture(scope="module")
def expected(model: Any, tokenizer: Any, world_questions: list[Question]) -> list[Responses]:
    answers = plainly(model, tokenizer, world_questions[:8], FEW)
    texts = [text for a in answers for samples in a.sampled for text in samples]
    assert len(set(texts)) > len(texts) / 2  # they differ
    assert any(text.endswith("\n") for text in texts)
    assert len({how for a in answers for how in a.ended}) > 1
    return answers


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_responses_equal_those_of_a_plain_loop_for_every_batch_size(
    model: Any, tokenizer: Any, world_questions: list[Question], expected: list[Responses], batch_size: int
):
    responses = generate_responses(
        model, tokenizer, world_questions[:8], replace(FEW, batch_size=batch_size), pool=world_questions[:8]
    )
    assert responses == expected


def test_neither_the_order_nor_the_other_questions_change_a_response(
    model: Any, tokenizer: Any, world_questions: list[Question], expected: list[Responses]
):
    backwards = generate_responses(model, tokenizer, world_questions[7:3:-1], FEW, pool=world_questions[:8])
    assert backwards == expected[7:3:-1]


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("shots", [0, 3])
def test_greedy_responses_equal_those_of_generate(
    build: Callable[[str], Any], tokenizer: Any, world_questions: list[Question], kind: str, shots: int
):
    model = build(kind)
    prompts = question_prompts(tokenizer, world_questions, shots=shots)
    line = StopTokens(tokenizer)
    greedy = []
    for start in range(0, len(prompts), 5):
        rows = [list(prompt.ids) for prompt in prompts[start : start + 5]]
        longest = max(map(len, rows))
        ids = torch.tensor([[tokenizer.pad_token_id] * (longest - len(row)) + row for row in rows])
        mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
        config = GenerationConfig(
            max_new_tokens=MOST,
            do_sample=False,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
        written = model.generate(ids, attention_mask=mask, generation_config=config)[:, longest:].tolist()
        greedy += [tokenizer.decode(first_line(tokens, line), skip_special_tokens=True) for tokens in written]
    settings = GenerationSettings(shots=shots, max_new_tokens=MOST, batch_size=7)
    responses = generate_responses(model, tokenizer, world_questions, settings)
    assert [answers.greedy[0] for answers in responses] == greedy


def first_line(tokens: list[int], ends: StopTokens) -> list[int]:
    ended = (end for end in range(1, len(tokens) + 1) if ends.ends(tokens[:end]))
    return tokens[: next(ended, None)]


@pytest.mark.parametrize("kind", [kind for kind in MODELS if "window" in kind])
def test_samples_of_a_sliding_window_model_equal_those_of_a_plain_loop(
    build: Callable[[str], Any], tokenizer: Any, world_questions: list[Question], kind: str
):
    model = build(kind)
    settings = replace(FEW, prompts=1, samples=3, batch_size=5)
    assert generate_responses(model, tokenizer, world_questions[:8], settings) == plainly(
        model, tokenizer, world_questions[:8], settings
    )


def test_samples_differ_by_seed_and_not_by_the_number_of_samples_and_prompts(
    model: Any, tokenizer: Any, world_questions: list[Question]
):
    one = generate_responses(model, tokenizer, world_questions, FEW)
    other = generate_responses(model, tokenizer, world_questions, replace(FEW, seed=6, shots=3))
    assert sum(a.sampled != b.sampled for a, b in zip(one, other, strict=True)) > len(world_questions) / 2
    fewer = generate_responses(model, tokenizer, world_questions, replace(FEW, samples=2, prompts=1))
    assert [a.sampled[0][:2] for a in one] == [a.sampled[0] for a in fewer]


def test_shared_prefixes_and_equal_samples_are_computed_once(build: Callable[[str], Any], tokenizer: Any):
    model = build("llama")
    world_questions = [Question(f"q{i}", f"Where is {'x' * i}?", ("Tarn",), relation="place") for i in range(1, 9)]
    pool = [
        Question(f"e{i}", f"Where was {i} born, in which town, please?", ("Ormel",), relation="place")
        for i in range(4)
    ]
    supports_decoder(model, 0)  # its own passes are not counted
    read: list[int] = []
    model.model.embed_tokens.register_forward_hook(lambda module, inputs, out: read.append(inputs[0].numel()))
    settings = GenerationSettings(shots=4, samples=6, temperature=0.01, max_new_tokens=3, batch_size=64)
    generate_responses(model, tokenizer, world_questions, settings, pool=pool)
    lengths = [len(prompt.ids) for prompt in question_prompts(tokenizer, world_questions, shots=4, pool=pool)]
    beginning, suffixes, *steps = read
    assert beginning > 0.7 * max(lengths)
    assert suffixes == len(world_questions) * (max(lengths) - beginning)
    assert steps == [8] * len(steps)  # at this temperature all answers to a prompt agree, and go on as one row
    assert len(steps) <= 2


def test_a_split_branch_is_decoded_in_chunks_of_at_most_the_batch_size(
    build: Callable[[str], Any], tokenizer: Any, world_questions: list[Question]
):
    model = build("llama")
    rows: list[int] = []
    model.model.embed_tokens.register_forward_hook(lambda module, inputs, out: rows.append(len(inputs[0])))
    settings = replace(FEW, samples=30, temperature=5.0, top_k=0, batch_size=8)
    responses = generate_responses(model, tokenizer, world_questions[:8], settings)
    assert max(rows) == 8
    assert responses == generate_responses(model, tokenizer, world_questions[:8], replace(settings, batch_size=500))


def test_an_adapter_is_used(build: Callable[[str], Any], tokenizer: Any, world_questions: list[Question]):
    adapted = get_peft_model(build("llama"), LoraConfig(target_modules="all-linear", init_lora_weights=False)).eval()
    responses = generate_responses(adapted, tokenizer, world_questions[:8], FEW)
    assert responses == plainly(adapted, tokenizer, world_questions[:8], FEW)
    with adapted.disable_adapter():
        assert generate_responses(adapted, tokenizer, world_questions[:8], FEW) != responses


def test_an_adapter_that_learns_a_prompt_is_an_error(
    build: Callable[[str], Any], tokenizer: Any, world_questions: list[Question]
):
    adapted = get_peft_model(build("llama"), PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4))
    with pytest.raises(
        ValueError,
        match=r"learns a prompt, and this prompt would be ignored here\. Use an adapter that changes the weights",
    ):
        generate_responses(adapted, tokenizer, world_questions, FEW)


def test_generate_with_our_random_numbers_gives_our_samples(
    model: Any, tokenizer: Any, world_questions: list[Question], expected: list[Responses]
):
    prompts = question_prompts(tokenizer, world_questions[:8], shots=FEW.shots, prompts=FEW.prompts, seed=FEW.seed)
    prompt, sampler = prompts[3], SampleRandom(FEW.seed, prompts[3].question.id, prompts[3].number, 2)
    length, line = len(prompt.ids), StopTokens(tokenizer)

    def draw(ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        likely = (scores / FEW.temperature).where(scores >= scores.topk(FEW.top_k).values[:, -1:], -torch.inf)
        token = int((likely.softmax(-1).cumsum(-1) <= sampler[ids.shape[1] - length]).sum())
        return torch.full_like(scores, -torch.inf).index_fill(1, torch.tensor([token]), 0.0)

    ids = torch.tensor([prompt.ids])
    config = GenerationConfig(max_new_tokens=MOST, eos_token_id=tokenizer.eos_token_id, pad_token_id=0)
    written = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        generation_config=config,
        logits_processor=LogitsProcessorList([draw]),
    )[0, length:].tolist()
    assert expected[1].sampled[1][2] == tokenizer.decode(first_line(written, line), skip_special_tokens=True)


def test_end_tokens_of_the_generation_config_end_a_response(
    build: Callable[[str], Any], tokenizer: Any, world_questions: list[Question]
):
    model = build("llama")
    settings = GenerationSettings(max_new_tokens=MOST)
    before = generate_responses(model, tokenizer, world_questions, settings)
    first = [tokenizer(a.greedy[0], add_special_tokens=False)["input_ids"][:1] for a in before]
    turn = next(ids[0] for ids in first if ids and not StopTokens(tokenizer).line_break[ids[0]])
    model.generation_config.eos_token_id = [tokenizer.eos_token_id, turn]
    after = generate_responses(model, tokenizer, world_questions, settings)
    assert next(a.greedy[0] for a, ids in zip(after, first, strict=True) if ids == [turn]) == ""


# Memory


class Short:
    """Runs out of memory on a batch of more than `rows` rows."""

    def __init__(self, model: Any, rows: int) -> None:
        self.tried: list[int] = []

        def forward(module: Any, args: Any, kwargs: Any) -> None:
            self.tried.append(len(kwargs["input_ids"]))
            if self.tried[-1] > rows:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")

        self.handle = model.register_forward_pre_hook(forward, with_kwargs=True)


def test_out_of_memory_halves_the_batch_and_changes_no_response(
    build: Callable[[str], Any],
    tokenizer: Any,
    world_questions: list[Question],
    expected: list[Responses],
    caplog: pytest.LogCaptureFixture,
):
    model = build("llama")
    short = Short(model, 5)
    with caplog.at_level(logging.WARNING, "hf_knowlearn"):
        assert generate_responses(model, tokenizer, world_questions[:8], replace(FEW, batch_size=64)) == expected
    assert [record.getMessage().rpartition(" ")[2] for record in caplog.records] == ["32.", "16.", "8.", "4."]
    assert max(short.tried[-20:]) <= 4


def test_out_of_memory_with_one_row_is_an_error_with_the_fix(
    build: Callable[[str], Any], tokenizer: Any, world_questions: list[Question]
):
    model = build("llama")
    Short(model, 0)
    with pytest.raises(MemoryError, match=r"one row does not fit .*out of memory.* Use fewer shots .* 4 bits"):
        generate_responses(model, tokenizer, world_questions, FEW)


def test_another_error_is_raised_unchanged():
    def work(batch: list[int], size: int) -> list[int]:
        raise RuntimeError("size mismatch")

    with pytest.raises(RuntimeError, match="size mismatch"):
        run_batches([0, 1], 2, work)


# Files


def test_the_answer_cache_has_a_header_and_all_responses(
    model: Any, tokenizer: Any, world_questions: list[Question], expected: list[Responses], tmp_path: Path
):
    file = tmp_path / "deep" / "answers.jsonl"
    assert generate_responses(model, tokenizer, world_questions[:8], FEW, answer_cache=file) == expected
    header, *lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert header["settings"]["samples"] == 5
    assert header["weights"] == weights_fingerprint(model)
    assert [(line["id"], line["prompt"]) for line in lines] == [(q.id, n) for q in world_questions[:8] for n in (0, 1)]
    assert [line["greedy"] for line in lines[::2]] == [a.greedy[0] for a in expected]
    assert [tuple(line["sampled"]) for line in lines[1::2]] == [a.sampled[1] for a in expected]
    assert [line["ended"] for line in lines[::2]] == [a.ended[0] for a in expected]
    assert [path.name for path in file.parent.iterdir()] == ["answers.jsonl"]


def test_an_interrupted_run_continues_to_the_same_responses(
    build: Callable[[str], Any],
    tokenizer: Any,
    world_questions: list[Question],
    expected: list[Responses],
    tmp_path: Path,
):
    model, file = build("llama"), tmp_path / "answers.jsonl"
    calls = 0

    def kill(*_: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 60:
            raise KeyboardInterrupt

    handle = model.register_forward_pre_hook(kill)
    with pytest.raises(KeyboardInterrupt):
        generate_responses(model, tokenizer, world_questions[:8], replace(FEW, batch_size=4), answer_cache=file)
    handle.remove()
    part = tmp_path / "answers.jsonl.part0"
    there = part.read_text(encoding="utf-8").splitlines()
    assert 1 < len(there) < 17
    assert not file.exists()
    part.write_bytes(part.read_bytes()[:-7])  # the crash tore the last line
    rows: list[int] = []
    model.model.embed_tokens.register_forward_hook(lambda module, inputs, out: rows.append(inputs[0].numel()))
    assert (
        generate_responses(model, tokenizer, world_questions[:8], replace(FEW, batch_size=7), answer_cache=file)
        == expected
    )
    assert len(file.read_text(encoding="utf-8").splitlines()) == 17
    assert not part.exists()
    rows.clear()
    assert generate_responses(model, tokenizer, world_questions[:8], FEW, answer_cache=file) == expected
    assert rows == []  # all of it was there


def test_parts_of_more_processes_are_used(
    build: Callable[[str], Any],
    tokenizer: Any,
    world_questions: list[Question],
    expected: list[Responses],
    tmp_path: Path,
):
    model, file = build("llama"), tmp_path / "answers.jsonl"
    generate_responses(model, tokenizer, world_questions[:8], FEW, answer_cache=file)
    header, *lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    file.unlink()
    for rank in range(3):
        part = tmp_path / f"answers.jsonl.part{rank}"
        part.write_text("".join([header, *lines[rank:15:3]]), encoding="utf-8")
    jobs: list[int] = []
    model.register_forward_pre_hook(
        lambda module, args, kwargs: jobs.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    assert generate_responses(model, tokenizer, world_questions[:8], FEW, answer_cache=file) == expected
    assert jobs[0] == 1  # one prompt was left
    assert [path.name for path in tmp_path.iterdir()] == ["answers.jsonl"]


def test_a_cache_of_other_settings_or_weights_is_an_error_and_is_not_changed(
    build: Callable[[str], Any], tokenizer: Any, world_questions: list[Question], tmp_path: Path
):
    model, file = build("llama"), tmp_path / "answers.jsonl"
    generate_responses(model, tokenizer, world_questions[:8], FEW, answer_cache=file)
    there = file.read_bytes()
    with pytest.raises(ValueError, match=r"other prompts or settings:\n  settings: .*'samples': 5.*'samples': 4"):
        generate_responses(model, tokenizer, world_questions[:8], replace(FEW, samples=4), answer_cache=file)
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight[0, 0] += 0.1
    with pytest.raises(ValueError, match=r"  weights: '\w+' in the file, '\w+' now\nChoose another file, or delete"):
        generate_responses(model, tokenizer, world_questions[:8], FEW, answer_cache=file)
    (tmp_path / "notes.jsonl").write_text('{"a": 1}\n{"b": 2}\n', encoding="utf-8")
    with pytest.raises(ValueError, match=r"notes.jsonl' is not an answer cache .*\. Choose another file"):
        generate_responses(model, tokenizer, world_questions[:8], FEW, answer_cache=tmp_path / "notes.jsonl")
    assert file.read_bytes() == there
    assert len(list(tmp_path.iterdir())) == 2


# Errors


def test_all_problems_of_the_settings_are_in_one_error():
    with pytest.raises(ValueError, match="shots=-1") as error:
        GenerationSettings(
            shots=-1, samples=1.5, temperature=0, template="chatty", batch_size=True, seed="x", prompts=3
        )  # type: ignore[arg-type]
    for words in (
        "samples=1.5: give an integer of at least 0",
        "temperature=0:",
        "template='chatty': choose from auto",
        "batch_size=True",
        "seed='x'",
    ):
        assert words in str(error.value)
    with pytest.raises(ValueError, match="prompts=3 with shots=0: all prompts of a question would be equal"):
        GenerationSettings(prompts=3)


def test_repeated_question_ids_are_an_error(model: Any, tokenizer: Any, world_questions: list[Question]):
    with pytest.raises(ValueError, match=r"1 question id occurs more than once: 'person-000000/employer/0'\. Give"):
        generate_responses(model, tokenizer, [world_questions[0], *world_questions], FEW)


def test_a_question_with_several_long_prompts_is_listed_once(
    model: Any, tokenizer: Any, world_questions: list[Question]
):
    long = Question("far too long", "Tell me, please: " * 120, ("x",), relation="school")
    with pytest.raises(
        ValueError,
        match=r"1 question, together with 10 new tokens, exceed .*: 'far too long' \([\d,]+ tokens\).*fewer shots",
    ):
        generate_responses(model, tokenizer, [*world_questions, long], FEW, pool=world_questions)


def test_no_questions_give_no_responses(model: Any, tokenizer: Any, tmp_path: Path):
    assert generate_responses(model, tokenizer, [], FEW, answer_cache=tmp_path / "a.jsonl") == []


def test_a_tokenizer_needs_neither_a_padding_nor_an_end_token(
    model: Any, tokenizer: Any, world_questions: list[Question], expected: list[Responses]
):
    import copy

    bare = copy.deepcopy(tokenizer)
    bare.pad_token = bare.eos_token
    assert generate_responses(model, bare, world_questions[:8], FEW) == expected
    bare.pad_token = bare.eos_token = None
    assert (
        generate_responses(model, bare, world_questions[:8], FEW) == expected
    )  # the model's own settings name the end


# The decoder


def test_rows_with_a_shared_prefix_have_the_logits_of_a_plain_forward_pass(
    model: Any, tokenizer: Any, world_questions: list[Question]
):
    prompts = question_prompts(tokenizer, world_questions, shots=3, seed=5)
    rows, keys = [list(p.ids) for p in prompts], [p.prefix_key for p in prompts]
    decoder = Decoder(model, 0)
    decoder.find_prefixes(rows, keys)
    assert decoder.prefix_lengths
    here = [i for i, family in enumerate(keys) if family in decoder.prefix_lengths]
    rows, keys = [rows[i] for i in here], [keys[i] for i in here]
    assert len(set(keys)) > 1
    with torch.no_grad():
        decoder.prefill_prefixes(dict(zip(keys, rows, strict=True)), 4)
        logits, mask, cache = decoder.prefill(rows, keys, keep=2)
        assert mask.sum(1).tolist() == [len(row) for row in rows]
        for row, ours in zip(rows, logits, strict=True):
            torch.testing.assert_close(ours, model(torch.tensor([row])).logits[0, -2:], rtol=1e-5, atol=1e-5)
    assert cache.get_seq_length() == max(map(len, rows))


def test_equal_rows_share_all_tokens_except_the_last(model: Any):
    decoder = Decoder(model, 0)
    row = list(range(5, 45))
    decoder.find_prefixes([row, row, row[:20], [1, 2]], [("a",), ("a",), ("b",), ("b",)])
    assert decoder.prefix_lengths == {("a",): 39}


def test_a_job_needs_no_greedy_response(model: Any, tokenizer: Any):
    decoder = Decoder(model, 0, StopTokens(tokenizer), GenerationSettings(max_new_tokens=4, temperature=0.8, top_k=20))
    samplers = (SampleRandom(0, "q", 0, 0), SampleRandom(0, "q", 0, 1))
    with torch.no_grad():
        both = decoder.decode([GenerationJob([5, 6, 7], ("",), (None, *samplers))], 8)
        only = decoder.decode([GenerationJob([5, 6, 7], ("",), samplers)], 8)
    assert only == [both[0][1:]]


def test_assigned_rows_overwrite_no_parent_of_another_row():
    draw = np.random.default_rng(0)
    for _ in range(200):
        width = int(draw.integers(1, 9))
        parents = np.sort(draw.integers(0, width, int(draw.integers(1, 12))))
        found = assign_rows(parents)
        assert sorted(found) == list(range(len(parents)))
        written = {place for place, parent in zip(found, parents, strict=True) if place != parent}
        assert not written & set(parents)


def test_rearranged_rows_equal_their_parents_and_can_grow():
    torch.manual_seed(0)
    for parents in ([0, 1, 2], [2, 1], [0, 1, 2, 1, 1, 0, 2, 2], [1]):
        layer = PreallocatedLayer()
        keys, values = torch.randn(3, 2, 5, 4), torch.randn(3, 2, 5, 6)
        layer.update(keys, values)
        layer.rearrange_rows(torch.tensor(parents))
        more = torch.randn(len(parents), 2, 40, 4), torch.randn(len(parents), 2, 40, 6)
        for found, old, new in zip(layer.update(*more), (keys, values), more, strict=True):
            assert torch.equal(found, torch.cat([old[parents], new], dim=2))

"""All ways to ask, against `generate` and a plain loop; and that nothing but seed and ids changes an answer."""

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
from hf_knowlearn.generation.ask import GenerationSettings, Responses, generate_responses
from hf_knowlearn.generation.batching import in_batches
from hf_knowlearn.generation.decoding import Decoder, Ends, Job, RoomyLayer, places
from hf_knowlearn.generation.models import fingerprint
from hf_knowlearn.generation.sampling import SampleRandom
from hf_knowlearn.prompts.questions import question_prompts

from .conftest import MODELS

MOST = 10
FEW = GenerationSettings(
    shots=3, prompts=2, samples=5, temperature=0.8, top_k=20, max_new_tokens=MOST, batch_size=16, seed=5
)


@torch.no_grad()
def plainly(model: Any, tokenizer: Any, questions: list[Question], asking: GenerationSettings) -> list[Responses]:
    """Every answer by itself: the whole prompt at every token, no cache, no padding, a loop over the tokens' ids."""
    ends = Ends(tokenizer)
    found = []
    prompts = question_prompts(
        tokenizer, questions, asking.template, asking.shots, asking.prompts, asking.seed, asking.instruction
    )
    for question in questions:
        of_it = []
        for prompt in prompts:
            if prompt.question.id != question.id:
                continue
            noises = [
                SampleRandom(asking.seed, question.id, prompt.number, sample) for sample in range(asking.samples)
            ]
            of_it.append([one(model, tokenizer, prompt.ids, noise, asking, ends) for noise in (None, *noises)])
        texts = [[text for text, _ in of_one] for of_one in of_it]
        ended = tuple(of_one[0][1] for of_one in of_it)
        found.append(Responses(question.id, tuple(t[0] for t in texts), tuple(tuple(t[1:]) for t in texts), ended))
    return found


def one(
    model: Any, tokenizer: Any, prompt: Any, noise: SampleRandom | None, asking: GenerationSettings, ends: Ends
) -> tuple[str, str]:
    ended = "cut"
    ids = list(prompt)
    for step in range(asking.max_new_tokens):
        logits = model(torch.tensor([ids]), use_cache=False).logits[0, -1]
        if noise is None:
            ids.append(int(logits.argmax()))
        else:
            border = logits.sort(descending=True).values[asking.top_k - 1]
            shares = [
                p if x >= border else 0.0
                for p, x in zip((logits / asking.temperature).softmax(-1).tolist(), logits.tolist(), strict=True)
            ]
            left = noise[step] * sum(shares)
            token = next(i for i in range(len(shares)) if (left := left - shares[i]) < 0)
            ids.append(token)
        said = ids[len(prompt) :]
        if ends.text[ids[-1]] or (ends.speaks[said].any() and ends.line[ids[-1]]):
            ended = "text" if ends.text[ids[-1]] else "line"
            break
    return tokenizer.decode(ids[len(prompt) :], skip_special_tokens=True), ended


@pytest.fixture(scope="module")
def expected(model: Any, tokenizer: Any, asked: list[Question]) -> list[Responses]:
    answers = plainly(model, tokenizer, asked[:8], FEW)
    texts = [text for a in answers for samples in a.sampled for text in samples]
    assert len(set(texts)) > len(texts) / 2  # they differ
    assert any(text.endswith("\n") for text in texts)
    assert len({how for a in answers for how in a.ended}) > 1
    return answers


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_answers_are_those_of_a_plain_loop_whatever_the_batch(
    model: Any, tokenizer: Any, asked: list[Question], expected: list[Responses], batch_size: int
):
    said = generate_responses(model, tokenizer, asked[:8], replace(FEW, batch_size=batch_size), pool=asked[:8])
    assert said == expected


def test_the_order_of_the_questions_and_their_company_change_no_answer(
    model: Any, tokenizer: Any, asked: list[Question], expected: list[Responses]
):
    backwards = generate_responses(model, tokenizer, asked[7:3:-1], FEW, pool=asked[:8])
    assert backwards == expected[7:3:-1]


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("shots", [0, 3])
def test_greedy_answers_are_those_of_generate(
    build: Callable[[str], Any], tokenizer: Any, asked: list[Question], kind: str, shots: int
):
    model = build(kind)
    prompts = question_prompts(tokenizer, asked, shots=shots)
    line = Ends(tokenizer)
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
    asking = GenerationSettings(shots=shots, max_new_tokens=MOST, batch_size=7)
    said = generate_responses(model, tokenizer, asked, asking)
    assert [answers.greedy[0] for answers in said] == greedy


def first_line(tokens: list[int], ends: Ends) -> list[int]:
    spoke = False
    for place, token in enumerate(tokens):
        spoke = spoke or bool(ends.speaks[token])
        if ends.text[token] or (spoke and ends.line[token]):
            return tokens[: place + 1]
    return tokens


@pytest.mark.parametrize("kind", [kind for kind in MODELS if "window" in kind])
def test_samples_of_a_model_that_forgets_are_those_of_a_plain_loop(
    build: Callable[[str], Any], tokenizer: Any, asked: list[Question], kind: str
):
    model = build(kind)
    asking = replace(FEW, prompts=1, samples=3, batch_size=5)
    assert generate_responses(model, tokenizer, asked[:8], asking) == plainly(model, tokenizer, asked[:8], asking)


def test_samples_differ_by_seed_and_by_sample_and_prompt_number(model: Any, tokenizer: Any, asked: list[Question]):
    one = generate_responses(model, tokenizer, asked, FEW)
    other = generate_responses(model, tokenizer, asked, replace(FEW, seed=6, shots=3))
    assert sum(a.sampled != b.sampled for a, b in zip(one, other, strict=True)) > len(asked) / 2
    fewer = generate_responses(model, tokenizer, asked, replace(FEW, samples=2, prompts=1))
    assert [a.sampled[0][:2] for a in one] == [a.sampled[0] for a in fewer]


def test_what_prompts_and_samples_share_is_read_once(build: Callable[[str], Any], tokenizer: Any):
    model = build("llama")
    asked = [Question(f"q{i}", f"Where is {'x' * i}?", ("Tarn",), relation="place") for i in range(1, 9)]
    pool = [
        Question(f"e{i}", f"Where was {i} born, in which town, please?", ("Ormel",), relation="place")
        for i in range(4)
    ]
    read: list[int] = []
    model.model.embed_tokens.register_forward_hook(lambda module, inputs, out: read.append(inputs[0].numel()))
    asking = GenerationSettings(shots=4, samples=6, temperature=0.01, max_new_tokens=3, batch_size=64)
    generate_responses(model, tokenizer, asked, asking, pool=pool)
    lengths = [len(prompt.ids) for prompt in question_prompts(tokenizer, asked, shots=4, pool=pool)]
    beginning, suffixes, *steps = read
    assert beginning > 0.7 * max(lengths)
    assert suffixes == len(asked) * (max(lengths) - beginning)
    assert steps == [8] * len(steps)  # at this temperature all answers to a prompt agree, and go on as one row
    assert len(steps) <= 2


def test_a_branch_that_splits_is_decoded_in_pieces_no_larger_than_the_batch(
    build: Callable[[str], Any], tokenizer: Any, asked: list[Question]
):
    model = build("llama")
    rows: list[int] = []
    model.model.embed_tokens.register_forward_hook(lambda module, inputs, out: rows.append(len(inputs[0])))
    asking = replace(FEW, samples=30, temperature=5.0, top_k=0, batch_size=8)
    said = generate_responses(model, tokenizer, asked[:8], asking)
    assert max(rows) == 8
    assert said == generate_responses(model, tokenizer, asked[:8], replace(asking, batch_size=500))


def test_a_model_within_an_adapter_is_asked_with_it(
    build: Callable[[str], Any], tokenizer: Any, asked: list[Question]
):
    adapted = get_peft_model(build("llama"), LoraConfig(target_modules="all-linear", init_lora_weights=False)).eval()
    said = generate_responses(adapted, tokenizer, asked[:8], FEW)
    assert said == plainly(adapted, tokenizer, asked[:8], FEW)
    with adapted.disable_adapter():
        assert generate_responses(adapted, tokenizer, asked[:8], FEW) != said


def test_an_adapter_that_learns_a_prompt_is_refused(
    build: Callable[[str], Any], tokenizer: Any, asked: list[Question]
):
    adapted = get_peft_model(build("llama"), PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4))
    with pytest.raises(
        ValueError, match="learns a prompt, which asking would leave out: use an adapter of the weights"
    ):
        generate_responses(adapted, tokenizer, asked, FEW)


def test_generate_given_our_draws_says_what_our_samples_say(
    model: Any, tokenizer: Any, asked: list[Question], expected: list[Responses]
):
    prompts = question_prompts(tokenizer, asked[:8], shots=FEW.shots, prompts=FEW.prompts, seed=FEW.seed)
    prompt, noise = prompts[3], SampleRandom(FEW.seed, prompts[3].question.id, prompts[3].number, 2)
    length, line = len(prompt.ids), Ends(tokenizer)

    def draw(ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        kept = (scores / FEW.temperature).where(scores >= scores.topk(FEW.top_k).values[:, -1:], -torch.inf)
        token = int((kept.softmax(-1).cumsum(-1) <= noise[ids.shape[1] - length]).sum())
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


def test_a_chat_models_other_ends_of_turn_end_an_answer_too(
    build: Callable[[str], Any], tokenizer: Any, asked: list[Question]
):
    model = build("llama")
    asking = GenerationSettings(max_new_tokens=MOST)
    before = generate_responses(model, tokenizer, asked, asking)
    first = [tokenizer(a.greedy[0], add_special_tokens=False)["input_ids"][:1] for a in before]
    turn = next(ids[0] for ids in first if ids and not Ends(tokenizer).line[ids[0]])
    model.generation_config.eos_token_id = [tokenizer.eos_token_id, turn]
    after = generate_responses(model, tokenizer, asked, asking)
    assert next(a.greedy[0] for a, ids in zip(after, first, strict=True) if ids == [turn]) == ""


# Memory


class Short:
    """Runs out of memory on a batch of more rows than it has room for."""

    def __init__(self, model: Any, room: int) -> None:
        self.tried: list[int] = []

        def refuse(module: Any, args: Any, kwargs: Any) -> None:
            self.tried.append(len(kwargs["input_ids"]))
            if self.tried[-1] > room:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")

        self.handle = model.register_forward_pre_hook(refuse, with_kwargs=True)


def test_where_memory_runs_out_batches_get_smaller_and_answers_stay(
    build: Callable[[str], Any],
    tokenizer: Any,
    asked: list[Question],
    expected: list[Responses],
    caplog: pytest.LogCaptureFixture,
):
    model = build("llama")
    short = Short(model, 5)
    with caplog.at_level(logging.WARNING, "hf_knowlearn"):
        assert generate_responses(model, tokenizer, asked[:8], replace(FEW, batch_size=64)) == expected
    assert [record.getMessage().rpartition(" ")[2] for record in caplog.records] == ["32.", "16.", "8.", "4."]
    assert max(short.tried[-20:]) <= 4


def test_where_not_even_one_row_fits_it_is_said_what_to_do(
    build: Callable[[str], Any], tokenizer: Any, asked: list[Question]
):
    model = build("llama")
    Short(model, 0)
    with pytest.raises(MemoryError, match=r"not hold one question .*out of memory.* Ask with fewer shots .* 4-bit"):
        generate_responses(model, tokenizer, asked, FEW)


def test_another_error_goes_through():
    def work(batch: list[int], size: int) -> None:
        raise RuntimeError("size mismatch")

    with pytest.raises(RuntimeError, match="size mismatch"):
        in_batches([0, 1], 2, [0, 0], work, logging.getLogger("x"))


# Files


def test_answers_stand_in_the_file_under_what_they_depend_on(
    model: Any, tokenizer: Any, asked: list[Question], expected: list[Responses], tmp_path: Path
):
    file = tmp_path / "deep" / "answers.jsonl"
    assert generate_responses(model, tokenizer, asked[:8], FEW, answers_file=file) == expected
    header, *lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert header["asking"]["samples"] == 5
    assert header["weights"] == fingerprint(model)
    assert [(line["id"], line["prompt"]) for line in lines] == [(q.id, n) for q in asked[:8] for n in (0, 1)]
    assert [line["greedy"] for line in lines[::2]] == [a.greedy[0] for a in expected]
    assert [tuple(line["sampled"]) for line in lines[1::2]] == [a.sampled[1] for a in expected]
    assert [line["ended"] for line in lines[::2]] == [a.ended[0] for a in expected]
    assert [path.name for path in file.parent.iterdir()] == ["answers.jsonl"]


def test_a_run_that_was_killed_goes_on_and_says_the_same(
    build: Callable[[str], Any],
    tokenizer: Any,
    asked: list[Question],
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
        generate_responses(model, tokenizer, asked[:8], replace(FEW, batch_size=4), answers_file=file)
    handle.remove()
    part = tmp_path / "answers.jsonl.part0"
    there = part.read_text(encoding="utf-8").splitlines()
    assert 1 < len(there) < 17
    assert not file.exists()
    part.write_bytes(part.read_bytes()[:-7])  # the crash tore the last line
    rows: list[int] = []
    model.model.embed_tokens.register_forward_hook(lambda module, inputs, out: rows.append(inputs[0].numel()))
    assert generate_responses(model, tokenizer, asked[:8], replace(FEW, batch_size=7), answers_file=file) == expected
    assert len(file.read_text(encoding="utf-8").splitlines()) == 17
    assert not part.exists()
    rows.clear()
    assert generate_responses(model, tokenizer, asked[:8], FEW, answers_file=file) == expected
    assert rows == []  # all of it was there


def test_parts_of_more_processes_than_now_are_taken_up(
    build: Callable[[str], Any], tokenizer: Any, asked: list[Question], expected: list[Responses], tmp_path: Path
):
    model, file = build("llama"), tmp_path / "answers.jsonl"
    generate_responses(model, tokenizer, asked[:8], FEW, answers_file=file)
    header, *lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    file.unlink()
    for rank in range(3):
        part = tmp_path / f"answers.jsonl.part{rank}"
        part.write_text("".join([header, *lines[rank:15:3]]), encoding="utf-8")
    jobs: list[int] = []
    model.register_forward_pre_hook(
        lambda module, args, kwargs: jobs.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    assert generate_responses(model, tokenizer, asked[:8], FEW, answers_file=file) == expected
    assert jobs[0] == 1  # one prompt was left
    assert [path.name for path in tmp_path.iterdir()] == ["answers.jsonl"]


def test_a_file_of_another_asking_or_other_weights_is_refused_and_left(
    build: Callable[[str], Any], tokenizer: Any, asked: list[Question], tmp_path: Path
):
    model, file = build("llama"), tmp_path / "answers.jsonl"
    generate_responses(model, tokenizer, asked[:8], FEW, answers_file=file)
    there = file.read_bytes()
    with pytest.raises(ValueError, match=r"of another asking. These differ:\n  asking: .*'samples': 5.*'samples': 4"):
        generate_responses(model, tokenizer, asked[:8], replace(FEW, samples=4), answers_file=file)
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight[0, 0] += 0.1
    with pytest.raises(ValueError, match=r"  weights: '\w+' there, '\w+' now\nChoose another file, or delete"):
        generate_responses(model, tokenizer, asked[:8], FEW, answers_file=file)
    (tmp_path / "notes.jsonl").write_text('{"a": 1}\n{"b": 2}\n', encoding="utf-8")
    with pytest.raises(ValueError, match=r"notes.jsonl' is no transcript of answers .*: choose another file"):
        generate_responses(model, tokenizer, asked[:8], FEW, answers_file=tmp_path / "notes.jsonl")
    assert file.read_bytes() == there
    assert len(list(tmp_path.iterdir())) == 2


# Refusals


def test_everything_wrong_with_an_asking_is_said_at_once():
    with pytest.raises(ValueError, match="shots=-1") as refused:
        GenerationSettings(
            shots=-1, samples=1.5, temperature=0, template="chatty", batch_size=True, seed="x", prompts=3
        )  # type: ignore[arg-type]
    for words in (
        "samples=1.5: give a whole number from 0 up",
        "temperature=0:",
        "template='chatty': choose from plain",
        "batch_size=True",
        "seed='x'",
    ):
        assert words in str(refused.value)
    with pytest.raises(ValueError, match="prompts=3 without shots are one and the same prompt"):
        GenerationSettings(prompts=3)


def test_questions_of_one_id_are_refused(model: Any, tokenizer: Any, asked: list[Question]):
    with pytest.raises(ValueError, match="1 question ids stand more than once, such as 'person-000000/employer/0'"):
        generate_responses(model, tokenizer, [asked[0], *asked], FEW)


def test_few_shot_questions_that_leave_no_room_are_named_once(model: Any, tokenizer: Any, asked: list[Question]):
    long = Question("far too long", "Tell me, please: " * 120, ("x",), relation="school")
    with pytest.raises(
        ValueError, match=r"1 questions leave no room for 10 tokens .*: 'far too long' \(\d+ tokens\).*fewer shots"
    ):
        generate_responses(model, tokenizer, [*asked, long], FEW, pool=asked)


def test_no_questions_have_no_answers(model: Any, tokenizer: Any, tmp_path: Path):
    assert generate_responses(model, tokenizer, [], FEW, answers_file=tmp_path / "a.jsonl") == []


def test_a_tokenizer_without_padding_or_end_will_do(
    model: Any, tokenizer: Any, asked: list[Question], expected: list[Responses]
):
    import copy

    bare = copy.deepcopy(tokenizer)
    bare.pad_token = bare.eos_token
    assert generate_responses(model, bare, asked[:8], FEW) == expected
    bare.pad_token = bare.eos_token = None
    assert generate_responses(model, bare, asked[:8], FEW) == expected  # the model's own settings name the end


# The engine's own promises


def test_rows_that_share_nothing_and_rows_that_do_are_read_alike(model: Any, tokenizer: Any, asked: list[Question]):
    prompts = question_prompts(tokenizer, asked, shots=3, seed=5)
    rows, families = [list(p.ids) for p in prompts], [p.family for p in prompts]
    decoder = Decoder(model, 0)
    decoder.share(rows, families)
    assert decoder.shared
    here = [i for i, family in enumerate(families) if family in decoder.shared]
    rows, families = [rows[i] for i in here], [families[i] for i in here]
    assert len(set(families)) > 1
    with torch.no_grad():
        decoder.read_beginnings(dict(zip(families, rows, strict=True)), 4)
        logits, mask, cache = decoder.prefill(rows, families, keep=2)
        assert mask.sum(1).tolist() == [len(row) for row in rows]
        for row, ours in zip(rows, logits, strict=True):
            torch.testing.assert_close(ours, model(torch.tensor([row])).logits[0, -2:], rtol=1e-5, atol=1e-5)
    assert cache.get_seq_length() == max(map(len, rows))


def test_a_family_of_one_row_again_and_again_shares_all_but_its_last_token(model: Any):
    decoder = Decoder(model, 0)
    row = list(range(5, 45))
    decoder.share([row, row, row[:20], [1, 2]], [("a",), ("a",), ("b",), ("b",)])
    assert decoder.shared == {("a",): 39}


def test_jobs_without_a_greedy_answer_are_answered_too(model: Any, tokenizer: Any):
    decoder = Decoder(model, 0, Ends(tokenizer), 4, 0.8, 20)
    noises = (SampleRandom(0, "q", 0, 0), SampleRandom(0, "q", 0, 1))
    with torch.no_grad():
        both = decoder.decode([Job([5, 6, 7], ("",), (None, *noises))], 8)
        only = decoder.decode([Job([5, 6, 7], ("",), noises)], 8)
    assert only == [both[0][1:]]


def test_children_stay_with_their_parents_and_none_overwrites_anothers_parent():
    draw = np.random.default_rng(0)
    for _ in range(200):
        width = int(draw.integers(1, 9))
        parents = np.sort(draw.integers(0, width, int(draw.integers(1, 12))))
        found = places(parents)
        assert sorted(found) == list(range(len(parents)))
        written = {place for place, parent in zip(found, parents, strict=True) if place != parent}
        assert not written & set(parents)


def test_rearranged_rows_are_their_parents_and_can_be_written_on():
    torch.manual_seed(0)
    for parents in ([0, 1, 2], [2, 1], [0, 1, 2, 1, 1, 0, 2, 2], [1]):
        layer = RoomyLayer()
        keys, values = torch.randn(3, 2, 5, 4), torch.randn(3, 2, 5, 6)
        layer.update(keys, values)
        layer.rearrange(torch.tensor(parents))
        more = torch.randn(len(parents), 2, 40, 4), torch.randn(len(parents), 2, 40, 6)
        for found, old, new in zip(layer.update(*more), (keys, values), more, strict=True):
            assert torch.equal(found, torch.cat([old[parents], new], dim=2))

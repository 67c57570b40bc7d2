"""Asking: what does the model say, closed book or open, after greedy decoding and in samples?

Recall is asked, not inferred from a loss (arXiv 2309.14316: a text can be memorised and its facts stay out of reach).
The surprising decision: `generate` is not used. A few-shot prompt is mostly what other prompts share, and samples
mostly say what other samples say; both are computed once (`decoding.py`).

A model is whatever is called like a causal language model of transformers. `AutoModelForCausalLM.from_pretrained`
loads a path, the folder of a LoRA adapter, or either in 4-bit (`quantization_config=BitsAndBytesConfig(...)`); one
that is being trained is asked by `callback.RecallCallback`. `VLLM` (`with_vllm.py`) takes a model's place.
"""

import dataclasses
import hashlib
import json
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from tqdm.auto import tqdm

from hf_knowlearn.documents import Document, Question
from hf_knowlearn.generation.answer_cache import AnswerCache, Key, Reply
from hf_knowlearn.generation.batching import in_batches
from hf_knowlearn.generation.decoding import Decoder, Ends, Job, Written
from hf_knowlearn.generation.models import check_model, ends_of, fingerprint, in_eval_mode, pad_id
from hf_knowlearn.generation.sampling import SampleRandom
from hf_knowlearn.generation.vllm_engine import VLLM, refuse_draws
from hf_knowlearn.prompts.limits import check_prompt_lengths
from hf_knowlearn.prompts.questions import Prompt, question_prompts
from hf_knowlearn.prompts.templates import PLAIN, TEMPLATES, end_of_turn, resolve_template

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

TRANSFORMERS, WITH_VLLM = "transformers", "vllm"
ENGINES = (TRANSFORMERS, WITH_VLLM)


logger = logging.getLogger(__name__)

Answered = Callable[[Sequence[int], Sequence[Sequence[Written]]], None]  # takes places of jobs, and what was said


@dataclass(frozen=True)
class GenerationSettings:
    """How questions are asked: everything that an answer depends on but the model, and `batch_size`, which none does.

    Args:
        shots: answered questions of the same relation that go before.
        prompts: how many prompts a question is asked with, each with examples of its own.
        samples: sampled answers to each prompt, beside the greedy one.
        temperature, top_k: of the samples; top_k=0 draws from all tokens. (0.5 and 40 are those of SliCK, arXiv
            2405.05904.)
        template: "plain" ("Question: … Answer:"), "chat" (the tokenizer's), or "auto" (chat where it has one).
        instruction: what stands before everything else, such as "Answer in a few words."
        max_new_tokens: an answer is cut here, if the model ends neither its line nor its text before.
        batch_size: rows computed at once, by each process.
        seed: of the examples and of the samples.
        open_book: put the question's document before it.
    """

    shots: int = 0
    prompts: int = 1
    samples: int = 0
    temperature: float = 0.5
    top_k: int = 40
    template: str = PLAIN
    instruction: str = ""
    max_new_tokens: int = 32
    batch_size: int = 128
    seed: int = 0
    open_book: bool = False

    def __post_init__(self) -> None:
        if wrong := list(self._wrong()):
            raise ValueError("\n".join(wrong))

    def _wrong(self) -> Iterator[str]:
        least = {"shots": 0, "prompts": 1, "samples": 0, "top_k": 0, "max_new_tokens": 1, "batch_size": 1, "seed": 0}
        for name, low in least.items():
            value = getattr(self, name)
            if type(value) is not int or value < low:  # a bool is an int to isinstance
                yield f"{name}={value!r}: give a whole number from {low} up."
        number = type(self.temperature) in (int, float)
        if not (number and 0 < self.temperature < math.inf):
            yield f"temperature={self.temperature!r}: give a number above 0; the greedy answer is always there."
        if self.template not in TEMPLATES:
            yield f"template={self.template!r}: choose from {', '.join(TEMPLATES)}."
        if self.shots == 0 and self.prompts != 1:
            yield f"prompts={self.prompts!r} without shots are one and the same prompt: ask with shots, or prompts=1."


@dataclass(frozen=True)
class Responses:
    """What was said to one question: for each prompt a greedy answer, its samples by their numbers, and how the greedy
    answer ended: with its "line", its "turn" (the chat template's end of one), its "text", or "cut" by us."""

    question_id: str
    greedy: tuple[str, ...]
    sampled: tuple[tuple[str, ...], ...] = ()
    ended: tuple[str, ...] = ()


def ask(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    questions: Sequence[Question],
    batch_size: int = 128,
    max_new_tokens: int = 32,
    progress: str | None = None,
) -> list[str]:
    """The model's answer to each question, in the order of `questions`; each rank of several asks its share.

    Closed book, in the plain form, without examples, greedily; `generate_responses` asks in every other way.

    Args:
        batch_size: questions asked at once, by each process.
        max_new_tokens: an answer is cut here, if the model ends neither its line nor its text before.
        progress: what to write beside the progress bar; None shows no bar.

    Raises:
        ValueError: a question leaves no room for an answer in the model's context, named by its id.
    """
    prompts = question_prompts(tokenizer, questions)
    check_prompt_lengths(model, prompts, max_new_tokens)
    jobs = [Job(prompt.ids, prompt.family) for prompt in prompts]
    found: dict[int, Reply] = {}
    _work(
        model,
        tokenizer,
        jobs,
        GenerationSettings(batch_size=batch_size, max_new_tokens=max_new_tokens),
        progress,
        found.update,
    )
    by_place = dict(gather_object(list(found.items())))
    return [by_place[i].texts[0] for i in range(len(questions))]


def generate_responses(
    model: "PreTrainedModel | VLLM | str | PathLike[str]",
    tokenizer: "PreTrainedTokenizerBase",
    questions: Sequence[Question],
    asking: GenerationSettings | None = None,
    *,
    engine: str = TRANSFORMERS,
    pool: Iterable[Question] | None = None,
    documents: Iterable[Document] | None = None,
    answers_file: str | PathLike[str] | None = None,
    progress: str | None = None,
) -> list[Responses]:
    """All answers to each question, in the order of `questions`; each rank of several asks its share.

    A sampled answer is a function of the weights, the prompt and (seed, question id, prompt number, sample number). It
    depends on the batch, the order and the ranks as far as the last bits of the logits do: where a number drawn lies
    within about 1e-6 of a border between two tokens (fp32; some 1e-2 in bf16), another batch may choose the other.

    Args:
        model: one of transformers, or a path (a model's or an adapter's folder) or name, which `engine` loads for this
            call. A `VLLM` that is loaded already is asked as often as wanted.
        engine: "transformers" or "vllm". Both ask the same prompts and end answers alike, so at one dtype their greedy
            answers agree up to the last bits of the logits; samples are other draws.
        pool: where examples are drawn from; `questions` if None.
        documents: what is open where `asking.open_book`; parts of one document are put together.
        answers_file: a JSONL, in a folder that all processes see. Answers are appended to parts beside it as they
            come, and taken from there if asked again after an interruption.
        progress: what to write beside the progress bar; None shows no bar.

    Raises:
        ValueError: whatever is wrong with the questions, each named by its id, with the file, or with what the engine
            is to load; before anything is asked.
        MemoryError: the memory does not hold a single prompt.
    """
    asking = asking or GenerationSettings()
    model = _loaded(model, engine)
    if isinstance(model, VLLM):
        refuse_draws(asking)
    prompts = build_prompts(model, tokenizer, questions, asking, pool, documents)
    keys: list[Key] = [(prompt.question.id, prompt.number) for prompt in prompts]
    state = PartialState()
    transcript = None
    if answers_file is not None:
        header = _header(model, tokenizer, prompts, asking)
        transcript = AnswerCache(Path(answers_file), header, state.process_index)
    there = dict(transcript.there) if transcript else {}
    left = [(key, prompt) for key, prompt in zip(keys, prompts, strict=True) if key not in there]
    if left:
        draws = [_draws(asking, key) for key, _ in left]
        jobs = [Job(prompt.ids, prompt.family, of_it) for (_, prompt), of_it in zip(left, draws, strict=True)]
        found: dict[Key, Reply] = {}

        def keep(answers: dict[int, Reply]) -> None:
            new = {left[i][0]: reply for i, reply in answers.items()}
            found.update(new)
            if transcript:
                transcript.append(new)

        state.wait_for_everyone()  # each has read what is there before any writes
        with transcript or nullcontext():
            _work(model, tokenizer, jobs, asking, progress, keep)
        there.update(gather_object(list(found.items())))
    if transcript and state.is_main_process:
        transcript.finish({key: there[key] for key in keys})
    state.wait_for_everyone()
    each = [[there[key] for key in keys[i : i + asking.prompts]] for i in range(0, len(keys), asking.prompts)]
    return [
        Responses(
            question.id,
            tuple(reply.texts[0] for reply in of_it),
            tuple(tuple(reply.texts[1:]) for reply in of_it),
            tuple(reply.ended for reply in of_it),
        )
        for question, of_it in zip(questions, each, strict=True)
    ]


def _loaded(model: "PreTrainedModel | VLLM | str | PathLike[str]", engine: str) -> "PreTrainedModel | VLLM":
    if engine not in ENGINES:
        raise ValueError(f"engine={engine!r}: choose from {', '.join(ENGINES)}.")
    if isinstance(model, VLLM):
        return model
    if engine == WITH_VLLM:
        return VLLM(model)
    if isinstance(model, str | PathLike):
        from transformers import AutoModelForCausalLM

        return AutoModelForCausalLM.from_pretrained(model)
    return model


def build_prompts(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    questions: Sequence[Question],
    asking: GenerationSettings,
    pool: Iterable[Question] | None,
    documents: Iterable[Document] | None,
) -> list[Prompt]:
    """The prompts of `asking`; refused, the questions named by their ids, if they can't be asked so."""
    counts: dict[str, int] = {}
    for question in questions:
        counts[question.id] = counts.get(question.id, 0) + 1
    if twice := [id for id, count in counts.items() if count > 1]:
        raise ValueError(
            f"{len(twice)} question ids stand more than once, such as {twice[0]!r}: samples and files tell questions"
            " apart by their ids. Give each one of its own."
        )
    if asking.open_book and documents is None:
        raise ValueError("open_book=True, and no documents are given: give documents, or ask closed book.")
    prompts = question_prompts(
        tokenizer,
        questions,
        template=asking.template,
        shots=asking.shots,
        prompts=asking.prompts,
        seed=asking.seed,
        instruction=asking.instruction,
        pool=pool,
        documents=documents if asking.open_book else None,
    )
    check_prompt_lengths(model, prompts, asking.max_new_tokens)
    return prompts


def _draws(asking: GenerationSettings, key: Key) -> tuple[SampleRandom | None, ...]:
    return (None, *(SampleRandom(asking.seed, *key, sample) for sample in range(asking.samples)))


def _header(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    prompts: Sequence[Prompt],
    asking: GenerationSettings,
) -> dict[str, Any]:
    """All that the answers depend on, for a transcript's first line."""
    settings = dataclasses.asdict(asking)
    del settings["batch_size"]
    settings["template"] = resolve_template(tokenizer, asking.template)
    asked = json.dumps([(prompt.question.id, prompt.number, prompt.text, prompt.ids) for prompt in prompts])
    return {
        "asking": settings,
        "model": model.config.name_or_path,
        "weights": fingerprint(model),
        "prompts": hashlib.blake2b(asked.encode(), digest_size=8).hexdigest(),
        **({"engine": WITH_VLLM, "dtype": model.dtype} if isinstance(model, VLLM) else {}),
    }


def _work(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    jobs: Sequence[Job],
    asking: GenerationSettings,
    progress: str | None,
    keep: Callable[[dict[int, Reply]], None],
) -> None:
    """Answer this rank's share of the jobs, handing the replies of each batch to `keep` by the jobs' places."""
    if not jobs:
        return
    check_model(model)
    turn = turn_ends(tokenizer, asking.template)
    ends = ends_of(model, tokenizer)
    if turn is not None:
        ends.text[turn] = True

    def answered(batch: Sequence[int], said: Sequence[Sequence[Written]]) -> None:
        keep(
            {
                i: Reply(_texts(tokenizer, [one.tokens for one in of_it]), _ended(of_it[0], ends, turn))
                for i, of_it in zip(batch, said, strict=True)
            }
        )

    if isinstance(model, VLLM):
        _work_by_vllm(model, ends, jobs, asking, progress, answered)
        return
    decoder = Decoder(model, pad_id(tokenizer), ends, asking.max_new_tokens, asking.temperature, asking.top_k)
    with torch.no_grad(), in_eval_mode(model):
        _work_by_transformers(decoder, jobs, asking, progress, answered)


def _work_by_vllm(
    model: VLLM, ends: Ends, jobs: Sequence[Job], asking: GenerationSettings, progress: str | None, answered: Answered
) -> None:
    order = sorted(range(len(jobs)), key=lambda i: (jobs[i].family, i))
    with _bar(len(order), progress) as bar:
        for start in range(0, len(order), asking.batch_size):
            batch = order[start : start + asking.batch_size]
            answered(batch, model.decode([jobs[i] for i in batch], ends, asking))
            bar.update(len(batch))


def _work_by_transformers(
    decoder: Decoder, jobs: Sequence[Job], asking: GenerationSettings, progress: str | None, answered: Answered
) -> None:
    families = [job.family for job in jobs]
    decoder.share([job.ids for job in jobs], families)
    order = in_order([job.ids for job in jobs], families, decoder)
    state, size = PartialState(), asking.batch_size
    shares = [order[i : i + size] for i in range(0, len(order), size)][state.process_index :: state.num_processes]
    mine = [i for share in shares for i in share]

    def work(batch: list[int], batch_size: int) -> None:
        decoder.read_beginnings({families[i]: jobs[i].ids for i in batch}, batch_size)
        answered(batch, decoder.decode([jobs[i] for i in batch], batch_size))
        bar.update(len(batch))

    with _bar(len(mine), progress) as bar:
        in_batches(mine, size, [family in decoder.shared for family in families], work, logger)


def _bar(total: int, progress: str | None) -> tqdm:
    return tqdm(total=total, desc=progress, unit="q", disable=progress is None or not PartialState().is_main_process)


def turn_ends(tokenizer: "PreTrainedTokenizerBase", template: str) -> int | None:
    """The token that ends a turn where questions are asked in the tokenizer's chat template; else None."""
    return None if resolve_template(tokenizer, template) == PLAIN else end_of_turn(tokenizer)


def _ended(written: Written, ends: Ends, turn: int | None) -> str:
    if written.end is None:
        return "cut"
    if written.end == turn:
        return "turn"
    return "text" if ends.text[written.end] else "line"


def _texts(tokenizer: "PreTrainedTokenizerBase", said: Sequence[Sequence[int]]) -> list[str]:
    different = list(dict.fromkeys(map(tuple, said)))
    texts = tokenizer.batch_decode([list(tokens) for tokens in different], skip_special_tokens=True)
    by_tokens = dict(zip(different, texts, strict=True))
    return [by_tokens[tuple(tokens)] for tokens in said]


def in_order(rows: Sequence[Sequence[int]], families: Sequence[tuple[str, ...]], decoder: Decoder) -> list[int]:
    """Places of the rows such that what shares a beginning, then what is of like length, shares a batch.

    The longest come first: if the memory runs out, it does so at once, and the time left is not told too short.
    """
    return sorted(
        range(len(rows)),
        key=lambda i: (
            families[i] in decoder.shared,
            decoder.shared.get(families[i], 0),
            families[i],
            len(rows[i]),
            i,
        ),
        reverse=True,
    )

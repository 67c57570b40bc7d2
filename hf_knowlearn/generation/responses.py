"""Generates the responses of a model to questions, with or without documents, greedily and by sampling.

Knowledge is measured by responses, not by a loss: a model can memorise a text and still fail to answer questions about
the text (arXiv 2309.14316). The module `decoding` is used instead of `generate` of transformers, because few-shot
prompts and samples share most of their tokens, and `decoding` computes shared tokens only once.
"""

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelerate import PartialState

from hf_knowlearn.counts import number_of
from hf_knowlearn.documents import Document, Question
from hf_knowlearn.generation.answer_cache import AnswerCache, CacheKey, PromptResponses
from hf_knowlearn.generation.causal_lm import check_causal_lm, stop_tokens
from hf_knowlearn.generation.engines import generate
from hf_knowlearn.generation.jobs import GeneratedTokens, GenerationJob
from hf_knowlearn.generation.sampling import SampleRandom
from hf_knowlearn.generation.settings import GenerationSettings
from hf_knowlearn.generation.vllm_engine import VLLM
from hf_knowlearn.models.fingerprints import files_fingerprint, weights_fingerprint
from hf_knowlearn.prompts.examples import list_ids
from hf_knowlearn.prompts.limits import check_context
from hf_knowlearn.prompts.option_names import option
from hf_knowlearn.prompts.questions import Prompt, question_prompts
from hf_knowlearn.prompts.templates import resolve_template, turn_end_token
from hf_knowlearn.prompts.thoughts import decode_without_thoughts

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Save = Callable[[Sequence[int], Sequence[PromptResponses]], None]


@dataclass(frozen=True)
class Responses:
    """All responses to one question.

    Args:
        greedy: The greedy response to each prompt.
        sampled: The sampled responses to each prompt.
        ended: What ended the greedy response to each prompt: "line" (a line break), "turn" (the token that ends an
            assistant turn), "text" (another end token), or "cut" (the limit `max_new_tokens`).
    """

    question_id: str
    greedy: tuple[str, ...]
    sampled: tuple[tuple[str, ...], ...]
    ended: tuple[str, ...]


def ask(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    questions: Sequence[Question],
    batch_size: int = 128,
    max_new_tokens: int = 32,
    progress: str | None = None,
) -> list[str]:
    """Return the greedy response to each question, in the plain template, without documents and examples.

    For other settings, use `generate_responses`. Each process generates its share and returns all responses.

    Args:
        batch_size: The number of questions that each process computes at once.
        max_new_tokens: The largest number of tokens of a response.
        progress: The label of the progress bar. None shows no bar.

    Raises:
        ValueError: A question and its response exceed the model's context. The message lists the ids.

    Example:
        >>> question = Question("q1", "Where does the ferry go?", ("Ormel",))
        >>> ask(model, tokenizer, [question])
        [' Ormel\\n']
    """
    settings = GenerationSettings(batch_size=batch_size, max_new_tokens=max_new_tokens)
    return [one.greedy[0] for one in generate_responses(model, tokenizer, questions, settings, progress=progress)]


def generate_responses(
    model: "PreTrainedModel | VLLM",
    tokenizer: "PreTrainedTokenizerBase",
    questions: Sequence[Question],
    settings: GenerationSettings | None = None,
    *,
    pool: Iterable[Question] | None = None,
    documents: Iterable[Document] | Mapping[str, str] | None = None,
    answer_cache: str | PathLike[str] | None = None,
    progress: str | None = None,
) -> list[Responses]:
    """Return all responses to each question, in the order of `questions`.

    Each process generates its share and returns all responses.

    The random numbers of a sampled response depend only on the seed, the question id, the prompt number and the sample
    number. The batch size, the order of questions and the number of processes change only the last bits of the logits.
    These bits very rarely change a response. They can change it if two tokens are almost equally probable, or if a
    random number is within about 1e-6 (in float32) or 1e-2 (in bfloat16) of the border between two tokens.

    Args:
        model: A causal language model of transformers, which may have a PEFT adapter or 4-bit weights, or a `VLLM`.
            The greedy responses of transformers and of vLLM are equal, apart from the effect of the last bits of the
            logits. The sampled responses differ.
        pool: The questions from which few-shot examples are chosen. None means `questions`.
        documents: The documents of the questions, for `settings.open_book`. The parts of a document are joined. A
            mapping has the text to insert for each question, by the id of the question.
        answer_cache: A JSONL file in a folder that all processes can access. Responses are stored in this folder
            during generation. After an interruption, a repeated call generates only the missing responses.
        progress: The label of the progress bar. None shows no bar.

    Raises:
        ValueError: The questions or the cache are invalid. The message lists the ids of the questions. The error
            occurs before anything is generated.
        MemoryError: A batch of one row does not fit into memory.

    Example:
        >>> settings = GenerationSettings(samples=16, template="auto")
        >>> responses = generate_responses(model, tokenizer, questions, settings)
        >>> responses[0].greedy[0], responses[0].sampled[0][:2]
        (' Ormel\\n', (' Ormel\\n', ' Tarn\\n'))
    """
    settings = settings or GenerationSettings()
    prompts = build_prompts(model, tokenizer, questions, settings, pool, documents)
    respond = partial(_respond, model, tokenizer, settings, progress)
    if answer_cache is None:
        found = respond(prompts)
    else:
        header = _cache_header(model, tokenizer, prompts, settings)
        cache = AnswerCache(Path(answer_cache), header, PartialState().process_index)
        found = _respond_with_cache(respond, prompts, cache)
    by_question = [found[i : i + settings.prompts] for i in range(0, len(found), settings.prompts)]
    return [
        Responses(
            question.id,
            greedy=tuple(one.texts[0] for one in own),
            sampled=tuple(tuple(one.texts[1:]) for one in own),
            ended=tuple(one.ended for one in own),
        )
        for question, own in zip(questions, by_question, strict=True)
    ]


def build_prompts(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    questions: Sequence[Question],
    settings: GenerationSettings,
    pool: Iterable[Question] | None = None,
    documents: Iterable[Document] | Mapping[str, str] | None = None,
    may_be_long: bool = False,
) -> list[Prompt]:
    """Return the prompts of the questions, `settings.prompts` for each question.

    Args:
        may_be_long: Whether a prompt may exceed the model's context.

    Raises:
        ValueError: Two questions have the same id, an example or a document is missing, a text contains control
            tokens, or a prompt is too long.
    """
    counts = Counter(question.id for question in questions)
    if repeated := [id for id, count in counts.items() if count > 1]:
        raise ValueError(
            f"{number_of(len(repeated), 'question id occurs', 'question ids occur')} more than once:"
            f" {list_ids(repeated)}. Give each question its own id."
        )
    if settings.open_book and documents is None:
        raise ValueError(
            f"{option('open_book', True)} needs documents. Pass documents, or use {option('open_book', False)}."
        )
    prompts = question_prompts(
        tokenizer,
        questions,
        template=settings.template,
        shots=settings.shots,
        prompts=settings.prompts,
        seed=settings.seed,
        instruction=settings.instruction,
        pool=pool,
        documents=documents if settings.open_book else None,
    )
    if not may_be_long:
        lengths = ((prompt.question.id, len(prompt.ids) + settings.max_new_tokens) for prompt in prompts)
        check_context(model, lengths, f"{settings.max_new_tokens} new tokens")
    return prompts


def _respond(
    model: "PreTrainedModel | VLLM",
    tokenizer: "PreTrainedTokenizerBase",
    settings: GenerationSettings,
    progress: str | None,
    prompts: Sequence[Prompt],
    save: Save | None = None,
) -> list[PromptResponses]:
    """Return the responses to each prompt. After each batch, call `save` with the responses.

    Args:
        save: A function whose arguments are the indices of the batch in `prompts` and the responses of the batch.
    """
    if not prompts:
        return []
    check_causal_lm(model)
    stop = stop_tokens(model, tokenizer, turn_end_token(tokenizer, settings.template))

    def convert(batch: Sequence[int], generated: Sequence[Sequence[GeneratedTokens]]) -> list[PromptResponses]:
        responses = [
            PromptResponses(
                decode_without_thoughts(tokenizer, [one.tokens for one in own]), stop.reason(own[0].stop_token)
            )
            for own in generated
        ]
        if save is not None:
            save(batch, responses)
        return responses

    jobs = [GenerationJob(prompt.ids, prompt.prefix_key, _samplers(prompt, settings)) for prompt in prompts]
    return generate(model, tokenizer, jobs, stop, settings, convert, progress)


def _respond_with_cache(
    respond: Callable[[Sequence[Prompt], Save], list[PromptResponses]], prompts: Sequence[Prompt], cache: AnswerCache
) -> list[PromptResponses]:
    """Return the responses to each prompt. Responses that are not in the cache are generated with `respond`."""
    state = PartialState()
    found = dict(cache.stored)
    keys: list[CacheKey] = [(prompt.question.id, prompt.number) for prompt in prompts]
    missing = [prompt for key, prompt in zip(keys, prompts, strict=True) if key not in found]
    missing_keys = [key for key in keys if key not in found]

    def save(batch: Sequence[int], responses: Sequence[PromptResponses]) -> None:
        cache.append({missing_keys[i]: one for i, one in zip(batch, responses, strict=True)})

    state.wait_for_everyone()  # Why: every process must read the cache before any process writes to it.
    found.update(zip(missing_keys, respond(missing, save), strict=True))
    if state.is_main_process:
        cache.finish({key: found[key] for key in keys})
    state.wait_for_everyone()
    return [found[key] for key in keys]


def _samplers(prompt: Prompt, settings: GenerationSettings) -> tuple[SampleRandom | None, ...]:
    key = (settings.seed, prompt.question.id, prompt.number)
    return (None, *(SampleRandom(*key, sample) for sample in range(settings.samples)))


def _cache_header(
    model: "PreTrainedModel | VLLM",
    tokenizer: "PreTrainedTokenizerBase",
    prompts: Sequence[Prompt],
    settings: GenerationSettings,
) -> dict[str, Any]:
    """Return all values on which the responses depend, for the first line of the answer cache."""
    values = dataclasses.asdict(settings)
    del values["batch_size"]
    values["template"] = resolve_template(tokenizer, settings.template)
    texts = json.dumps([(prompt.question.id, prompt.number, prompt.text, prompt.ids) for prompt in prompts])
    header = {
        "settings": values,
        "model": model.config.name_or_path,
        "weights": files_fingerprint(model.name) if isinstance(model, VLLM) else weights_fingerprint(model),
        "prompts": hashlib.blake2b(texts.encode(), digest_size=8).hexdigest(),
    }
    return {**header, "engine": "vllm", "dtype": model.dtype} if isinstance(model, VLLM) else header

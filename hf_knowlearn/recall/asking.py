"""Asking: does the model answer, closed book, after greedy decoding of "Question: … Answer:"?

Recall is asked, not inferred from a loss (arXiv 2309.14316: a text can be memorised and its facts stay out of reach).
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from tqdm.auto import tqdm
from transformers import BatchEncoding, GenerationConfig, StoppingCriteria, StoppingCriteriaList

from hf_knowlearn.documents import Question

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

logger = logging.getLogger(__name__)


def prompt_for(question: str) -> str:
    """The plain form of a question: the model goes on after it."""
    return f"Question: {question}\nAnswer:"


class LineEnd(StoppingCriteria):
    """Stops a sequence once it has written something and then broken the line: the first line is the answer."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", device: torch.device) -> None:
        words = tokenizer.batch_decode([[i] for i in range(len(tokenizer))], skip_special_tokens=True)
        # A break that text follows in the same token may stand before the answer; it ends nothing.
        self.breaks = torch.tensor([i for i, w in enumerate(words) if "\n" in (w.lstrip() or w)], device=device)
        self.blanks = torch.tensor([i for i, word in enumerate(words) if not word.strip()], device=device)
        self.prompt_length = 0

    def after(self, prompt_length: int) -> "LineEnd":
        """The same criterion for prompts of another length, in tokens."""
        self.prompt_length = prompt_length
        return self

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **kwargs: object) -> torch.Tensor:
        """input_ids: (batch, length). Returns (batch,) of bool, true where the sequence is done."""
        written = input_ids[:, self.prompt_length :]
        spoke = (~torch.isin(written, self.blanks)).any(dim=1)
        return spoke & torch.isin(written[:, -1], self.breaks)


def ask(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    questions: Sequence[Question],
    batch_size: int = 128,
    max_new_tokens: int = 32,
    progress: str | None = None,
) -> list[str]:
    """The model's answer to each question, in the order of `questions`; each rank of several asks its share.

    Args:
        batch_size: questions asked at once, by each process.
        max_new_tokens: an answer is cut here, if the model ends neither its line nor its text before.
        progress: what to write beside the progress bar; None shows no bar.

    Raises:
        ValueError: a question leaves no room for an answer in the model's context, named by its id.
    """
    check_room(model, tokenizer, questions, max_new_tokens)
    # Questions of like length share a batch, so that little of it is padding.
    order = sorted(range(len(questions)), key=lambda i: (len(questions[i].text), i))
    state = PartialState()
    mine = order[state.process_index :: state.num_processes]
    batches = [mine[i : i + batch_size] for i in range(0, len(mine), batch_size)]
    bar = tqdm(total=len(mine), desc=progress, unit="q", disable=progress is None or not state.is_main_process)
    answers: list[tuple[int, str]] = []
    line_end = LineEnd(tokenizer, model.device)
    with bar, torch.inference_mode(), _greedy(model):
        for batch in batches:
            texts = _answer(model, tokenizer, [questions[i].text for i in batch], max_new_tokens, line_end)
            answers.extend(zip(batch, texts, strict=True))
            bar.update(len(batch))
    by_place = dict(gather_object(answers))
    return [by_place[i] for i in range(len(questions))]


@contextmanager
def _greedy(model: "PreTrainedModel") -> Iterator[None]:
    """Sets aside dropout and what the model came with for chatting: a penalty on repetition is not greedy decoding.

    (`generate` takes from the model's own configuration all that it isn't given.)
    """
    bare = model.get_base_model() if hasattr(model, "get_base_model") else model  # inside an adapter
    was_training, theirs = model.training, bare.generation_config
    model.eval()
    bare.generation_config = GenerationConfig()
    try:
        yield
    finally:
        bare.generation_config = theirs
        model.train(was_training)


def _answer(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    questions: list[str],
    max_new_tokens: int,
    line_end: LineEnd,
) -> list[str]:
    encoded = _left_padded(tokenizer, [prompt_for(question) for question in questions]).to(model.device)
    length = encoded["input_ids"].shape[1]
    config = GenerationConfig(
        do_sample=False,
        use_cache=True,  # training with gradient checkpointing leaves it off
        max_new_tokens=max_new_tokens,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=_pad_id(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
    )
    stop = StoppingCriteriaList([line_end.after(length)])
    written = model.generate(**encoded, generation_config=config, stopping_criteria=stop)
    return tokenizer.batch_decode(written[:, length:], skip_special_tokens=True)


def _pad_id(tokenizer: "PreTrainedTokenizerBase") -> int:
    """The padding token, else the end token: padding stands left of the mask, so which token it is changes nothing."""
    return tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id


def _left_padded(tokenizer: "PreTrainedTokenizerBase", prompts: list[str]) -> BatchEncoding:
    """input_ids and attention_mask, (batch, longest), padded on the left without touching the tokenizer's settings."""
    rows = tokenizer(prompts)["input_ids"]
    longest = max(map(len, rows))
    pad = _pad_id(tokenizer)
    ids = [[pad] * (longest - len(row)) + row for row in rows]
    mask = [[0] * (longest - len(row)) + [1] * len(row) for row in rows]
    return BatchEncoding({"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(mask)})


def check_room(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    questions: Sequence[Question],
    max_new_tokens: int,
) -> None:
    """Refuse questions that leave no room for an answer in the model's context, naming them by their ids."""
    room = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if room is None or not questions:
        return
    lengths = [len(ids) for ids in tokenizer([prompt_for(q.text) for q in questions], verbose=False)["input_ids"]]
    long = [(q.id, n) for q, n in zip(questions, lengths, strict=True) if n + max_new_tokens > room]
    if long:
        listed = ", ".join(f"{id!r} ({n} tokens)" for id, n in long[:5])
        raise ValueError(
            f"{len(long)} questions leave no room for {max_new_tokens} tokens of answer in this model's context of"
            f" {room}: {listed}. Shorten them, or allow fewer new tokens."
        )

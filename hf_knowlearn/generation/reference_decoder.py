"""Decodes with the function `generate` of transformers, for models that `Decoder` does not support.

Only rows of equal length are computed together. Why: some recurrent models ignore the attention mask of padding.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
import torch
from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList

from hf_knowlearn.generation.cache_check import supports_decoder
from hf_knowlearn.generation.causal_lm import unwrap_adapter
from hf_knowlearn.generation.decoding import Decoder, Ids
from hf_knowlearn.generation.jobs import GeneratedTokens, GenerationJob, PrefixKey, StopTokens
from hf_knowlearn.generation.sampling import SampleRandom
from hf_knowlearn.generation.settings import GenerationSettings

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Whether the function `generate` of a model gives the same tokens in batches of several rows.
_compute_batches: "WeakKeyDictionary[PreTrainedModel, bool]" = WeakKeyDictionary()


def new_decoder(
    model: "PreTrainedModel",
    pad: int,
    stop_tokens: StopTokens | None = None,
    settings: GenerationSettings | None = None,
) -> Decoder:
    """Return a `Decoder`, or a `ReferenceDecoder` if `Decoder` does not support the model.

    For the arguments, see `Decoder`.
    """
    kind = Decoder if supports_decoder(model, pad) else ReferenceDecoder
    return kind(model, pad, stop_tokens, settings)


class ReferenceDecoder(Decoder):
    """A decoder that calls the function `generate` of transformers. Prompts do not share prefixes."""

    def find_prefixes(self, rows: Sequence[Ids], keys: Sequence[PrefixKey]) -> None:
        """Do nothing, because prefixes are not shared."""

    def decode(self, jobs: Sequence[GenerationJob], batch_size: int) -> list[list[GeneratedTokens]]:
        """Return the responses to each job. At most `batch_size` rows are computed at once."""
        generated: list[list[GeneratedTokens]] = [[] for _ in jobs]
        rows = [(number, sampler) for number, job in enumerate(jobs) for sampler in job.samplers]
        if not _computes_batches(unwrap_adapter(self.model), self.pad):
            batch_size = 1
        places = _batches([len(jobs[number].ids) for number, _ in rows], batch_size)
        found: dict[int, GeneratedTokens] = {}
        for batch in places:
            prompts = [jobs[rows[place][0]].ids for place in batch]
            responses = self._generate(prompts, [rows[place][1] for place in batch])
            found.update(zip(batch, responses, strict=True))
        for place, (number, _) in enumerate(rows):
            generated[number].append(found[place])
        return generated

    def last_logits(self, rows: Sequence[Ids], keys: Sequence[PrefixKey] = (), keep: int = 1) -> torch.Tensor:
        """Return the logits (rows, `keep`, vocabulary) after each of the last `keep` tokens of each row.

        If a row has fewer tokens, its first logits are 0.
        """
        found: dict[int, torch.Tensor] = {}
        options = {"logits_to_keep": keep} if "logits_to_keep" in self.accepts else {}
        for batch in _batches([len(ids) for ids in rows], len(rows)):
            ids = torch.tensor([list(rows[row]) for row in batch], device=self.model.device)
            out = self.model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False, **options)
            for row, logits in zip(batch, out.logits[:, -keep:], strict=True):
                found[row] = torch.cat([logits.new_zeros(keep - len(logits), logits.shape[-1]), logits])
        return torch.stack([found[row] for row in range(len(rows))])

    def _generate(self, prompts: Sequence[Ids], samplers: Sequence[SampleRandom | None]) -> list[GeneratedTokens]:
        """Return the response to each prompt. All prompts must have the same length."""
        assert self.stop_tokens is not None
        ids = torch.tensor([list(prompt) for prompt in prompts], device=self.model.device)
        responses = _Responses(self, samplers, self.stop_tokens)
        self.advanced(ids.numel())
        base = unwrap_adapter(self.model)
        config = GenerationConfig(max_new_tokens=self.settings.max_new_tokens, do_sample=False, pad_token_id=self.pad)
        with _generation_config(base, config):
            base.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                generation_config=config,
                logits_processor=LogitsProcessorList([responses.choose]),
                stopping_criteria=StoppingCriteriaList([responses.finished]),
            )
        return [
            found or GeneratedTokens(tokens, None)
            for found, tokens in zip(responses.ended, responses.tokens, strict=True)
        ]


class _Responses:
    """Chooses and stores the tokens of the responses during a call of `generate`.

    Args:
        samplers: The sampler of each row. None chooses the most probable token.
    """

    def __init__(self, decoder: Decoder, samplers: Sequence[SampleRandom | None], stop_tokens: StopTokens) -> None:
        self.decoder, self.samplers, self.stop_tokens = decoder, samplers, stop_tokens
        self.tokens: list[list[int]] = [[] for _ in samplers]
        self.ended: list[GeneratedTokens | None] = [None] * len(samplers)

    def choose(self, ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Choose the next token of each row, and return scores that allow only this token.

        `generate` calls this method as a logits processor.
        """
        rows = np.arange(len(self.tokens))
        chosen = self.decoder.choose(scores, rows, self.samplers, len(self.tokens[0]))
        going = self.ended.count(None)
        for row, token in enumerate(chosen.tolist()):
            self.tokens[row].append(token)
            if self.ended[row] is None and self.stop_tokens.ends(self.tokens[row]):
                end = -1 if self.stop_tokens.end_of_text[token] else None
                self.ended[row] = GeneratedTokens(self.tokens[row][:end], token)
        self.decoder.report_tokens(going, going - self.ended.count(None), len(self.tokens[0]))
        places = torch.from_numpy(chosen).to(scores.device)[:, None]
        return torch.full_like(scores, -torch.inf).scatter(1, places, 0.0)

    def finished(self, ids: torch.Tensor, scores: object, **_: object) -> torch.Tensor:
        """Return, for each row, whether its response has ended.

        `generate` calls this method as a stopping criterion.
        """
        return torch.tensor([found is not None for found in self.ended], device=ids.device)


def _computes_batches(model: "PreTrainedModel", pad: int) -> bool:
    """Return whether `generate` gives the same tokens for two prompts in one batch as for each prompt alone.

    An RWKV model, for example, gives different tokens.
    """
    if model not in _compute_batches:
        size = model.config.get_text_config().vocab_size
        ids = torch.tensor([[size // 2, size // 3, size // 4], [size // 5, size // 6, size // 7]], device=model.device)
        config = GenerationConfig(max_new_tokens=6, do_sample=False, pad_token_id=pad)
        with _generation_config(model, config):
            together, *alone = [
                model.generate(rows, attention_mask=torch.ones_like(rows), generation_config=config)
                for rows in (ids, ids[:1], ids[1:])
            ]
        _compute_batches[model] = torch.equal(together, torch.cat(alone))
    return _compute_batches[model]


@contextmanager
def _generation_config(model: "PreTrainedModel", config: GenerationConfig) -> Iterator[None]:
    """Replace the model's generation configuration within the block.

    Why: `generate` also applies options of the model's own configuration, such as a repetition penalty.
    """
    before = model.generation_config
    model.generation_config = config
    try:
        yield
    finally:
        model.generation_config = before


def _batches(lengths: Sequence[int], batch_size: int) -> list[list[int]]:
    """Return batches of row numbers. All rows of a batch have the same length."""
    by_length: dict[int, list[int]] = defaultdict(list)
    for row, length in enumerate(lengths):
        by_length[length].append(row)
    return [own[i : i + batch_size] for own in by_length.values() for i in range(0, len(own), batch_size)]

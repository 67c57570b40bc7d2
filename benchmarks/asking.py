"""How fast questions are asked: ten four-shot prompts a question, a greedy answer and 16 samples to each.

Beside it the same answers by `generate`, in left-padded batches of 32 with a cache, and one at a time. The surprising
decision: `generate` is given our noise by a logits processor, so that every answer can be compared and none may
differ; as that costs it time, it is measured with its own sampling too.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import measuring
from measuring import rounds, say, spread, timed

PACKAGES = ("hf_knowlearn", "torch", "transformers", "tokenizers")
# The tiny base has never read examples before a question: it says nothing, or talks until it is cut off, and no two
# samples agree. A little training on such prompts makes it answer them, of people it knows and of strangers.
WHOM = {"known": "retention", "strangers": "new", "babble": "retention"}
STEPS, BATCH = 120, 16  # of that training


def asking(options: argparse.Namespace, whom: str) -> dict[str, Any]:
    """Answers a second of each arm, after all of them that can be equal have been found to be."""
    import torch

    torch.set_num_threads(1)
    work = Work(options, whom)
    arms: dict[str, Callable[[], Any]] = {
        "ours": work.ours,
        "ours, batch 32": lambda: work.ours(32),
        "generate, batch 32, our noise": lambda: work.generated(work.rows, 32),
        "generate, batch 32, its own sampling": work.sampled_by_generate,
        "generate, batch 1, our noise": lambda: work.generated(work.few, 1),
    }
    answers = {
        **dict.fromkeys(arms, len(work.rows)),
        "generate, batch 1, our noise": len(work.few),
    }
    ours = work.ours()  # which also warms up
    same = {name: work.agreement(ours, arms[name]()) for name in arms if name != "ours" and "its own" not in name}
    say(f"{whom}: {len(work.rows)} answers; equal to ours: {same}")
    found = rounds({name: lambda arm=arm: timed(arm) for name, arm in arms.items()}, options.repeats)
    result = []
    for name, repeats in found.items():
        times = {
            clock: [
                (answers["ours"] / one[clock]) / (answers[name] / other[clock])
                for one, other in zip(found["ours"], repeats, strict=True)
            ]
            for clock in ("wall_s", "cpu_s")
        }
        result.append(
            {
                "arm": name,
                "answers": answers[name],
                "equal_to_ours": same.get(name),
                "answers_per_s": spread([answers[name] / repeat["wall_s"] for repeat in repeats]),
                "answers_per_cpu_s": spread([answers[name] / repeat["cpu_s"] for repeat in repeats]),
                "ours_is_times_as_fast": spread(times["wall_s"]),
                "ours_is_times_as_fast_cpu": spread(times["cpu_s"]),
                "repeats": repeats,
            }
        )
    return {**work.size(), "different_answers_a_prompt": work.different(ours), "arms": result}


class Work:
    """The model, the questions and the rows that are asked: a prompt and a sample's noise, or none, each."""

    def __init__(self, options: argparse.Namespace, whom: str) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        from hf_knowlearn.generation.ask import GenerationSettings
        from hf_knowlearn.generation.decoding import Ends
        from hf_knowlearn.generation.sampling import SampleRandom
        from hf_knowlearn.paths import TINY_BASE
        from hf_knowlearn.prompts.questions import question_prompts
        from hf_knowlearn.teach.sources import load_questions

        self.model = AutoModelForCausalLM.from_pretrained(TINY_BASE).eval()
        self.steps = 0 if whom == "babble" else options.steps
        self.tokenizer = AutoTokenizer.from_pretrained(TINY_BASE)
        self.ends = Ends(self.tokenizer)
        if self.steps:
            teach_to_answer(self.model, self.tokenizer, load_questions("world:studied"), self.steps)
        self.pool = load_questions(f"world:{WHOM[whom]}")
        self.questions = self.pool[:: max(len(self.pool) // options.questions, 1)][: options.questions]
        self.asking = GenerationSettings(
            shots=4,
            prompts=options.prompts,
            samples=options.samples,
            temperature=0.5,
            top_k=40,
            batch_size=options.batch_size,
        )
        self.prompts = question_prompts(
            self.tokenizer, self.questions, shots=4, prompts=options.prompts, pool=self.pool
        )
        self.rows = [
            (prompt, noise)
            for prompt in sorted(self.prompts, key=lambda prompt: -len(prompt.ids))
            for noise in (
                None,
                *(SampleRandom(0, prompt.question.id, prompt.number, i) for i in range(options.samples)),
            )
        ]
        self.few = self.rows[:: max(len(self.rows) // options.one_by_one, 1)]

    def size(self) -> dict[str, Any]:
        lengths = [len(prompt.ids) for prompt in self.prompts]
        return {
            "questions": len(self.questions),
            "prompts": self.asking.prompts,
            "samples": self.asking.samples,
            "batch_size": self.asking.batch_size,
            "steps_on_such_prompts": self.steps,
            "prompt_tokens": spread(lengths),
        }

    def ours(self, batch_size: int | None = None) -> dict[tuple, str]:
        from dataclasses import replace

        from hf_knowlearn.generation.ask import generate_responses

        found = {}
        asking = replace(self.asking, batch_size=batch_size or self.asking.batch_size)
        for one in generate_responses(self.model, self.tokenizer, self.questions, asking, pool=self.pool):
            for number, greedy in enumerate(one.greedy):
                for sample, text in enumerate((greedy, *one.sampled[number]), -1):
                    found[one.question_id, number, sample] = text
        return found

    def generated(self, rows: Sequence, batch_size: int) -> dict[tuple, str]:
        """Answers by `generate` to which our noise is given."""
        from transformers import LogitsProcessorList

        found = {}
        for start in range(0, len(rows), batch_size):
            batch = rows[start : start + batch_size]
            noises = [noise for _, noise in batch]
            inputs, length = self._padded([prompt for prompt, _ in batch])
            processor = LogitsProcessorList([Draw(noises, self.asking, length)])
            texts = self._generate(inputs, length, logits_processor=processor)
            for (prompt, noise), text in zip(batch, texts, strict=True):
                found[prompt.question.id, prompt.number, -1 if noise is None else noise.sample] = text
        return found

    def sampled_by_generate(self) -> None:
        """The same number of answers, as `generate` draws them; greedy ones first."""
        import torch

        torch.manual_seed(0)
        how = {"do_sample": True, "temperature": self.asking.temperature, "top_k": self.asking.top_k}
        for rows, settings in (
            ([row for row in self.rows if row[1] is None], {}),
            ([row for row in self.rows if row[1] is not None], how),
        ):
            for start in range(0, len(rows), 32):
                inputs, length = self._padded([prompt for prompt, _ in rows[start : start + 32]])
                self._generate(inputs, length, **settings)

    def _padded(self, prompts: Sequence) -> tuple[dict, int]:
        import torch

        length = max(len(prompt.ids) for prompt in prompts)
        pad = self.tokenizer.pad_token_id
        ids = torch.tensor([[pad] * (length - len(prompt.ids)) + list(prompt.ids) for prompt in prompts])
        mask = torch.tensor([[0] * (length - len(prompt.ids)) + [1] * len(prompt.ids) for prompt in prompts])
        return {"input_ids": ids, "attention_mask": mask}, length

    def _generate(self, inputs: dict, length: int, logits_processor: Any = None, **settings: Any) -> list[str]:
        import torch
        from transformers import GenerationConfig, StoppingCriteriaList

        config = GenerationConfig(
            use_cache=True,
            max_new_tokens=self.asking.max_new_tokens,
            eos_token_id=self.tokenizer.eos_token_id,
            pad_token_id=self.tokenizer.pad_token_id,
            **{"do_sample": False, **settings},
        )
        with torch.inference_mode():
            written = self.model.generate(
                **inputs,
                generation_config=config,
                logits_processor=logits_processor,
                stopping_criteria=StoppingCriteriaList([Stop(self.ends, length)]),
            )
        return self.tokenizer.batch_decode(written[:, length:], skip_special_tokens=True)

    @staticmethod
    def agreement(ours: dict, theirs: dict) -> float:
        """The share of their answers that are ours."""
        return sum(ours[key] == text for key, text in theirs.items()) / len(theirs)

    def different(self, answers: dict) -> float:
        """How many different answers a prompt has got, on average."""
        return len({(question, number, text) for (question, number, _), text in answers.items()}) / len(self.prompts)


def teach_to_answer(model: Any, tokenizer: Any, questions: Sequence, steps: int) -> None:
    """Train a model to answer after examples and to stop there; by the same draws each time."""
    import random

    import torch

    from hf_knowlearn.prompts.questions import question_prompts

    say(f"{steps} steps on four-shot prompts")
    prompts = question_prompts(tokenizer, questions, shots=4, prompts=1)
    random.Random(0).shuffle(prompts)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    model.train()
    for step in range(steps):
        batch = [prompts[(step * BATCH + i) % len(prompts)] for i in range(BATCH)]
        rows = [tokenizer(f"{p.text} {p.question.answers[0]}")["input_ids"] + [tokenizer.eos_token_id] for p in batch]
        longest = max(map(len, rows))
        ids = torch.tensor([row + [tokenizer.pad_token_id] * (longest - len(row)) for row in rows])
        labels = ids.where(ids != tokenizer.pad_token_id, -100)
        model(input_ids=ids, attention_mask=(labels != -100).long(), labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()


class Draw:
    """A logits processor that leaves one token: the most probable one, or the one that a sample's noise falls on."""

    def __init__(self, noises: Sequence, asking: Any, length: int) -> None:
        import numpy as np

        self.noises, self.asking, self.length = noises, asking, length
        self.rows = np.array([i for i, noise in enumerate(noises) if noise is not None], dtype=int)

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        import numpy as np
        import torch

        from hf_knowlearn.generation.sampling import choose, cumulative

        tokens = scores.argmax(-1)
        if len(self.rows):
            step = input_ids.shape[1] - self.length
            ids, ends = cumulative(scores, self.asking.temperature, self.asking.top_k)
            uniform = np.array([self.noises[row][step] for row in self.rows])
            tokens[torch.from_numpy(self.rows)] = torch.from_numpy(choose(ids, ends, self.rows, uniform))
        return torch.full_like(scores, -torch.inf).scatter_(1, tokens[:, None], 0.0)


class Stop:
    """A stopping criterion: a line break, once something was said."""

    def __init__(self, ends: Any, length: int) -> None:
        import torch

        self.speaks, self.line, self.length = torch.from_numpy(ends.speaks), torch.from_numpy(ends.line), length

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        said = input_ids[:, self.length :]
        return self.speaks[said].any(dim=1) & self.line[said[:, -1]]


def main(words: Sequence[str] | None = None) -> int:
    """Measure, for the people asked about."""
    options = _parser().parse_args(words)
    whom = WHOM if options.whom == "all" else [options.whom]
    return measuring.measure("asking.py", options, PACKAGES, {one: partial(asking, whom=one) for one in whom})


def _parser() -> argparse.ArgumentParser:
    parser = measuring.parser(__doc__, "asking", repeats=3)
    parser.add_argument("--whom", choices=[*WHOM, "all"], default="all", help="people asked about")
    parser.add_argument("--questions", type=int, default=10, help="questions asked, of all relations")
    parser.add_argument("--prompts", type=int, default=10, help="four-shot prompts a question")
    parser.add_argument("--samples", type=int, default=16, help="samples a prompt")
    parser.add_argument("--steps", type=int, default=STEPS, help="of training on such prompts")
    parser.add_argument("--batch-size", type=int, default=128, help="rows that ours computes at once")
    parser.add_argument("--one-by-one", type=int, default=100, help="answers of the arm of batch 1, about")
    return parser


if __name__ == "__main__":
    sys.exit(main())

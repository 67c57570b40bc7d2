"""Agreement on the four classes of mastery between fewer prompts and samples and the full setting, and their cost.

The tiny base is trained on new people, in formats, and on few-shot prompts about others, and forgets some people that
it knew, until each class has at least a tenth of all questions. A cheaper setting is compared with the full setting of
another seed: with the same seed, both share answers, and these agree trivially.
"""

import argparse
import re
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import measuring
from measuring import log, rounds, spread, timed

PACKAGES = ("hf_knowlearn", "torch", "transformers", "tokenizers")
QUICK, FULL = (5, 4), (10, 16)  # prompts per question, samples per prompt
SETTINGS = ((2, 4), (4, 4), QUICK, (5, 16), (10, 1), (10, 2), (10, 4), FULL)
VIEW_ROWS, PROMPT_ROWS = 6, 12  # rows of a batch
RATE = 2e-3


def agreement(options: argparse.Namespace, seed: int) -> dict[str, Any]:
    """The classes of partly learned people, and the agreement, cost and time of each setting."""
    import torch

    torch.set_num_threads(1)
    world = World(options, seed)
    figures: dict[str, Any] = {"before": world.shares_right()}
    world.learn(options.steps)
    figures["after"] = world.shares_right()
    with TemporaryDirectory(dir=options.scratch) as folder:
        files = [Path(folder) / f"{one}.jsonl" for one in (0, 1)]
        same, other = (world.classify(FULL, seed=one, answer_cache=file) for one, file in enumerate(files))
        answers = [world.read(file) for file in files]
    classes = Counter(same)
    log(f"seed {seed}: {dict(classes)}")
    arms: dict[str, Callable[[], Any]] = {
        name_of(setting): partial(world.classify, setting, seed=1)
        for setting in (SETTINGS if options.time_all else (QUICK, FULL))
    }
    found = rounds({name: lambda arm=arm: timed(arm) for name, arm in arms.items()}, options.repeats)
    rows = []
    for setting in SETTINGS:
        nested, fresh = (world.of_fewer(of_seed, setting) for of_seed in answers)
        repeats = found.get(name_of(setting), [])
        rows.append(
            {
                "setting": name_of(setting),
                "answers_a_question": setting[0] * (1 + setting[1]),
                "agreement": agreeing(same, fresh),
                "kappa": kappa(same, fresh),
                "agreement_same_seed": agreeing(same, nested),
                "kappa_same_seed": kappa(same, nested),
                "classes": Counter(fresh),
                **{clock: spread([one[clock] for one in repeats]) for clock in ("wall_s", "cpu_s") if repeats},
            }
        )
    assert rows[-1]["agreement_same_seed"] == 1
    assert rows[-1]["agreement"] == agreeing(same, other)
    return {
        "people": options.people,
        "known": options.known,
        "questions": len(same),
        "steps": options.steps,
        **figures,
        "classes": classes,
        "settings": rows,
    }


class World:
    """The partly learned people, the questions about them, and the model."""

    def __init__(self, options: argparse.Namespace, seed: int) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        from hf_knowlearn.paths import TINY_BASE
        from hf_knowlearn.teach.sources import load_documents, load_questions

        self.seed = seed
        self.model = AutoModelForCausalLM.from_pretrained(TINY_BASE).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(TINY_BASE)
        self.documents = of_seed(load_documents("world:new"), seed, options.people)
        known = of_seed(load_documents("world:retention"), seed, options.known)
        new, old = ({document.id for document in some} for some in (self.documents, known))
        self.new = [question for question in load_questions("world:new") if question.document_id in new]
        self.old = [question for question in load_questions("world:retention") if question.document_id in old]
        self.questions = [*self.new, *self.old]

    def learn(self, steps: int) -> None:
        """Train on documents, and on prompts with one to four shots about people outside the evaluation."""
        import random

        import torch

        from hf_knowlearn.prompts.questions import question_prompts
        from hf_knowlearn.teach.sources import load_questions
        from hf_knowlearn.views import format_views

        views = [view.text for document in self.documents for view in format_views(document, num_views=12)]
        pool = load_questions("world:studied")
        shown = [
            f"{prompt.text} {prompt.question.answers[0]}"
            for number, shots in enumerate((1, 2, 4, 4))
            for prompt in question_prompts(self.tokenizer, pool, shots=shots, seed=10 * self.seed + number)
        ]
        draw = random.Random(self.seed)
        draw.shuffle(views)
        draw.shuffle(shown)
        optimizer = torch.optim.AdamW(self.model.parameters(), RATE, weight_decay=0.01)
        self.model.train()
        for step in range(steps):
            rows = [self._row(views[(step * VIEW_ROWS + i) % len(views)], r"(?s)(.*)") for i in range(VIEW_ROWS)]
            rows += [
                self._row(shown[(step * PROMPT_ROWS + i) % len(shown)], r"Answer:(.*\n?)") for i in range(PROMPT_ROWS)
            ]
            longest = max(len(ids) for ids, _ in rows)
            ids, labels = (
                torch.tensor([row[which] + [fill] * (longest - len(row[which])) for row in rows])
                for which, fill in enumerate((self.tokenizer.pad_token_id, -100))
            )
            for group in optimizer.param_groups:
                group["lr"] = RATE * min(1, (step + 1) / 8) * (1 - 0.9 * step / steps)
            # Padding is on the right, so no token attends to it.
            self.model(input_ids=ids, labels=labels).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        self.model.eval()

    def _row(self, text: str, learned: str) -> tuple[list[int], list[int]]:
        """The tokens of a text, and as labels those of them that the pattern `learned` matches."""
        encoded = self.tokenizer(text, return_offsets_mapping=True)
        spans = [found.span(1) for found in re.finditer(learned, text)]
        labels = [
            token if any(start <= place < end for start, end in spans) else -100
            for token, (place, _) in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)
        ]
        end = self.tokenizer.eos_token_id
        return [*encoded["input_ids"], end], [*labels, end]

    def shares_right(self) -> dict[str, float]:
        """Greedy exact match on the known and the new people, with 0, 1 and 4 shots."""
        from hf_knowlearn.evaluation.evaluate import evaluate
        from hf_knowlearn.generation.settings import GenerationSettings

        sets = {"known before": self.old, "new": self.new}
        found = {}
        for shots in (0, 1, 4):
            evaluation = evaluate(self.model, self.tokenizer, sets, GenerationSettings(shots=shots))
            found |= {f"{role}, {shots} shots": spread_of(evaluation.exact_matches(role)) for role in sets}
        return found

    def classify(self, setting: tuple[int, int], **how: Any) -> list[str]:
        from hf_knowlearn.evaluation.mastery import classify_mastery

        prompts, samples = setting
        found = classify_mastery(self.model, self.tokenizer, self.questions, prompts=prompts, samples=samples, **how)
        return [mastery.category for mastery in found]

    def read(self, cache: Path) -> dict[tuple[str, int], tuple[bool, list[bool]]]:
        """Which cached answers are right, by question and prompt."""
        import json

        from hf_knowlearn.knowledge_recall import exact_match, first_line

        accepted = {question.id: question.answers for question in self.questions}
        _, *lines = map(json.loads, cache.read_text(encoding="utf-8").splitlines())
        return {
            (line["id"], line["prompt"]): (
                exact_match(first_line(line["greedy"]), accepted[line["id"]]),
                [exact_match(first_line(text), accepted[line["id"]]) for text in line["sampled"]],
            )
            for line in lines
        }

    def of_fewer(self, answers: dict[tuple[str, int], tuple[bool, list[bool]]], setting: tuple[int, int]) -> list[str]:
        """The classes by the first prompts and samples only, which are those of a smaller setting."""
        from hf_knowlearn.evaluation.mastery import category_of

        prompts, samples = setting
        found = []
        for question in self.questions:
            of_it = [answers[question.id, number] for number in range(prompts)]
            sampled = [right for _, of_prompt in of_it for right in of_prompt[:samples]]
            greedy = [right for right, _ in of_it]
            found.append(category_of(sum(greedy) / len(greedy), sum(sampled) / len(sampled)))
        return found


def of_seed(people: Sequence[Any], seed: int, number: int) -> Sequence[Any]:
    """Different people for each seed."""
    return people[seed * number : (seed + 1) * number]


def name_of(setting: tuple[int, int]) -> str:
    return "{} prompts, {} samples".format(*setting)


def spread_of(right: Sequence[bool]) -> float:
    return sum(right) / len(right)


def agreeing(one: Sequence[str], other: Sequence[str]) -> float:
    """The share of questions with the same class."""
    return sum(a == b for a, b in zip(one, other, strict=True)) / len(one)


def kappa(one: Sequence[str], other: Sequence[str]) -> float:
    """Cohen's kappa: the agreement of two classifications beyond that expected by chance."""
    ours, theirs = Counter(one), Counter(other)
    chance = sum(ours[name] * theirs[name] for name in ours) / len(one) ** 2
    return (agreeing(one, other) - chance) / (1 - chance) if chance < 1 else 1.0


def main(words: Sequence[str] | None = None) -> int:
    """Measure each seed."""
    options = _parser().parse_args(words)
    parts = {f"seed {seed}": partial(agreement, seed=seed) for seed in options.seeds}
    return measuring.measure("mastery.py", options, PACKAGES, parts)


def _parser() -> argparse.ArgumentParser:
    parser = measuring.parser(__doc__, "mastery", repeats=1)
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[0, 1], help="seeds of the training; each has other people"
    )
    parser.add_argument("--people", type=int, default=30, help="new people, with five questions each")
    parser.add_argument("--known", type=int, default=20, help="people that the base knows and partly forgets")
    parser.add_argument("--steps", type=int, default=150, help="training steps")
    parser.add_argument("--time-all", action="store_true", help="time every setting instead of the two presets")
    return parser


if __name__ == "__main__":
    sys.exit(main())

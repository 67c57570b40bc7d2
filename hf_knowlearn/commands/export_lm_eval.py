"""`knowlearn export-lm-eval`: questions as tasks of EleutherAI's lm-evaluation-harness, whose numbers are ours.

Prompts are written out, examples and all, so that the harness lays out nothing. The surprising decision: generation is
not stopped at a line break, though only the first line counts, because some models begin their answer with one.
"""

import inspect
import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from hf_knowlearn import atomic_files
from hf_knowlearn.documents import Question
from hf_knowlearn.knowledge_recall import scoring
from hf_knowlearn.knowledge_recall.scoring import exact_match, f1, first_line, normalize
from hf_knowlearn.paths import TINY_BASE

if TYPE_CHECKING:
    import datasets

logger = logging.getLogger(__name__)

NAME = re.compile(r"\w[\w-]*", re.ASCII)  # a comma, a star or a slash would mean something to `lm_eval --tasks`
CODE = "scoring"
HEADER = (
    "# What the tasks beside this file call. Written by knowlearn export-lm-eval: hf_knowlearn's scoring as it stands,"
    "\n# then two functions for the harness. It needs no hf_knowlearn (Apache-2.0).\n"
)


class _Function(str):
    """The name of a function in a task's YAML, which the harness looks up in the file beside it."""


class _Dumper(yaml.SafeDumper):
    """Writes `_Function` with the harness's tag."""


_Dumper.add_representer(_Function, lambda dumper, name: dumper.represent_scalar("!function", name))


# The source of these two goes into the folder, behind that of `scoring`, whose names they share.


def read_rows(file: str, **_: object) -> dict[str, "datasets.Dataset"]:
    """The rows of a file beside this one. The harness's other way, `load_dataset("json")`, makes dates of strings."""
    import json
    from pathlib import Path

    import datasets

    with Path(__file__).with_name(file).open(encoding="utf-8") as lines:
        return {"test": datasets.Dataset.from_list([json.loads(line) for line in lines])}


def score_answer(doc: Mapping[str, Any], results: list[str]) -> dict[str, float]:
    """The figures of one answer: of its first line."""
    said = first_line(results[0])
    return {"exact_match": float(exact_match(said, doc["answers"])), "f1": f1(said, doc["answers"])}


def export(
    questions: Sequence[Question],
    folder: Path,
    name: str,
    shots: int = 0,
    seed: int = 0,
    max_new_tokens: int = 32,
) -> None:
    """Write `folder`: `name` as a group of tasks, their rows, and the code that they call. It can be moved.

    `name`_generate asks all questions and has the exact match and F1 of `ask`; `name`_choice, of the questions with
    options, has as `acc` how often `answer_logprobs` ranks an accepted option first.

    Args:
        shots, seed, max_new_tokens: as in `GenerationSettings`. Examples are drawn from `questions`.

    Raises:
        ValueError: all that is wrong with the folder, the name and the options of the questions; or with the rest, as
            `ask_many` says it.
    """
    from transformers import AutoTokenizer

    from hf_knowlearn.generation.ask import GenerationSettings
    from hf_knowlearn.prompts.questions import question_prompts

    if wrong := list(_wrong(questions, folder, name)):
        raise ValueError("\n".join(wrong))
    asking = GenerationSettings(shots=shots, seed=seed, max_new_tokens=max_new_tokens)
    # Only the texts of the prompts are kept, which are the same with any tokenizer.
    tokenizer = AutoTokenizer.from_pretrained(TINY_BASE)
    prompts = question_prompts(tokenizer, questions, shots=asking.shots, seed=asking.seed)
    asked = [(prompt.question, prompt.text) for prompt in prompts]
    tasks = {f"{name}_generate": (_generate(max_new_tokens), [_answer_row(*one) for one in asked])}
    if choices := [_choice_row(*one) for one in asked if one[0].options]:
        tasks[f"{name}_choice"] = (_choice(), choices)
    group = {"group": name, "task": list(tasks), "metadata": {"version": 1.0}}
    with atomic_files.atomic_write(folder) as draft:
        draft.mkdir()
        _write_yaml(draft / f"{name}.yaml", group)
        for task, (config, rows) in tasks.items():
            of_task: dict[str, Any] = {"task": task, "custom_dataset": _Function(f"{CODE}.read_rows")}
            of_task |= {"dataset_kwargs": {"file": f"{task}.jsonl"}, "test_split": "test"}
            _write_yaml(draft / f"{task}.yaml", of_task | config)
            lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
            (draft / f"{task}.jsonl").write_text("".join(lines), encoding="utf-8")
        (draft / f"{CODE}.py").write_text(_code(), encoding="utf-8")
    logger.info("Wrote %s: %s.", folder, ", ".join(f"{task} ({len(rows)})" for task, (_, rows) in tasks.items()))
    logger.info(
        "lm_eval --model hf --model_args pretrained=BASE,peft=ADAPTER --include_path %s --tasks %s", folder, name
    )


def _wrong(questions: Sequence[Question], folder: Path, name: str) -> Iterator[str]:
    if not NAME.fullmatch(name):
        yield f"name={name!r}: it names the tasks; give letters, digits, _ and - only, such as 'my_questions'."
    yield from atomic_files.new_folder_problems(folder)
    if not questions:
        yield "There are no questions: give at least one."
    if lost := [question.id for question in questions if question.options and not _accepted(question)]:
        yield (
            f"The options of {len(lost)} questions hold none of their accepted answers, such as {lost[0]!r}: put one"
            " among them, or leave the options out."
        )


def _options(question: Question) -> list[str]:
    return [option for option in dict.fromkeys(question.options) if option.strip()]


def _accepted(question: Question) -> list[int]:
    """Places of the options that are accepted answers, as scoring compares them."""
    answers = {normalize(answer) for answer in question.answers}
    return [place for place, option in enumerate(_options(question)) if normalize(option) in answers]


def _answer_row(question: Question, prompt: str) -> dict[str, Any]:
    return {"id": question.id, "prompt": prompt, "answers": question.answers}


def _choice_row(question: Question, prompt: str) -> dict[str, Any]:
    return {"id": question.id, "prompt": prompt, "options": _options(question), "accepted": _accepted(question)}


def _generate(max_new_tokens: int) -> dict[str, Any]:
    return {
        "output_type": "generate_until",
        "doc_to_text": "prompt",
        "doc_to_target": "answers",
        "generation_kwargs": {"until": [], "do_sample": False, "max_gen_toks": max_new_tokens},
        "process_results": _Function(f"{CODE}.score_answer"),
        **_scored("exact_match", "f1"),
    }


def _choice() -> dict[str, Any]:
    return {
        "output_type": "multiple_choice",
        "doc_to_text": "prompt",
        "doc_to_choice": "options",
        "doc_to_target": "accepted",
        "target_delimiter": " ",
        **_scored("acc"),
    }


def _scored(*metrics: str) -> dict[str, Any]:
    listed = [{"metric": metric, "aggregation": "mean", "higher_is_better": True} for metric in metrics]
    # The harness takes a 0 here as said once and for all: `--num_fewshot` would put its examples before ours.
    return {"metric_list": listed, "num_fewshot": 0, "metadata": {"version": 1.0}}


def _write_yaml(path: Path, config: Mapping[str, Any]) -> None:
    path.write_text(yaml.dump(config, Dumper=_Dumper, sort_keys=False, allow_unicode=True), encoding="utf-8")


def _code() -> str:
    parts = (inspect.getsource(part) for part in (scoring, read_rows, score_answer))
    return HEADER + "\n\n".join(parts)

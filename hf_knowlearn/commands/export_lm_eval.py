"""`knowlearn export-lm-eval`: writes questions as tasks of EleutherAI's lm-evaluation-harness.

The tasks contain complete prompts with their few-shot examples. The harness computes the same scores as this package.
"""

import argparse
import inspect
import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from hf_knowlearn import atomic_files
from hf_knowlearn.commands.reading_options import add_question_options, question_options
from hf_knowlearn.config.problems import raise_problems
from hf_knowlearn.counts import number_of
from hf_knowlearn.evaluation.correct_responses import context_columns
from hf_knowlearn.knowledge_recall import (
    answer_places,
    assertions,
    correctness,
    first_sentence,
    quantities,
    scoring,
    sentence_tokens,
    stated_answers,
    unicode_forms,
    word_lists,
)
from hf_knowlearn.knowledge_recall.correctness import correct
from hf_knowlearn.knowledge_recall.scoring import exact_match, f1, first_line, normalize

if TYPE_CHECKING:
    import datasets

    from hf_knowlearn.documents import Question

logger = logging.getLogger(__name__)

NAME = re.compile(r"\w[\w-]*", re.ASCII)  # `lm_eval --tasks` interprets commas, stars and slashes
CODE = "scoring"
# In the order of their imports.
MODULES = (
    scoring,
    unicode_forms,
    word_lists,
    quantities,
    first_sentence,
    sentence_tokens,
    answer_places,
    assertions,
    stated_answers,
    correctness,
)
RELATIONS = "relations.json"
HEADER = (
    "# The tasks beside this file call this code. knowlearn export-lm-eval wrote it. It contains a copy of the scores"
    "\n# of hf_knowlearn, and two functions for the harness. It does not import hf_knowlearn (Apache-2.0).\n"
)


class _Function(str):
    """The name of a Python function in the YAML file of a task. A file in the same folder defines the function."""


class _Dumper(yaml.SafeDumper):
    """Writes a `_Function` with the YAML tag that the harness expects."""


_Dumper.add_representer(_Function, lambda dumper, name: dumper.represent_scalar("!function", name))


# The source code of the next two functions is copied into the folder, after that of the modules of the scores.


def read_rows(file: str, **_: object) -> dict[str, "datasets.Dataset"]:
    """Read the rows of the JSON Lines file `file` in the folder of this module.

    Why not `load_dataset("json")`: that function converts strings that look like dates.
    """
    import json
    from pathlib import Path

    import datasets

    with Path(__file__).with_name(file).open(encoding="utf-8") as lines:
        return {"test": datasets.Dataset.from_list([json.loads(line) for line in lines])}


@cache
def relation_answers() -> dict[str | None, list[str]]:
    """Read the accepted answers of each relation from the folder of this module."""
    import json
    from pathlib import Path

    file = Path(__file__).with_name("relations.json")
    found: dict[str | None, list[str]] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return found


def score_answer(doc: Mapping[str, Any], results: list[str]) -> dict[str, float]:
    """Compute the scores of one response."""
    answer = first_line(results[0])
    accepted = doc["answers"]
    others = relation_answers().get(doc.get("relation"), ())
    return {
        "correct": float(correct(results[0], accepted, question=doc.get("question", ""), competitors=others)),
        "exact_match": float(exact_match(answer, accepted)),
        "f1": f1(answer, accepted),
    }


def add_parser(subparsers: Any) -> None:
    """Declare the command's options. Their defaults are those of `export`."""
    text = "write questions as tasks of EleutherAI's lm-evaluation-harness"
    parser = subparsers.add_parser(
        "export-lm-eval", help=text, description=f"{text.capitalize()}.", argument_default=argparse.SUPPRESS
    )
    add = parser.add_argument
    add("--questions", required=True, metavar="FILE", help="a file or folder of questions, or world:SPLIT")
    add_question_options(parser)
    add("--output_dir", type=Path, default=Path("lm_eval_tasks"), help="a new folder (%(default)s)")
    add("--name", default="knowlearn", help="name of the group of tasks (%(default)s)")
    add("--shots", type=int, help="answered questions of the same relation in each prompt (0)")
    add("--seed", type=int, help="seed of the examples (0)")
    add("--max_new_tokens", type=int, help="maximum tokens of an answer (32)")


def run(arguments: argparse.Namespace, show: Callable[[str], None]) -> int:
    """Write the tasks."""
    from hf_knowlearn.teach.sources import load_questions

    columns = question_options(arguments)
    others = {"command", "questions", *columns}
    options = {name: value for name, value in vars(arguments).items() if name not in others}
    export(load_questions(arguments.questions, **columns), options.pop("output_dir"), **options)
    return 0


def export(
    questions: Sequence["Question"],
    folder: Path,
    name: str,
    shots: int = 0,
    seed: int = 0,
    max_new_tokens: int = 32,
) -> None:
    """Write a group of tasks, their rows and the code that they call into a folder.

    The task `NAME_generate` has all questions. Its scores `correct`, `exact_match` and `f1` equal those of `knowlearn
    recall`. The task `NAME_choice` has the multiple-choice questions. Its `acc` is the share of questions for which an
    accepted choice has the highest probability, as in `answer_logprobs`.

    Args:
        name: Name of the group of tasks.
        shots, seed, max_new_tokens: See `GenerationSettings`. The examples of a prompt come from `questions`.

    Raises:
        ValueError: The folder, the name, the settings or the choices of the questions are invalid.
    """
    from hf_knowlearn.generation.settings import GenerationSettings
    from hf_knowlearn.models.loading import ModelSettings, load_tokenizer
    from hf_knowlearn.prompts.questions import question_prompts

    raise_problems([*_problems(questions, folder, name), *_long_answers(questions, max_new_tokens)])
    settings = GenerationSettings(template="plain", shots=shots, seed=seed, max_new_tokens=max_new_tokens)
    # Only the text of the prompts is used, and it is the same with every tokenizer.
    tokenizer = load_tokenizer(ModelSettings("tiny_base"))
    prompts = question_prompts(tokenizer, questions, shots=settings.shots, seed=settings.seed)
    texts = [(prompt.question, prompt.text) for prompt in prompts]
    tasks = {f"{name}_generate": (_generate(max_new_tokens), [_answer_row(*one) for one in texts])}
    if choices := [_choice_row(*one) for one in texts if one[0].options]:
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
        if "relations" in context_columns(questions):
            _write_relations(draft / RELATIONS, questions)
    logger.info("Wrote %s: %s.", folder, ", ".join(f"{task} ({len(rows)})" for task, (_, rows) in tasks.items()))
    logger.info(
        "lm_eval --model hf --model_args pretrained=BASE,peft=ADAPTER --include_path %s --tasks %s", folder, name
    )


def _problems(questions: Sequence["Question"], folder: Path, name: str) -> Iterator[str]:
    if not NAME.fullmatch(name):
        yield f"name={name!r}: use only letters, digits, _ and -, such as 'my_questions'."
    yield from atomic_files.new_folder_problems(folder)
    if not questions:
        yield "There are no questions: give at least one."
    if wrong := [question.id for question in questions if question.options and not _accepted(question)]:
        yield (
            f"{number_of(len(wrong), 'question has', 'questions have')} options without an accepted answer, such as"
            f" {wrong[0]!r}. Add an accepted"
            " answer to the options, or leave the options out."
        )


def _options(question: "Question") -> list[str]:
    return [option for option in dict.fromkeys(question.options) if option.strip()]


def _accepted(question: "Question") -> list[int]:
    """Return the indices of the choices of a question that are accepted answers."""
    answers = {normalize(answer) for answer in question.answers}
    return [place for place, option in enumerate(_options(question)) if normalize(option) in answers]


def _answer_row(question: "Question", prompt: str) -> dict[str, Any]:
    row = {"id": question.id, "prompt": prompt, "answers": question.answers, "question": question.text}
    return row | ({"relation": question.relation} if question.relation else {})


def _write_relations(path: Path, questions: Sequence["Question"]) -> None:
    answers: dict[str, list[str]] = {}
    for question in questions:
        answers.setdefault(str(question.relation), []).extend(question.answers)
    path.write_text(json.dumps(answers, ensure_ascii=False), encoding="utf-8")


def _choice_row(question: "Question", prompt: str) -> dict[str, Any]:
    return {"id": question.id, "prompt": prompt, "options": _options(question), "accepted": _accepted(question)}


def _long_answers(questions: Sequence["Question"], max_new_tokens: int) -> Iterator[str]:
    """Yield a message for each question whose accepted answers have more words than a response has tokens.

    Why words: the tokenizer of the evaluated model is unknown here, and a word has at least one token.
    """
    for question in questions:
        words = min(len(answer.split()) for answer in question.answers)
        if 0 < max_new_tokens < words:
            yield (
                f"The accepted answers of question {question.id!r} have at least {number_of(words, 'word')}, but a"
                f" response has at most {number_of(max_new_tokens, 'token')} (--max_new_tokens {max_new_tokens}), so"
                " no response is correct. Increase --max_new_tokens, or add a shorter answer."
            )


def _generate(max_new_tokens: int) -> dict[str, Any]:
    return {
        "output_type": "generate_until",
        "doc_to_text": "prompt",
        "doc_to_target": "answers",
        # Why `until` is empty: some models begin an answer with a line break.
        "generation_kwargs": {"until": [], "do_sample": False, "max_gen_toks": max_new_tokens},
        "process_results": _Function(f"{CODE}.score_answer"),
        **_scored("correct", "exact_match", "f1"),
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
    # Why num_fewshot is 0: the harness then ignores `--num_fewshot`, whose examples would precede ours.
    return {"metric_list": listed, "num_fewshot": 0, "metadata": {"version": 1.0}}


def _write_yaml(path: Path, config: Mapping[str, Any]) -> None:
    path.write_text(yaml.dump(config, Dumper=_Dumper, sort_keys=False, allow_unicode=True), encoding="utf-8")


def _code() -> str:
    parts = (inspect.getsource(part) for part in (*MODULES, read_rows, relation_answers, score_answer))
    # Why: the harness imports a single file, so the modules of the scores become one, without imports of each other.
    return HEADER + re.sub(r"^from \.\w+ import (\([^)]*\)|.*)\n", "", "\n\n".join(parts), flags=re.MULTILINE)

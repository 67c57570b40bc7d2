"""The words that the glossary of CONTRIBUTING.md replaces do not occur, also not as parts of identifiers.

Each thing has one standard term, so that Python, YAML, command line, report and docs use the same one. Ordinary uses
of these words are avoided too, because a search would find them.
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("hf_knowlearn", "tests", "recipes", "docs", "model_cards", "notebooks", "benchmarks")
FILES = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "Makefile", "Dockerfile", "mkdocs.yml", "pyproject.toml")
SUFFIXES = (".py", ".md", ".yaml", ".jinja", ".ipynb")
# Records of earlier runs, the documents of an invented company, and this list.
EXCLUDED = ("benchmarks/results", "hf_knowlearn/worlds/handbook/", "tests/test_language.py")
# The standard term, and patterns of the words that it replaces.
WORDS = {
    "view, rendered": ["told", "tellings?", "retell(s|ing)?"],
    "predict": ["foretells?", "foretold", "foretelling"],
    "prompt": ["openings", "stands", "stood"],
    "response, answer": ["reply", "replies", "replied", "said"],
    "report, state": ["says? so"],
    "shuffled order, block, pool": ["by turns", "dealt", "decks?"],
    "replay": ["rehears(e|es|ed|ing)"],
    "self-generated text": ["own[ _]texts?", "writes? itself", "wrote itself"],
    "retention, retained; verbatim": ["kept", "keeping"],
    "raw, unchanged": ["as[ _-]written"],
    "training unit": ["lessons?"],
    "base model, fine-tuned model": ["untaught", "taught[ _]models?"],
    "ascent step, perturb, baseline": ["climb(s|ed|ing)?", "uphill", "twins?"],
    "error, raise an error, fix": ["refus(e|es|ed|ing|al|als)", "ways? out", "mend(s|ed|ing)?"],
    "package, module, architecture, space": ["rooms?", "corridors?", "house", "roads?"],
    "evaluate, question": ["asked", "asking"],
    "random number generator": ["noise"],
    "who; or else; from now on": ["reminded", "whoever", "lest", "henceforth"],
    "contains": ["containment"],
    "what the module does": ["surprising decision"],
}
# Only the laboratory compares arms.
ARM = ["arms?"]
LAB = (
    "hf_knowlearn/lab",
    "hf_knowlearn/commands/lab.py",
    "tests/lab",
    "recipes/lab",
    "docs/laboratory.md",
    "benchmarks",
    "tests/benchmarks",
)
# Texts in which some of the words are ordinary: stories in the tests, and one sentence of the synthetic people.
STORIES = {
    ("tests/documents", "tests/views"): ["said", "house", "roads?", "asked", "kept open", "stands for"],
    ("hf_knowlearn/worlds/people.py",): ["fill the house"],
    ("hf_knowlearn/views/masked.py",): ["stands for"],
    ("hf_knowlearn/documents/block_rules.py",): ["reply-to"],  # a header of mails
    ("tests/training",): ["neftune_noise_alpha"],
}


def pattern(words: list[str]) -> re.Pattern[str]:
    """Matches the words alone or as a part of an identifier, but not within a longer word."""
    return re.compile(rf"(?<![A-Za-z])(?:{'|'.join(words)})(?![a-z])", re.IGNORECASE)


def forbidden_words(text: str, name: str = "") -> list[str]:
    """The forbidden words in the text of a file, with their lines."""
    words = [word for group in WORDS.values() for word in group] + ([] if name.startswith(LAB) else ARM)
    for names, ordinary in STORIES.items():
        if name.startswith(names):
            text = pattern(ordinary).sub("", text)
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", text)  # the words of camel case
    return [
        f"line {number}: {found[0]!r} in {line.strip()[:100]!r}"
        for number, line in enumerate(text.splitlines(), 1)
        for found in pattern(words).finditer(line)
    ]


def files() -> list[str]:
    paths = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in SUFFIXES]
    names = [path.relative_to(ROOT).as_posix() for path in paths if path.is_file() and "data" not in path.parts]
    return sorted(name for name in [*names, *FILES] if not name.startswith(EXCLUDED))


@pytest.mark.parametrize("name", files())
def test_a_file_uses_the_words_of_the_glossary(name: str):
    assert forbidden_words((ROOT / name).read_text(encoding="utf-8"), name) == []


def test_there_are_files():
    assert len(files()) > 200


@pytest.mark.parametrize(
    "text",
    [
        "It was told twice.", "tests/was_told.py", "class ToldTwice:", "Rehearsed: 0.5", "as_written", "as written",
        "own texts", "it is refused", "a refusal", "arms", "it says so",
    ],
)  # fmt: skip
def test_forbidden_words_are_found(text: str):
    assert len(forbidden_words(text)) == 1


@pytest.mark.parametrize("text", ["alarms", "bedroom", "replying_to", "broad", "self-synthesised rehearsal"])
def test_parts_of_other_words_are_not_found(text: str):
    assert forbidden_words(text) == []


def test_arm_is_a_word_of_the_laboratory_only():
    assert forbidden_words("an arm", "docs/laboratory.md") == []
    assert len(forbidden_words("an arm", "docs/replay.md")) == 1


def test_words_of_stories_are_allowed_in_stories_only():
    assert forbidden_words("she said", "tests/views/test_find.py") == []
    assert len(forbidden_words("she said", "hf_knowlearn/views/view.py")) == 1

"""The pages of docs/ and the README agree with the code: commands, options, snippets, figures and links."""

import ast
import itertools
import re
import runpy
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from hf_knowlearn import Document, __version__, format_views
from hf_knowlearn.cli import _parser
from hf_knowlearn.config.parsing import evaluation_options, run_options
from hf_knowlearn.config.recipes import SHORT_NAMES, parse_recipe
from hf_knowlearn.config.teach_arguments import TRAINING_SETS
from hf_knowlearn.views import MARKS, TooFewViewsError

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", "CONTRIBUTING.md", *sorted(f"docs/{page.name}" for page in ROOT.glob("docs/*.md"))]
RECIPES = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("recipes/**/*.yaml"))
# Options in the text that belong to other programs.
OPTIONS_OF_OTHERS = {
    "apply_chat_template", "base", "build-arg", "gpus", "lora", "machine_rank", "no-deps", "outfile", "strict",
    "table",
}  # fmt: skip


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


# Commands


def commands(text: str) -> Iterator[list[str]]:
    """The words of every `knowlearn` command in shell code, once for each value of the loops around it."""
    code = text.replace("\\\n", " ")
    loops = {name: values.split() for name, values in re.findall(r"for (\w+) in ([^;\n]+);", code)}
    for line in code.splitlines():
        for command in re.findall(r"(?:knowlearn [a-z-]|accelerate launch ).*?(?= && |; | \| | < |$)", line):
            names = [name for name in loops if f"${name}" in command]
            for values in itertools.product(*(loops[name] for name in names)):
                expanded = command
                for name, value in zip(names, values, strict=True):
                    expanded = expanded.replace(f"${name}", value)
                yield from _knowlearn(shlex.split(expanded, comments=True))


def _knowlearn(words: list[str]) -> Iterator[list[str]]:
    if words[:1] == ["knowlearn"]:
        yield words[1:]
    elif "hf_knowlearn.teach" in words:
        yield ["teach", *words[words.index("hf_knowlearn.teach") + 1 :]]


def commands_of_pages() -> dict[str, list[list[str]]]:
    found = {
        page: [*itertools.chain(*map(commands, re.findall(r"```bash\n(.*?)```", read(page), re.DOTALL)))]
        for page in PAGES
    }
    for recipe in RECIPES:
        header = "\n".join(
            line.removeprefix("#").strip() for line in read(recipe).splitlines() if line.startswith("#   ")
        )
        found[recipe] = [*commands(header)]
    return {page: list_ for page, list_ in found.items() if list_}


COMMANDS = commands_of_pages()


@pytest.mark.parametrize("page", COMMANDS)
def test_every_command_of_a_page_parses(page: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ROOT)
    for words in COMMANDS[page]:
        if {"--help", "--version"} & {*words}:
            continue
        if words[0] == "teach":
            # Why: a header can show the command without its data, so that the recipe must not be complete.
            parse_recipe(words[1:], {"use_cpu": True, **missing_options(words)})
        else:
            _parser().parse_args(words)


def missing_options(words: list[str]) -> dict[str, Any]:
    required = {
        "model_name_or_path": ("--model",),
        "documents": ("--documents", "--train_questions"),
        "output_dir": (),
    }
    if "--config" in words:
        recipe = yaml.safe_load(read(words[words.index("--config") + 1]))
        required = {name: options for name, options in required.items() if name not in recipe}
    if any(word.startswith("recipes/models") or "quickstart" in word for word in words):
        required.pop("model_name_or_path", None)
    return {name: "x" for name, options in required.items() if not {f"--{name}", *options} & {*words}}


def test_the_pages_have_commands():
    assert {"README.md", "docs/curricula.md", "docs/replay.md", "recipes/teach.yaml"} <= COMMANDS.keys()
    assert sum(map(len, COMMANDS.values())) > 60


def known_options() -> set[str]:
    """Every option of `knowlearn`, without its dashes."""
    teach = {*run_options(), *SHORT_NAMES, "config", "curriculum", "help"}
    evaluation = {f"evaluation.{name}" for name in evaluation_options()}
    return teach | evaluation | {*_options_of(_parser())}


def _options_of(parser: Any) -> Iterator[str]:
    for action in parser._actions:
        yield from (option.removeprefix("--") for option in action.option_strings)
        for subparser in action.choices.values() if isinstance(action.choices, Mapping) else ():
            yield from _options_of(subparser)


@pytest.mark.parametrize("page", [*PAGES, *RECIPES])
def test_every_option_that_a_page_names_exists(page: str):
    # Why: commands in blocks and in headers of recipes have a test of their own, and some are of other programs.
    text = re.sub(r"```.*?```|^#   .*?$", "", read(page), flags=re.DOTALL | re.MULTILINE)
    names = {re.sub(r"^stages\.\w+\.", "", name) for name in re.findall(r"(?<![\w-])--([a-z][\w.-]*\w)", text)}
    assert names - known_options() - OPTIONS_OF_OTHERS - {"stages.NAME.OPTION", "evaluation.OPTION"} == set()


# Python


@pytest.mark.parametrize("page", PAGES)
def test_python_snippets_compile_and_import_public_names(page: str):
    import hf_knowlearn

    for code in re.findall(r"```python\n(.*?)```", read(page), re.DOTALL):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and node.module == "hf_knowlearn":
                assert [name.name for name in node.names if not hasattr(hf_knowlearn, name.name)] == []


def test_the_python_snippets_of_the_readme_run(capsys: pytest.CaptureFixture[str]):
    snippets = re.findall(r"```python\n(.*?)```", read("README.md"), re.DOTALL)
    assert snippets
    for code in snippets:
        exec(code, {})
    assert capsys.readouterr().out


# The page of views


def test_the_page_of_views_lists_every_mark_of_every_group():
    rows = [f"| {group} | {', '.join(mark.name for mark in marks)} |" for group, marks in MARKS.items()]
    listed = [line for line in read("docs/views.md").splitlines() if line.split(" | ")[0].removeprefix("| ") in MARKS]
    assert listed == rows


def test_the_page_of_views_states_the_number_of_formats_of_five_sentences():
    five = Document("five", " ".join(f"Fact number {i} is here." for i in range(5)))
    with pytest.raises(TooFewViewsError) as caught:
        format_views(five, 10**6)
    assert f"{caught.value.available:,} formats" in read("docs/views.md")


def test_the_example_of_the_page_of_views_prints_its_output(capsys: pytest.CaptureFixture[str]):
    code, output = re.search(r"```python\n(.*?)```\n\n```text\n(.*?)```", read("docs/views.md"), re.DOTALL).groups()
    exec(code, {})
    assert capsys.readouterr().out == output


# Options and stages


def test_the_page_of_options_is_generated_from_their_help():
    page = runpy.run_path(str(ROOT / "tests" / "config" / "options_page.py"))["page"]
    assert read("docs/options.md") == page(), "run `make docs`"


def test_the_stages_of_the_page_of_curricula_are_a_valid_recipe():
    (recipe,) = re.findall(r"```yaml\n(.*?)```", read("docs/curricula.md"), re.DOTALL)
    options = yaml.safe_load(recipe)
    assert options.pop("extends") == "teach.yaml"
    needed = {"model_name_or_path": "m", "output_dir": "out", "use_cpu": True, **dict.fromkeys(TRAINING_SETS, "here")}
    assert [stage.name for stage in parse_recipe([], {**needed, **options}).stages] == ["prepare", "learn", "refine"]


# Links and the site


@pytest.mark.parametrize("page", PAGES)
def test_links_to_files_of_the_repository_work(page: str):
    links = [link for link in re.findall(r"\]\(([^)#\s]+)", read(page)) if "://" not in link]
    assert [link for link in links if not ((ROOT / page).parent / link).exists()] == []


def test_the_site_has_every_page_once():
    def pages(entries: Any) -> Iterator[str]:
        for entry in entries:
            (value,) = entry.values()
            yield from [value] if isinstance(value, str) else pages(value)

    # Why: the tag !ENV of mkdocs is unknown to a safe loader.
    config = yaml.safe_load(read("mkdocs.yml").replace("!ENV", ""))
    assert sorted(pages(config["nav"])) == sorted(page.name for page in ROOT.glob("docs/*.md"))


@pytest.mark.parametrize(
    ("link", "address", "result"),
    [
        ("[a](../recipes/teach.yaml)", None, "a (`recipes/teach.yaml`)"),
        ("[a](../recipes/teach.yaml)", "https://host/o/n/", "[a](https://host/o/n/blob/main/recipes/teach.yaml)"),
        ("[a](../README.md#install)", "https://host/o/n", "[a](https://host/o/n/blob/main/README.md#install)"),
        ("[a](../recipes)", "https://host/o/n", "[a](https://host/o/n/tree/main/recipes)"),
        ("[a](../nowhere.md)", "https://host/o/n", "[a](../nowhere.md)"),  # an error of `mkdocs build --strict`
        ("[a](views.md), [b](https://host/x)", "https://host/o/n", "[a](views.md), [b](https://host/x)"),
    ],
)
def test_links_out_of_docs_lead_to_the_repository(link: str, address: str | None, result: str):
    hook = runpy.run_path(str(ROOT / "docs" / "repository_links.py"))["on_page_markdown"]
    assert hook(link, config=SimpleNamespace(repo_url=address), page=None, files=None) == result


def test_the_citation_names_this_version_and_the_paper():
    citation = yaml.safe_load(read("CITATION.cff"))
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()  # required by version 1.2.0
    assert (citation["cff-version"], citation["version"]) == ("1.2.0", __version__)
    (paper,) = citation["references"]
    assert {"type", "title", "authors"} <= paper.keys()
    assert paper["identifiers"][0]["value"] == "arXiv:2503.03705"

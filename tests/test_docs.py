"""The pages: what of them the code knows is what the code says."""

import re
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from hf_knowlearn import Document, __version__, format_views
from hf_knowlearn.config.recipes import parse_recipe
from hf_knowlearn.config.teach_arguments import READ
from hf_knowlearn.views import MARKS

ROOT = Path(__file__).parents[1]
VIEWS = (ROOT / "docs" / "views.md").read_text(encoding="utf-8")


def test_the_page_lists_every_mark_of_every_group():
    rows = [f"| {group} | {', '.join(mark.name for mark in marks)} |" for group, marks in MARKS.items()]
    assert [line for line in VIEWS.splitlines() if line.split(" | ")[0].removeprefix("| ") in MARKS] == rows


def test_the_page_says_how_many_formats_five_sentences_have():
    five = Document("five", " ".join(f"Fact number {i} is here." for i in range(5)))
    with pytest.raises(ValueError, match="distinct formats") as refusal:
        format_views(five, 10**6)
    number = int(re.search(r"only (\d+) distinct", str(refusal.value))[1])
    assert f"of five short sentences without a title has {number:,} formats" in VIEWS


def test_the_example_of_the_page_says_what_it_prints(capsys: pytest.CaptureFixture[str]):
    code, said = re.search(r"```python\n(.*?)```\n\n```text\n(.*?)```", VIEWS, re.DOTALL).groups()
    exec(code, {})
    assert capsys.readouterr().out == said


def test_the_page_of_options_is_made_from_their_help():
    assert (ROOT / "docs" / "options.md").read_text(encoding="utf-8") == runpy.run_path(
        str(ROOT / "tests" / "config" / "options_page.py")
    )["page"]()


def test_the_stages_of_the_page_can_be_run():
    (written,) = re.findall(
        r"```yaml\n(.*?)```", (ROOT / "docs" / "curricula.md").read_text(encoding="utf-8"), re.DOTALL
    )
    options = yaml.safe_load(written)
    assert options.pop("extends") == "teach.yaml"
    needed = {"model_name_or_path": "m", "output_dir": "out", "use_cpu": True, **dict.fromkeys(READ, "here")}
    assert [stage.name for stage in parse_recipe([], {**needed, **options}).stages] == ["prepare", "read", "refine"]


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", *(f"docs/{p.name}" for p in ROOT.glob("docs/*.md"))])
def test_a_link_within_the_repository_leads_somewhere(page: str):
    text = (ROOT / page).read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#\s]+)", text) if "://" not in link]
    missing = [link for link in links if not ((ROOT / page).parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize(
    ("link", "at", "turned"),
    [
        ("[a](../recipes/teach.yaml)", None, "a (`recipes/teach.yaml`)"),
        ("[a](../recipes/teach.yaml)", "https://host/o/n/", "[a](https://host/o/n/blob/main/recipes/teach.yaml)"),
        ("[a](../README.md#the-house)", "https://host/o/n", "[a](https://host/o/n/blob/main/README.md#the-house)"),
        ("[a](../recipes)", "https://host/o/n", "[a](https://host/o/n/tree/main/recipes)"),
        ("[a](../nowhere.md)", "https://host/o/n", "[a](../nowhere.md)"),  # which --strict then refuses
        ("[a](views.md), [b](https://host/x)", "https://host/o/n", "[a](views.md), [b](https://host/x)"),
    ],
)
def test_on_the_site_a_link_out_of_the_pages_leads_to_the_repository(link: str, at: str | None, turned: str):
    hook = runpy.run_path(str(ROOT / "docs" / "repository_links.py"))["on_page_markdown"]
    assert hook(link, config=SimpleNamespace(repo_url=at), page=None, files=None) == turned


def test_the_citation_is_of_this_version_and_names_the_paper():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()  # what 1.2.0 asks for
    assert (citation["cff-version"], citation["version"]) == ("1.2.0", __version__)
    (paper,) = citation["references"]
    assert {"type", "title", "authors"} <= paper.keys()
    assert paper["identifiers"][0]["value"] == "arXiv:2503.03705"

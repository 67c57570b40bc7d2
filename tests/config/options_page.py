"""Writes docs/options.md from the help of the options: `make docs`."""

from pathlib import Path

from hf_knowlearn.config.help import LONG, SHORT, effective_defaults, own_options, shown_default

PAGE = Path(__file__).parents[2] / "docs" / "options.md"
HEAD = """# Options

This page lists the options that `knowlearn teach` adds to those of TRL and transformers. Set an option on the command
line (`--num_views 6`) or in a recipe (`num_views: 6`). Every option of TRL's `SFTConfig` and `ModelConfig` is accepted
too.

The table has the defaults of a run without a recipe, which come from `recipes/teach.yaml`. `make docs` generates this
page from the help texts of the options.
"""
EVALUATION = """Set an option of the evaluation on the command line (`--evaluation.shots 4`) or in a recipe:

```yaml
evaluation:
  shots: 4
  template: chat
```
"""


def page() -> str:
    """The page for the options as they are now."""
    own = own_options()
    groups: dict[str, list[str]] = {}
    for group, names in [*SHORT.items(), *LONG.items()]:
        groups.setdefault(group, []).extend(name for name in names if name in own)
    nested = [name for name in own if name.startswith("evaluation.")]
    sam = [name for name in own if name.startswith("sam_")]
    groups["Training"] = []
    lines = [HEAD]
    for group, names in groups.items():
        if names:
            lines += [f"## {group}", "", *_table(names)]
    lines += ["## Evaluation", "", EVALUATION, *_table(nested), "## SAM", "", *_table(sam)]
    return "\n".join(lines)


def _table(names: list[str]) -> list[str]:
    own, defaults = own_options(), effective_defaults()
    rows = []
    for name in names:
        option = own[name]
        choices = option.metadata.get("choices")
        text = option.metadata["help"] + (f" One of {', '.join(f'`{c}`' for c in choices)}." if choices else "")
        default = shown_default(defaults.get(name))
        rows.append(f"| `{name}` | {f'`{default}`' if default else ''} | {text} |")
    return ["| option | default | |", "| --- | --- | --- |", *rows, ""]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

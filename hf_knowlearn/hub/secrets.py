"""Secrets: tokens and keys in what is about to be published, by file and line, and never by value.

The surprising decision: beside the forms that the well-known services give their keys, what is looked for are the very
secrets of this machine (the Hub's token, what the environment calls one), which no form can miss.
"""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

SHORTEST = 12  # characters of a secret of this machine; a shorter one stands in texts by chance
MOST = 20  # hits that are told of
NAMED = re.compile(
    r"(token|secret|passw(or)?d|passphrase|(api|access|private|secret)_?key|credential)s?$", re.IGNORECASE
)
# What keys look like. Word ends keep a form from being found within a longer word, such as a hash.
FORMS = {
    "a Hugging Face token": r"\b(?:hf|api_org)_[A-Za-z0-9]{30,}\b",
    "a GitHub token": r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_\w{40,})\b",
    "a GitLab token": r"\bglpat-[\w-]{20,}",
    "an AWS access key": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "a Google API key": r"\bAIza[\w-]{35}\b",
    "an OpenAI or Anthropic key": r"\bsk-(?:[A-Za-z]+\d*-)*[\w-]{20,}\b",
    "a Slack token": r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}",
    "a Stripe key": r"\b[rs]k_(?:live|test)_[A-Za-z0-9]{20,}\b",
    "an npm token": r"\bnpm_[A-Za-z0-9]{36}\b",
    "a PyPI token": r"\bpypi-AgE[\w-]{50,}",
    "a JSON web token": r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}",
    "a private key": r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----",
    "a password in an address": r"\b[a-z][a-z0-9+.-]*://[^\s/:@'\"<>]+:[^\s/:@'\"<>]{3,}@[\w.-]+",
    "what is named a secret": (
        r"(?i:\b[\w-]{0,40}(?:api_?key|secret|access_?token|auth_?token|hub_token|password|passwd)s?)"
        r"[\"']?\s*[:=]\s*[\"']?(?=[^\s\"',}]*\d)[^\s\"',}<>{]{12,}"
    ),
}


def own_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """This machine's secrets by where they come from: the Hub's token, and what the environment names one."""
    from huggingface_hub import get_token

    found = {"this machine's token for the Hub": get_token() or ""}
    found |= {f"the value of ${name}": value.strip() for name, value in environment.items() if NAMED.search(name)}
    return {name: value for name, value in found.items() if len(value) >= SHORTEST}


def refuse_secrets(folder: Path, environment: Mapping[str, str] = os.environ) -> None:
    """Refuse a folder whose files hold what looks like a secret. Weights and pictures are not looked into.

    Raises:
        ValueError: file and line of each (of a table the row) and what it looks like; never the secret.
    """
    kinds = {name: re.escape(value) for name, value in own_secrets(environment).items()} | FORMS
    form = re.compile("|".join(f"({of_kind})" for of_kind in kinds.values()))
    hits = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        unit = "row" if path.suffix == ".parquet" else "line"
        for number, text in enumerate(_lines(path), 1):
            found = {list(kinds)[hit.lastindex - 1] for hit in form.finditer(text) if hit.lastindex}
            where = f"{path.relative_to(folder).as_posix()}, {unit} {number}"
            hits += [f"  {where}: {kind}" for kind in sorted(found)]
    if hits:
        more = [f"  … and {len(hits) - MOST} more"] if len(hits) > MOST else []
        raise ValueError(
            "Nothing was published: what was to be holds what looks like a secret.\n"
            + "\n".join([*hits[:MOST], *more])
            + "\nTake it out where it came from (a recipe, a document, a question) and run this again. A secret that"
            " others may have read is to be revoked as well."
        )


def _lines(path: Path) -> Iterator[str]:
    """The lines of a text, or the rows of a table."""
    if path.suffix == ".parquet":
        from pyarrow.parquet import ParquetFile

        with ParquetFile(path) as table:
            for batch in table.iter_batches(1000):
                yield from (" ".join(map(str, row.values())) for row in batch.to_pylist())
    elif path.suffix not in (".safetensors", ".png"):
        with path.open(encoding="utf-8", errors="replace") as lines:
            yield from lines

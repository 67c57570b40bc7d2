"""Searches files for secrets before they are published. Messages name the file and the line, but not the secret.

Why not detect-secrets: its last release (1.5.0, May 2024) does not find tokens of Hugging Face and Google, and does
not search Parquet files. It also does not search for the secrets of this machine: the Hub token, and secrets in
environment variables.
"""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

SHORTEST = 12  # minimum length of a secret of this machine; a shorter value can occur in a text by chance
MOST = 20  # maximum number of findings in the message
SECRET_NAME = re.compile(
    r"(token|secret|passw(or)?d|passphrase|(api|access|private|secret)_?key|credential)s?$", re.IGNORECASE
)
# Kind of secret -> its pattern. Word boundaries prevent matches in longer words, such as hashes.
PATTERNS = {
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
    "a value with the name of a secret": (
        r"(?i:\b[\w-]{0,40}(?:api_?key|secret|access_?token|auth_?token|hub_token|password|passwd)s?)"
        r"[\"']?\s*[:=]\s*[\"']?(?=[^\s\"',}]*\d)[^\s\"',}<>{]{12,}"
    ),
}


def own_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the secrets of this machine, by description: the Hub token, and environment variables like API_KEY."""
    from huggingface_hub import get_token

    named = {f"the value of ${name}": value.strip() for name, value in environment.items() if SECRET_NAME.search(name)}
    found = {"this machine's token for the Hub": get_token() or "", **named}
    return {name: value for name, value in found.items() if len(value) >= SHORTEST}


def check_secrets(folder: Path, environment: Mapping[str, str] = os.environ) -> None:
    """Search all files of a folder for secrets. Weights and images are not searched.

    Raises:
        ValueError: a file may contain a secret. The message names the file, the line and the kind of secret.
    """
    kinds = {name: re.escape(value) for name, value in own_secrets(environment).items()} | PATTERNS
    pattern = re.compile("|".join(f"({of_kind})" for of_kind in kinds.values()))
    findings = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        unit = "row" if path.suffix == ".parquet" else "line"
        for number, text in enumerate(_lines(path), 1):
            found = {list(kinds)[match.lastindex - 1] for match in pattern.finditer(text) if match.lastindex}
            where = f"{path.relative_to(folder).as_posix()}, {unit} {number}"
            findings += [f"  {where}: {kind}" for kind in sorted(found)]
    if findings:
        more = [f"  … and {len(findings) - MOST} more"] if len(findings) > MOST else []
        raise ValueError(
            "Nothing was published, because these files may contain secrets:\n"
            + "\n".join([*findings[:MOST], *more])
            + "\nRemove each secret from its source, such as a recipe, a document or a question. Then run the command"
            " again. Revoke each secret that other people may have read."
        )


def _lines(path: Path) -> Iterator[str]:
    """Yield the lines of a text file, or the rows of a Parquet file."""
    if path.suffix == ".parquet":
        from pyarrow.parquet import ParquetFile

        with ParquetFile(path) as table:
            for batch in table.iter_batches(1000):
                yield from (" ".join(map(str, row.values())) for row in batch.to_pylist())
    elif path.suffix not in (".safetensors", ".png"):
        with path.open(encoding="utf-8", errors="replace") as lines:
            yield from lines

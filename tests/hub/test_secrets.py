"""Tests of the search for secrets: each kind is found by file and line, and ordinary text is not."""

import json
from pathlib import Path

import pytest

from hf_knowlearn.hub.secrets import PATTERNS, check_secrets

# Concatenated here, so that no search of this repository finds them.
SECRETS = {
    "a Hugging Face token": "hf_" + "aBcD" * 9,
    "a GitHub token": "ghp_" + "a1B2" * 9,
    "a GitLab token": "glpat-" + "a1B2" * 5,
    "an AWS access key": "AKIA" + "A1B2" * 4,
    "a Google API key": "AIza" + "a1B2_" * 7,
    "an OpenAI or Anthropic key": "sk-" + "proj-" + "a1B2" * 10,
    "a Slack token": "xoxb-" + "123456789012-abcdef",
    "a Stripe key": "sk_live_" + "a1B2" * 6,
    "an npm token": "npm_" + "a1B2" * 9,
    "a PyPI token": "pypi-AgE" + "a1B2" * 14,
    "a JSON web token": "eyJ" + "a1B2" * 4 + ".eyJ" + "a1B2" * 4 + "." + "a1B2" * 4,
    "a private key": "-----BEGIN OPENSSH " + "PRIVATE KEY-----",
    "a password in an address": "postgres://ann:" + "hunter2@db.example/people",
    "a value with the name of a secret": '"wandb_api_key": "' + "0123456789abcdef" * 2 + '"',
}


def test_every_pattern_has_an_example():
    assert set(SECRETS) == set(PATTERNS)


@pytest.mark.parametrize("kind", SECRETS)
def test_a_secret_is_reported_by_file_and_line_but_not_by_value(kind: str, tmp_path: Path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "recipe.yaml").write_text(f"a: 1\nb: {SECRETS[kind]}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=f"deep/recipe.yaml, line 2: {kind}") as error:
        check_secrets(tmp_path, {})
    assert SECRETS[kind] not in str(error.value)
    assert "Nothing was published" in str(error.value)


def test_secrets_of_this_machine_are_found_in_any_form(tmp_path: Path):
    (tmp_path / "README.md").write_text("so it is, you see: correct-horse-battery", encoding="utf-8")
    named = {"MY_SERVICE_TOKEN": "correct-horse-battery", "PATH": "so it is, you see", "SHORT_SECRET": "so it"}
    with pytest.raises(ValueError, match=r"README.md, line 1: the value of \$MY_SERVICE_TOKEN\n") as error:
        check_secrets(tmp_path, named)
    assert "horse" not in str(error.value)
    check_secrets(tmp_path, {"PATH": "correct-horse-battery"})


def test_this_machines_hub_token_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_TOKEN", "a-token-of-another-form")
    (tmp_path / "report.json").write_text('{"x": "a-token-of-another-form"}', encoding="utf-8")
    with pytest.raises(ValueError, match=r"report\.json, line 1: this machine's token for the Hub"):
        check_secrets(tmp_path, {})


def test_rows_of_parquet_files_are_searched(tmp_path: Path):
    import pyarrow as pa
    from pyarrow import parquet

    texts = ["plain", "more\nlines", f"the key is {SECRETS['an AWS access key']}\nsee"]
    parquet.write_table(pa.table({"text": texts}), tmp_path / "train.parquet")
    with pytest.raises(ValueError, match=r"train\.parquet, row 3: an AWS access key"):
        check_secrets(tmp_path, {})


def test_weights_are_not_searched(tmp_path: Path):
    (tmp_path / "model.safetensors").write_text(SECRETS["a Hugging Face token"], encoding="utf-8")
    check_secrets(tmp_path, {})


def test_ordinary_text_is_no_secret(tmp_path: Path):
    report = (Path(__file__).with_name("report.json")).read_text(encoding="utf-8")
    plain = [
        report,
        "The password is on page 12, and the secret: nobody knows.",
        "see https://example.org:8080/a@b and hf_hub_download and tokens: 528509",
        json.dumps({"pad_token": "<|pad|>", "push_to_hub": False, "hub_token": None, "eos_token_id": 1}),
        "eyJust a word. sk-learn, risk-averse-and-otherwise-unremarkable-people",
    ]
    (tmp_path / "text.md").write_text("\n".join(plain), encoding="utf-8")
    check_secrets(tmp_path, {})


def test_at_most_twenty_findings_are_listed(tmp_path: Path):
    (tmp_path / "x.txt").write_text(f"{SECRETS['an npm token']}\n" * 23, encoding="utf-8")
    with pytest.raises(ValueError, match="… and 3 more") as error:
        check_secrets(tmp_path, {})
    assert str(error.value).count("an npm token") == 20

"""`knowlearn publish`: a taught model, views, questions or the metric, staged, searched for secrets, and pushed.

The surprising decision: what is taught is private until it is known to be public. A name that looks like a dataset on
the Hub is asked for there; where it can't be had without a token, it counts as nobody else's.
"""

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from hf_knowlearn import atomic_files
from hf_knowlearn.hub.cards import TINY_BASE
from hf_knowlearn.hub.errors import clear_errors
from hf_knowlearn.hub.licenses import OURS, terms_of
from hf_knowlearn.hub.metadata import Published
from hf_knowlearn.hub.redaction import WORLD, hub_id, shown, taught_from
from hf_knowlearn.hub.secrets import refuse_secrets
from hf_knowlearn.hub.staging import Run, license_of, read_run, stage_folder, stage_model, stage_questions, stage_views
from hf_knowlearn.hub.staging import tree as tree_of
from hf_knowlearn.paths import FORMAT_AUG, KNOWLEDGE_RECALL
from hf_knowlearn.teach.stages import merges

if TYPE_CHECKING:
    from hf_knowlearn.config.parsing import Recipe

logger = logging.getLogger(__name__)

KINDS = {"adapter": "model", "views": "dataset", "questions": "dataset", "metric": "space"}
LICENSE = re.compile(r"[a-z0-9][a-z0-9.-]*")
COMMIT = "Publish with hf_knowlearn"


@dataclass(frozen=True)
class Request:
    """The options of `knowlearn publish`, as typed; None is one that wasn't."""

    kind: str
    source: str | None
    namespace: str
    name: str | None = None
    private: bool | None = None
    license: str | None = None
    merged: bool = False
    base_model: str | None = None
    train: str | None = None
    retention: str | None = None
    dry_run: bool = False
    output_dir: Path | None = None


def publish(request: Request) -> None:
    """Publish what was asked for, or (`dry_run`) write what would be published into a folder.

    Raises:
        ValueError: what is wrong with the options and the source, all at once; a secret in what would be published;
            or the Hub refused.
    """
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    from hf_knowlearn.hub.publish import publish as push

    if problems := list(_wrong(request)):
        raise ValueError("\n".join(problems))
    repo_id = f"{request.namespace}/{_name(request)}"
    validate_repo_id(repo_id)
    with _staging(request) as folder:
        public = {
            "adapter": _adapter, "views": _views, "questions": _questions, "metric": _metric
        }[request.kind](request, repo_id, folder)  # fmt: skip
        private = not public if request.private is None else request.private
        refuse_secrets(folder)
        kind = KINDS[request.kind]
        where = f"{'private' if private else 'public'} {kind} {repo_id}"
        logger.info("%s:\n%s", where[0].upper() + where[1:], tree_of(folder))
        if not request.dry_run:
            logger.info("Published: %s", push(folder, repo_id, kind, private, COMMIT))
    if request.dry_run:
        logger.info("Nothing was pushed. Written to %s.", request.output_dir)


def _wrong(request: Request) -> Iterator[str]:
    if request.source is None and request.kind != "metric":
        yield f"Give what is to be published: knowlearn publish {request.kind} SOURCE."
    elif request.source is not None and request.kind == "metric":
        yield f"{request.source}: the metric is the one in this package; leave SOURCE out."
    if request.dry_run != (request.output_dir is not None):
        yield "--dry_run and --output_dir go together: what would be published is written into that folder."
    elif (
        request.output_dir is not None
        and request.output_dir.exists()
        and (not request.output_dir.is_dir() or any(request.output_dir.iterdir()))
    ):
        yield f"output_dir={str(request.output_dir)!r} is there already: choose a new or an empty folder."
    if request.license is not None and not LICENSE.fullmatch(request.license):
        yield (
            f"--license {request.license!r}: give an identifier of the Hub's, such as cc-by-4.0, mit or other"
            " (https://huggingface.co/docs/hub/repositories-licenses)."
        )
    for option, of in {
        "merged": "adapter",
        "base_model": "adapter",
        "train": "questions",
        "retention": "questions",
    }.items():
        if getattr(request, option) and request.kind != of:
            yield f"--{option} is for publish {of}: leave it out."
    if request.base_model is not None and hub_id(request.base_model) is None:
        yield f"--base_model {request.base_model!r}: give its name on the Hub, OWNER/NAME."


def _name(request: Request) -> str:
    """The repository's name: as given, or after what is published."""
    if request.name is not None:
        return request.name
    source = {"metric": "knowledge_recall"}.get(request.kind) or Path(str(request.source)).absolute().name
    stem = source.removeprefix(WORLD)
    stem = Path(stem).stem if Path(stem).suffix in (".jsonl", ".json", ".csv", ".tsv", ".parquet") else stem
    return re.sub(r"[^A-Za-z0-9._-]+|--+|\.\.+", "-", stem).strip("-.") or request.kind


@contextmanager
def _staging(request: Request) -> Iterator[Path]:
    """A folder to be filled: the one of a dry run, which is there only if all went well, or one that is gone after."""
    if request.output_dir is not None:
        with atomic_files.atomic_write(request.output_dir) as draft:
            draft.mkdir()
            yield draft
    else:
        with TemporaryDirectory(prefix="knowlearn-") as made:
            folder = Path(made) / "repo"
            folder.mkdir()
            yield folder


def request_of(recipe: "Recipe") -> Request | None:
    """What is to be published when the run is finished, if its recipe says `push_to_hub`. Looks, and pushes nothing.

    Raises:
        ValueError: what would keep it from being published; better now than after the training.
    """
    if not recipe.pushes:
        return None
    owner, _, name = (recipe.training.hub_model_id or "").partition("/")
    if not (owner and name):
        raise ValueError(
            f"push_to_hub: hub_model_id={recipe.training.hub_model_id!r}: say where to, as hub_model_id: OWNER/NAME;"
            " or leave push_to_hub out, and publish the finished run with knowlearn publish adapter OUTPUT_DIR."
        )
    request = Request(
        "adapter", str(recipe.output_dir), owner, name, recipe.training.hub_private_repo, recipe.teach.hub_license
    )
    if problems := list(_wrong(request)):
        raise ValueError("\n".join(problems))
    _terms(request, taught_from(recipe.options))
    _base(request, str(recipe.model.model_name_or_path), recipe.model.use_peft and not merges(recipe))
    return request


# What is published. Each fills the folder, and says whether what it was made of is public already.


def _adapter(request: Request, repo_id: str, folder: Path) -> bool:
    run = read_run(Path(str(request.source)))
    license, public = _terms(request, taught_from(run.recipe))
    is_adapter = run.is_adapter and not request.merged
    if request.merged and not run.is_adapter:
        raise ValueError(f"--merged: {str(run.model)!r} holds a whole model, and no adapter to merge: leave it out.")
    named = str((run.report.get("model") or {}).get("name") or run.recipe.get("model_name_or_path"))
    base = _base(request, named, is_adapter)
    about = Published(repo_id, license, is_adapter, base, request.merged)
    with _weights(run, request) as weights:
        stage_model(run, folder, about, weights, base or named)
    return public


def _base(request: Request, named: str, is_adapter: bool) -> str | None:
    """What the base model is called on the Hub; None of a whole model's that isn't there, and of the packaged one.

    Raises:
        ValueError: an adapter's isn't there.
    """
    base = request.base_model or hub_id(named)
    if is_adapter and base is None and named != TINY_BASE:
        raise ValueError(
            f"The adapter's base model is {shown(named)!r}, a folder of this machine, without which nobody can use it:"
            " name the same model on the Hub with --base_model OWNER/NAME, or publish the whole model with --merged."
        )
    return base


@contextmanager
def _weights(run: Run, request: Request) -> Iterator[Path]:
    """The folder with the run's model; or one, gone after, with its adapter merged into its base."""
    if not request.merged:
        yield run.model
        return
    from peft import PeftConfig, PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    name = PeftConfig.from_pretrained(str(run.model)).base_model_name_or_path
    revision = (run.report.get("model") or {}).get("revision") or run.recipe.get("model_revision")
    with TemporaryDirectory(prefix="knowlearn-") as made:
        with clear_errors(f"--merged: the base model {shown(name)}"):
            # As it is stored, so that nothing is rounded that training did not round.
            base = AutoModelForCausalLM.from_pretrained(name, revision=revision or "main", dtype="auto")
        if getattr(base.config, "quantization_config", None) is not None:
            raise ValueError(
                "--merged: the base model is stored quantised, and merging into it would round away what was learned:"
                " publish the adapter without --merged."
            )
        PeftModel.from_pretrained(base, str(run.model)).merge_and_unload().save_pretrained(made)
        AutoTokenizer.from_pretrained(str(run.model)).save_pretrained(made)
        yield Path(made)


def _views(request: Request, repo_id: str, folder: Path) -> bool:
    source = Path(str(request.source))
    card = source / "README.md"
    named = license_of(card.read_text(encoding="utf-8")) if card.is_file() else None
    license = request.license or named
    if license is None and card.is_file():
        raise ValueError(_unlicensed(str(card)))
    stage_views(source, folder, repo_id, license or OURS)
    return source.resolve() == FORMAT_AUG


def _metric(_: Request, __: str, folder: Path) -> bool:
    stage_folder(KNOWLEDGE_RECALL, folder)
    return True


def _questions(request: Request, repo_id: str, folder: Path) -> bool:
    from hf_knowlearn.teach.provenance import fingerprint
    from hf_knowlearn.teach.sources import load_questions

    named = {"qa_train": request.train, "qa_eval": request.source, "retention": request.retention}
    given = {split: source for split, source in named.items() if source is not None}
    license, public = _terms(request, list(given.values()))
    read = {split: load_questions(source) for split, source in given.items()}
    splits = {split: [_row(question) for question in questions] for split, questions in read.items()}
    sources = {
        split: {"source": shown(given[split]), "sha256": fingerprint(questions)} for split, questions in read.items()
    }
    stage_questions(splits, folder, repo_id, license, sources)
    return public


def _row(question: Any) -> dict[str, Any]:
    row = asdict(question)
    return {**row, "question": row.pop("text"), "answers": list(row["answers"]), "options": list(row["options"])}


# Under which terms


def _terms(request: Request, sources: Sequence[str]) -> tuple[str, bool]:
    """The licence of what is published, and whether all that it was made of is public already.

    Raises:
        ValueError: no licence is known, or several, and none was given.
    """
    found = [terms_of(source) for source in sources]
    licenses = {license for license, _ in found}
    public = bool(found) and all(is_public for _, is_public in found)
    if request.license is not None:
        return request.license, public
    if len(licenses) != 1 or None in licenses:
        unknown = [shown(source) for source, (license, _) in zip(sources, found, strict=True) if license is None]
        raise ValueError(_unlicensed(", ".join(unknown or map(shown, sources))))
    (license,) = licenses
    return str(license), public


def _unlicensed(what: str) -> str:
    return (
        f"--license: under which terms {what} may be passed on isn't known, or they differ. Name those of what you"
        " publish: --license cc-by-4.0, say, or --license other (in a recipe, hub_license). What isn't yours to pass"
        " on, don't publish."
    )

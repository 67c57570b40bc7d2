"""Publishing of a fine-tuned model, views, questions or the metric: staging, a search for secrets, and the upload.

A repository is private unless all data that it was made of are public. A data set on the Hub is public if it can be
read without a token.
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
from hf_knowlearn.hub.licenses import OURS, terms_of
from hf_knowlearn.hub.metadata import Published
from hf_knowlearn.hub.recipe_options import training_sources
from hf_knowlearn.hub.redaction import WORLD, hub_id, public_name
from hf_knowlearn.hub.secrets import check_secrets
from hf_knowlearn.hub.staging import (
    Run,
    file_list,
    license_of,
    read_run,
    stage_folder,
    stage_model,
    stage_questions,
    stage_views,
)
from hf_knowlearn.models.sources import resolve_model
from hf_knowlearn.models.variants import load_variant
from hf_knowlearn.paths import FORMAT_AUG, KNOWLEDGE_RECALL

if TYPE_CHECKING:
    from hf_knowlearn.config.settings import RunSettings

logger = logging.getLogger(__name__)

REPO_TYPES = {"adapter": "model", "views": "dataset", "questions": "dataset", "metric": "space"}
# Options that only one kind has.
OPTION_KINDS = {"merged": "adapter", "base_model": "adapter", "train": "questions", "retention": "questions"}
LICENSE = re.compile(r"[a-z0-9][a-z0-9.-]*")
COMMIT = "Publish with hf_knowlearn"


@dataclass(frozen=True)
class PublishOptions:
    """What to publish, and where.

    Args:
        kind: "adapter" (any fine-tuned model), "views", "questions" or "metric".
        source: A run's output folder, a folder of views, or a file of questions; None for the metric.
        namespace: The owner of the repository on the Hub.
        name: The repository's name; by default that of the source.
        private: None makes the repository public only if its data are public.
        license: An identifier of the Hub, such as "cc-by-4.0"; by default that of the data.
        merged: Merge the adapter into its base, and publish the whole model.
        base_model: The Hub name of an adapter's base.
        train, retention: Files of questions for the splits `qa_train` and `retention`.
        dry_run: Write the repository's files into `output_dir`, and upload nothing.
    """

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


def publish(options: PublishOptions) -> None:
    """Upload a repository to the Hub, or write its files into a folder (`dry_run`).

    Raises:
        ValueError: The options or the source are invalid, the files contain a secret, or the Hub reports an error.
    """
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    from hf_knowlearn.hub.publish import publish as push

    if problems := list(_problems(options)):
        raise ValueError("\n".join(problems))
    repo_id, repo_type = f"{options.namespace}/{_name(options)}", REPO_TYPES[options.kind]
    validate_repo_id(repo_id)
    stage = {"adapter": _adapter, "views": _views, "questions": _questions, "metric": _metric}[options.kind]
    with _staging(options) as folder:
        is_public = stage(options, repo_id, folder)
        private = not is_public if options.private is None else options.private
        check_secrets(folder)
        visibility = "Private" if private else "Public"
        logger.info("%s %s %s:\n%s", visibility, repo_type, repo_id, file_list(folder))
        if not options.dry_run:
            logger.info("Published: %s", push(folder, repo_id, repo_type, private, COMMIT))
    if options.dry_run:
        logger.info("Nothing was uploaded. Written to %s.", options.output_dir)


def _problems(options: PublishOptions) -> Iterator[str]:
    kind, source, folder = options.kind, options.source, options.output_dir
    if source is None and kind != "metric":
        yield f"There is nothing to publish. Give SOURCE: knowlearn publish {kind} SOURCE."
    elif source is not None and kind == "metric":
        yield f"{source}: the metric is the one of this package. Leave SOURCE out."
    if options.dry_run != (folder is not None):
        yield "--dry_run and --output_dir go together: --dry_run writes the files into that folder. Give both."
    elif folder is not None and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        yield f"output_dir={str(folder)!r} exists. Choose a new or an empty folder."
    if options.license is not None and not LICENSE.fullmatch(options.license):
        yield (
            f"--license {options.license!r}: give an identifier of the Hub, such as cc-by-4.0, mit or other"
            " (https://huggingface.co/docs/hub/repositories-licenses)."
        )
    for option, of in OPTION_KINDS.items():
        if getattr(options, option) and kind != of:
            yield f"--{option} is an option of publish {of}. Leave it out."
    if options.base_model is not None and hub_id(options.base_model) is None:
        yield f"--base_model {options.base_model!r}: give its name on the Hub, OWNER/NAME."


def _name(options: PublishOptions) -> str:
    """The repository's name: as given, or that of the source."""
    if options.name is not None:
        return options.name
    source = {"metric": "knowledge_recall"}.get(options.kind) or Path(str(options.source)).absolute().name
    stem = source.removeprefix(WORLD)
    stem = Path(stem).stem if Path(stem).suffix in (".jsonl", ".json", ".csv", ".tsv", ".parquet") else stem
    return re.sub(r"[^A-Za-z0-9._-]+|--+|\.\.+", "-", stem).strip("-.") or options.kind


@contextmanager
def _staging(options: PublishOptions) -> Iterator[Path]:
    """An empty folder: the output folder of a dry run, which appears only without an error, or a temporary one."""
    if options.output_dir is not None:
        with atomic_files.atomic_write(options.output_dir) as draft:
            draft.mkdir()
            yield draft
    else:
        with TemporaryDirectory(prefix="knowlearn-") as made:
            folder = Path(made) / "repo"
            folder.mkdir()
            yield folder


def publish_options(run: "RunSettings") -> PublishOptions | None:
    """How to publish a run when it is finished; None without `push_to_hub`. Uploads nothing.

    Raises:
        ValueError: The run could not be published. The check runs before training, so no training is wasted.
    """
    if run.publish is None:
        return None
    owner, _, name = (run.publish.repo_id or "").partition("/")
    if not (owner and name):
        raise ValueError(
            f"hub_model_id={run.publish.repo_id!r}: push_to_hub needs hub_model_id: OWNER/NAME. Or leave push_to_hub"
            " out, and publish the finished run with knowlearn publish adapter OUTPUT_DIR."
        )
    options = PublishOptions(
        "adapter", str(run.folder), owner, name, private=run.publish.private, license=run.publish.license
    )
    if problems := list(_problems(options)):
        raise ValueError("\n".join(problems))
    _terms(options, training_sources(run.options))
    _base(options, run.model_name, run.uses_adapter and not run.merges_adapter)
    return options


# Each of the next functions writes a repository's files, and returns whether all its data are public.


def _adapter(options: PublishOptions, repo_id: str, folder: Path) -> bool:
    run = read_run(Path(str(options.source)))
    license, public = _terms(options, training_sources(run.recipe))
    is_adapter = run.is_adapter and not options.merged
    if options.merged and not run.is_adapter:
        raise ValueError(
            f"--merged: {str(run.model)!r} is a whole model. Only an adapter can be merged; leave it out."
        )
    named = str((run.report.get("model") or {}).get("name") or run.recipe.get("model_name_or_path"))
    base = _base(options, named, is_adapter)
    about = Published(repo_id, license, is_adapter, base, options.merged)
    with _weights(run, options) as weights:
        stage_model(run, folder, about, weights, base or named)
    return public


def _base(options: PublishOptions, named: str, is_adapter: bool) -> str | None:
    """The Hub name of the base model; None for the packaged base, and for a whole model whose base isn't on the Hub.

    Raises:
        ValueError: An adapter's base isn't on the Hub.
    """
    base = options.base_model or hub_id(named)
    if is_adapter and base is None and named != TINY_BASE:
        raise ValueError(
            f"The adapter's base model is {public_name(named)!r}, a folder on this machine. Others need the base to"
            " use the adapter: name the same model on the Hub with --base_model OWNER/NAME, or publish the whole"
            " model with --merged."
        )
    return base


@contextmanager
def _weights(run: Run, options: PublishOptions) -> Iterator[Path]:
    """The folder with the run's model, or a temporary folder with its adapter merged into its base."""
    if not options.merged:
        yield run.model
        return
    with TemporaryDirectory(prefix="knowlearn-") as folder:
        # "auto": the dtype that the base is stored in, so that merging rounds nothing else.
        model, tokenizer = load_variant(resolve_model(str(run.folder)), merged=True, dtype="auto")
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        yield Path(folder)


def _views(options: PublishOptions, repo_id: str, folder: Path) -> bool:
    source = Path(str(options.source))
    card = source / "README.md"
    named = license_of(card.read_text(encoding="utf-8")) if card.is_file() else None
    license = options.license or named
    if license is None and card.is_file():
        raise ValueError(_unlicensed(str(card)))
    stage_views(source, folder, repo_id, license or OURS)
    return source.resolve() == FORMAT_AUG


def _metric(_: PublishOptions, __: str, folder: Path) -> bool:
    stage_folder(KNOWLEDGE_RECALL, folder)
    return True


def _questions(options: PublishOptions, repo_id: str, folder: Path) -> bool:
    from hf_knowlearn.teach.provenance import fingerprint
    from hf_knowlearn.teach.sources import load_questions

    named = {"qa_train": options.train, "qa_eval": options.source, "retention": options.retention}
    given = {split: source for split, source in named.items() if source is not None}
    license, public = _terms(options, list(given.values()))
    read = {split: load_questions(source) for split, source in given.items()}
    splits = {split: [_row(question) for question in questions] for split, questions in read.items()}
    sources = {
        split: {"source": public_name(given[split]), "sha256": fingerprint(questions)}
        for split, questions in read.items()
    }
    stage_questions(splits, folder, repo_id, license, sources)
    return public


def _row(question: Any) -> dict[str, Any]:
    row = asdict(question)
    return {**row, "question": row.pop("text"), "answers": list(row["answers"]), "options": list(row["options"])}


def _terms(options: PublishOptions, sources: Sequence[str]) -> tuple[str, bool]:
    """The licence of the repository, and whether all its data are public.

    Raises:
        ValueError: No licence is given, and that of the data is unknown or not unique.
    """
    found = [terms_of(source) for source in sources]
    licenses = {license for license, _ in found}
    public = bool(found) and all(is_public for _, is_public in found)
    if options.license is not None:
        return options.license, public
    if len(licenses) != 1 or None in licenses:
        unknown = [public_name(source) for source, (license, _) in zip(sources, found, strict=True) if license is None]
        raise ValueError(_unlicensed(", ".join(unknown or map(public_name, sources))))
    (license,) = licenses
    return str(license), public


def _unlicensed(what: str) -> str:
    return (
        f"--license: the licence of {what} is unknown, or there are several. Give the licence of the repository, such"
        " as --license cc-by-4.0 or --license other (in a recipe, hub_license). Publish only what you may share."
    )

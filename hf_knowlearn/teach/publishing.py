"""Publishes a fine-tuned model, views, questions or the metric on the Hub, after a search for secrets.

By default, a repository is private unless all data in it, or all training data of the model, are public. A data set on
the Hub is public if it can be read without a token.
"""

import logging
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from hf_knowlearn.config.problems import raise_problems
from hf_knowlearn.hub import staging
from hf_knowlearn.hub.cards import TINY_BASE
from hf_knowlearn.hub.licenses import terms_of, unlicensed
from hf_knowlearn.hub.metadata import Published
from hf_knowlearn.hub.recipe_options import training_sources
from hf_knowlearn.hub.redaction import DATA_FILES, WORLD, hub_id, public_name
from hf_knowlearn.hub.secrets import check_secrets
from hf_knowlearn.models.sources import resolve_model
from hf_knowlearn.models.variants import load_variant
from hf_knowlearn.paths import FORMAT_AUG, KNOWLEDGE_RECALL

if TYPE_CHECKING:
    from hf_knowlearn.config.settings import RunSettings

logger = logging.getLogger(__name__)

REPO_TYPES = {"adapter": "model", "views": "dataset", "questions": "dataset", "metric": "space"}
# Option -> the only kind of repository that accepts it.
OPTION_KINDS = {"merged": "adapter", "base_model": "adapter", "train": "questions", "retention": "questions"}
LICENSE = re.compile(r"[a-z0-9][a-z0-9.-]*")


@dataclass(frozen=True)
class PublishOptions:
    """What to publish, and where.

    Args:
        kind: "adapter" (also for a fine-tuned model without an adapter), "views", "questions" or "metric".
        source: A run's output folder, a folder of views, or a file of questions; None for the metric.
        namespace: The owner (user or organization) of the repository on the Hub.
        name: The repository's name; by default the name of the source.
        private: Whether the repository is private. None: the repository is public only if all its data are public.
        license: The Hub's identifier of a licence, such as "cc-by-4.0"; by default the licence of the data.
        merged: Merge the adapter into its base model, and publish the whole model.
        base_model: The Hub name of the base model of an adapter.
        train, retention: Files of questions for the splits `qa_train` and `retention`.
        token: An access token of the Hub; by default the token of the login.
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
    token: str | None = field(default=None, repr=False)
    dry_run: bool = False
    output_dir: Path | None = None


def publish(options: PublishOptions) -> None:
    """Upload a repository to the Hub, or write its files into a folder (`dry_run`).

    Raises:
        ValueError: The options or the source are invalid, the files contain a secret, or the Hub reports an error.
    """
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    from hf_knowlearn.hub.publish import publish as push

    raise_problems(_problems(options))
    repo_id, repo_type = f"{options.namespace}/{_name(options)}", REPO_TYPES[options.kind]
    validate_repo_id(repo_id)
    stage = {"adapter": _adapter, "views": _views, "questions": _questions, "metric": _metric}[options.kind]
    with TemporaryDirectory(prefix="knowlearn-") as made:
        folder = Path(made) / "repo"
        folder.mkdir()
        is_public = stage(options, repo_id, folder)
        private = not is_public if options.private is None else options.private
        check_secrets(folder)
        logger.info("%s %s %s:\n%s", "Private" if private else "Public", repo_type, repo_id, staging.file_list(folder))
        if options.output_dir is None:
            url = push(folder, repo_id, repo_type, private, "Publish with hf_knowlearn", options.token)
            logger.info("Published: %s", url)
        else:
            shutil.copytree(folder, options.output_dir, dirs_exist_ok=True)
            logger.info("Nothing was uploaded. Written to %s.", options.output_dir)


def _problems(options: PublishOptions) -> Iterator[str]:
    kind, source, folder = options.kind, options.source, options.output_dir
    if source is None and kind != "metric":
        yield f"SOURCE is missing. Give the path of what to publish: knowlearn publish {kind} SOURCE."
    elif source is not None and kind == "metric":
        yield f"SOURCE {source}: publish metric always publishes the metric of this package. Remove SOURCE."
    if options.dry_run != (folder is not None):
        yield "--dry_run writes the files into the folder --output_dir. Give both options or neither."
    elif folder is not None and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        yield f"output_dir={str(folder)!r} exists. Choose a new or an empty folder."
    if options.license is not None and not LICENSE.fullmatch(options.license):
        yield (
            f"--license {options.license!r}: give an identifier of the Hub, such as cc-by-4.0, mit or other"
            " (https://huggingface.co/docs/hub/repositories-licenses)."
        )
    for option, of in OPTION_KINDS.items():
        if getattr(options, option) and kind != of:
            yield f"--{option} is an option of publish {of} only. Remove --{option}."
    if options.base_model is not None and hub_id(options.base_model) is None:
        yield f"--base_model {options.base_model!r}: give the name of the base model on the Hub, OWNER/NAME."


def _name(options: PublishOptions) -> str:
    """Return the name of the repository. The default is the name of the source."""
    if options.name is not None:
        return options.name
    stem = Path(options.source or KNOWLEDGE_RECALL).absolute().name.removeprefix(WORLD)
    stem = Path(stem).stem if stem.endswith(DATA_FILES) else stem
    return re.sub(r"[^A-Za-z0-9._-]+|--+|\.\.+", "-", stem).strip("-.") or options.kind


def publish_options(run: "RunSettings") -> PublishOptions | None:
    """Return the options for publishing a run after training, or None if the recipe does not set `push_to_hub`.

    Raises:
        ValueError: The run cannot be published with the options of the recipe. This function is called before
            training, so that the error costs no training time.
    """
    if run.publish is None:
        return None
    owner, _, name = (run.publish.repo_id or "").partition("/")
    if not (owner and name):
        raise ValueError(
            f"hub_model_id={run.publish.repo_id!r}: push_to_hub needs hub_model_id: OWNER/NAME. Otherwise remove"
            " push_to_hub, and publish the finished run with knowlearn publish adapter OUTPUT_DIR."
        )
    options = PublishOptions(
        "adapter", str(run.folder), owner, name, run.publish.private, run.publish.license, token=run.publish.token
    )
    raise_problems(_problems(options))
    _terms(options, training_sources(run.options))
    _base(options, run.model_name, run.uses_adapter and not run.merges_adapter)
    return options


# Each of the next functions writes a repository's files, and returns whether all its data are public.


def _adapter(options: PublishOptions, repo_id: str, folder: Path) -> bool:
    run = staging.read_run(Path(str(options.source)))
    license, public = _terms(options, training_sources(run.recipe))
    is_adapter = run.is_adapter and not options.merged
    if options.merged and not run.is_adapter:
        raise ValueError(
            f"--merged: {str(run.model)!r} is a whole model, and only an adapter can be merged. Remove --merged."
        )
    named = str((run.report.get("model") or {}).get("name") or run.recipe.get("model_name_or_path"))
    base = _base(options, named, is_adapter)
    about = Published(repo_id, license, is_adapter, base, options.merged)
    weights = _merged(run.folder, folder.with_name("merged")) if options.merged else run.model
    staging.stage_model(run, folder, about, weights, base or named)
    return public


def _base(options: PublishOptions, named: str, is_adapter: bool) -> str | None:
    """Return the Hub name of the base model.

    Return None for `tiny_base`, and for a whole model whose base model is not on the Hub.

    Raises:
        ValueError: The base model of an adapter is not on the Hub.
    """
    base = options.base_model or hub_id(named)
    if is_adapter and base is None and named != TINY_BASE:
        raise ValueError(
            f"The adapter's base model is {public_name(named)!r}, a folder on this machine. Other users need the base"
            " model to use the adapter. Name the same model on the Hub with --base_model OWNER/NAME, or publish the"
            " whole model with --merged."
        )
    return base


def _merged(run: Path, folder: Path) -> Path:
    """Merge the adapter of a run into its base model, and save the result in a new folder."""
    # Why "auto": a merge in the stored dtype of the base model causes no further rounding.
    model, tokenizer = load_variant(resolve_model(str(run)), merged=True, dtype="auto")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _views(options: PublishOptions, repo_id: str, folder: Path) -> bool:
    source = Path(str(options.source))
    staging.stage_views(source, folder, repo_id, options.license)
    return source.resolve() == FORMAT_AUG


def _metric(_: PublishOptions, __: str, folder: Path) -> bool:
    staging.stage_folder(KNOWLEDGE_RECALL, folder)
    return True


def _questions(options: PublishOptions, repo_id: str, folder: Path) -> bool:
    from hf_knowlearn.teach.provenance import fingerprint
    from hf_knowlearn.teach.sources import load_questions

    named = {"qa_train": options.train, "qa_eval": options.source, "retention": options.retention}
    given = {split: source for split, source in named.items() if source is not None}
    license, public = _terms(options, list(given.values()))
    splits, sources = {}, {}
    for split, source in given.items():
        questions = load_questions(source)
        splits[split] = [asdict(question) | {"question": question.text} for question in questions]
        sources[split] = {"source": public_name(source), "sha256": fingerprint(questions)}
    staging.stage_questions(splits, folder, repo_id, license, sources)
    return public


def _terms(options: PublishOptions, sources: Sequence[str]) -> tuple[str, bool]:
    """Return the licence of the repository, and whether all its data are public.

    Raises:
        ValueError: No licence is given, and the licence of the data is unknown or ambiguous.
    """
    found = [terms_of(source) for source in sources]
    licenses = {license for license, _ in found}
    public = bool(found) and all(is_public for _, is_public in found)
    if options.license is not None:
        return options.license, public
    if len(licenses) != 1 or None in licenses:
        unknown = [public_name(source) for source, (license, _) in zip(sources, found, strict=True) if license is None]
        raise ValueError(unlicensed(", ".join(unknown or map(public_name, sources))))
    (license,) = licenses
    return str(license), public

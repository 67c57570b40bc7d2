"""Settings of a run: frozen dataclasses with the values of a recipe. `resolve` converts a recipe to settings.

Two values depend on the model or the data: `with_context` sets the maximum length of a row, `with_steps` the steps.
"""

import re
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_knowlearn.config.parsing import Recipe
from hf_knowlearn.config.teach_arguments import TRAINED_ON, TRAINING_SETS, TeachArguments
from hf_knowlearn.counts import number_of
from hf_knowlearn.evaluation.settings import EvaluationSettings
from hf_knowlearn.format_aug.settings import RAW, ViewSettings
from hf_knowlearn.generation.settings import GenerationSettings
from hf_knowlearn.models.loading import QUANTIZATION, ModelSettings
from hf_knowlearn.prompts.limits import smallest_limit
from hf_knowlearn.training.settings import ReplaySettings
from hf_knowlearn.views.parts import LONGEST_PART

if TYPE_CHECKING:
    from trl import ModelConfig

    from hf_knowlearn.training import SAMConfig

READING = ("text_column", "empty", "language", "question_column", "answer_column")
DEFAULT_NAME = "trained"  # name of a run without run_name
MOST_READ_ROWS = 16  # maximum number of rows in a batch whose logits are all in memory


@dataclass(frozen=True)
class SourceSettings:
    """The sources of the data of a run or a stage. A source is a path, a name on the Hub, or world:SPLIT.

    Args:
        train_on: the names of the sets to train on, in the order of `TRAINING_SETS`.
    """

    documents: str | None
    train_documents: str | None
    train_questions: str | None
    train_conversations: str | None
    replay_documents: str | None
    replay_questions: str | None
    train_on: tuple[str, ...]


@dataclass(frozen=True)
class ReadingSettings:
    """Options for reading documents and questions: arguments of `read_documents` and `read_questions`."""

    text_column: str | None = None
    empty: str = "raise"
    language: str | None = None
    question_column: str | None = None
    answer_column: str | None = None


@dataclass(frozen=True)
class SelectionSettings:
    """Selects the training questions of a stage by their class of mastery.

    Args:
        train_categories: classes of the questions to train on. None: all classes.
        train_improved: whether to train only on questions whose class is now better than before the run.
        replay_categories: classes of the questions to replay. None: no questions are replayed.
    """

    train_categories: tuple[str, ...] | None = None
    train_improved: bool = False
    replay_categories: tuple[str, ...] | None = None

    def __bool__(self) -> bool:
        return bool(self.train_categories or self.train_improved or self.replay_categories)


@dataclass(frozen=True)
class PublishSettings:
    """The repository on the Hub to which a finished run is published. If `private` or `license` is None, the documents
    of the run determine the value."""

    repo_id: str | None
    private: bool | None
    license: str | None
    token: str | None = field(repr=False)


@dataclass(frozen=True)
class StageSettings:
    """The settings of one stage. A run without stages has a single stage, whose name is empty.

    Args:
        number: position of the stage in the run, from 0.
        folder: folder of the stage. If the run has no stages, this is the run folder.
        question_template, question_instruction: template and instruction of the training questions.
        classify: preset for measuring mastery after the stage. None: mastery is not measured.
        adapter: use of the previous stage's adapter: `continue` to train it, `merge` to merge it, `new` to drop it.
        training: arguments of the trainer. `trainer_arguments` changes a copy of them.
        peft_config: configuration of a new adapter. None: all weights are trained.
        max_steps: number of optimizer steps. If the recipe gives epochs, this is -1 until `with_steps` is called.
        max_length: maximum number of tokens of a row. None: no limit.
    """

    name: str
    number: int
    folder: Path
    sources: SourceSettings
    views: ViewSettings
    replay: ReplaySettings
    selection: SelectionSettings
    question_order: str
    question_template: str
    question_instruction: str | None
    classify: str | None
    adapter: str
    training: "SAMConfig"
    peft_config: Any
    max_steps: int
    max_length: int | None

    @property
    def label(self) -> str:
        """Prefix of messages about the stage. Empty if the stage has no name."""
        return f"stage {self.name!r}: " if self.name else ""

    @property
    def rows_per_step(self) -> int:
        """Number of rows of one optimizer step, over all processes."""
        training = self.training
        return int(training.per_device_train_batch_size * training.gradient_accumulation_steps * training.world_size)

    @property
    def replays(self) -> bool:
        """Whether the stage replays documents, questions or self-generated text."""
        sources = (self.sources.replay_documents, self.sources.replay_questions, self.selection.replay_categories)
        return bool((any(sources) or self.replay.num_generated) and self.replay.share)

    @property
    def replayed_rows_per_step(self) -> int:
        """Number of replayed rows of one optimizer step.

        Raises:
            ValueError: the share `replay_share`, rounded to whole rows, is no row or all rows of a step.
        """
        if not self.replays:
            return 0
        batch, share = self.rows_per_step, self.replay.share
        rows = round(share * batch)
        if rows in (0, batch):
            shares = f", or set replay_share between {1 / batch:.3f} and {1 - 1 / batch:.3f}" if batch > 1 else ""
            raise ValueError(
                f"replay_share={share}: of the {number_of(batch, 'row')} of a step, {rows:,} would be replayed. A step"
                " needs at least one replayed row and at least one row that is not replayed. Increase"
                f" per_device_train_batch_size or gradient_accumulation_steps{shares}."
            )
        return rows

    @property
    def is_scheduled_late(self) -> bool:
        """Whether the rows of the stage are unknown until the stage starts.

        This is the case if the stage selects questions by class or replays self-generated text.
        """
        return bool(self.selection or self.replay.num_generated)

    def with_steps(self, rows: int, replayed: int) -> "StageSettings":
        """Return settings with the number of steps of `num_train_epochs` epochs.

        If the recipe sets `max_steps`, return the settings unchanged.

        Args:
            rows: number of rows of an epoch, without replayed rows.
            replayed: number of replayed rows of each step.
        """
        if self.max_steps > 0:
            return self
        steps = round(self.training.num_train_epochs * rows / (self.rows_per_step - replayed))
        return replace(self, max_steps=max(1, steps))

    def trainer_arguments(self) -> "SAMConfig":
        """Return the arguments of the stage's trainer. With these arguments, the trainer does not shuffle the rows."""
        training = copy(self.training)
        training.max_steps = self.max_steps
        training.shuffle_dataset = False
        training.train_sampling_strategy = "sequential"
        training.hub_token = None  # Why: checkpoints contain the arguments, and no secret may reach the disk
        training.chat_template_path = None  # Why: the tokenizer has the template already
        training.max_length = None  # Why: rows already fit, so nothing may be truncated
        if training.logging_steps >= 1:  # below 1 it is a share of the run
            training.logging_steps = min(training.logging_steps, self.max_steps)
        return training


@dataclass(frozen=True)
class RunSettings:
    """The settings of a run.

    Args:
        name: name of the run in reports.
        options: the options of the recipe, as the report records them.
        questions: sources of the questions of the evaluation, by role.
        model_name: the name of the model in the recipe.
        max_length: maximum number of tokens of a row in the evaluation. None: no limit.
        views: the settings of the training views. Knowledge tokens are measured in other views.
        show_progress: whether progress bars are shown.
    """

    name: str
    folder: Path
    options: Mapping[str, Any]
    seed: int
    model_name: str
    model: ModelSettings
    uses_adapter: bool
    questions: Mapping[str, str | None]
    reading: ReadingSettings
    evaluation: EvaluationSettings
    views: ViewSettings
    max_length: int | None
    stages: tuple[StageSettings, ...]
    show_progress: bool
    overwrite: bool
    publish: PublishSettings | None

    @property
    def has_stages(self) -> bool:
        """Whether the recipe names stages."""
        return bool(self.stages[0].name)

    @property
    def rows_per_step(self) -> list[int]:
        """For each stage, the number of rows of one optimizer step, over all processes."""
        return [stage.rows_per_step for stage in self.stages]

    @property
    def classify(self) -> str | None:
        """The preset for measuring mastery before the run. None: mastery is not measured."""
        return next((stage.classify for stage in self.stages if stage.classify), None)

    @property
    def merges_adapter(self) -> bool:
        """Whether a stage merges an adapter. If so, the run saves a whole model and not an adapter."""
        return any(stage.adapter == "merge" for stage in self.stages[1:])

    def changes_base(self, number: int) -> bool:
        """Return whether stage `number` or an earlier stage changes weights of the base model itself."""
        return not self.uses_adapter or any(stage.adapter == "merge" for stage in self.stages[1 : number + 1])

    def with_context(self, context: int | None) -> "RunSettings":
        """Return settings in which no row is longer than the model's context of `context` tokens. None: no limit."""
        stages = tuple(replace(stage, max_length=smallest_limit(stage.max_length, context)) for stage in self.stages)
        return replace(self, max_length=smallest_limit(self.max_length, context), stages=stages)


def resolve(recipe: Recipe) -> RunSettings:
    """Convert a recipe to settings."""
    training, model = recipe.training, recipe.model
    assert model.model_name_or_path is not None, "a recipe without a model is an error of the parser"
    views = view_settings(recipe.teach, recipe.training.seed)
    stages = tuple(_stage(each, recipe, number) for number, each in enumerate(recipe.stages or (recipe,)))
    publish = PublishSettings(
        training.hub_model_id, training.hub_private_repo, recipe.teach.hub_license, training.hub_token
    )
    return RunSettings(
        name=training.run_name or DEFAULT_NAME,
        folder=recipe.output_dir,
        options=recipe.options,
        seed=training.seed,
        model_name=model.model_name_or_path,
        model=_model(recipe, model),
        uses_adapter=model.use_peft,
        questions={
            "questions": recipe.teach.questions,
            "replayed_questions": recipe.evaluation.replayed_questions,
            "retention_questions": recipe.evaluation.retention_questions,
        },
        reading=ReadingSettings(**{name: getattr(recipe.teach, name) for name in READING}),
        evaluation=_evaluation(recipe, views),
        views=views,
        max_length=training.max_length,
        stages=stages,
        show_progress=not training.disable_tqdm,
        overwrite=recipe.teach.overwrite,
        publish=publish if recipe.pushes else None,
    )


def _stage(stage: Recipe, run: Recipe, number: int) -> StageSettings:
    teach = stage.teach
    replay = ReplaySettings(teach.replay_share, teach.replay_kl, teach.replay_self, _tuple(teach.replay_self_prompts))
    selection = SelectionSettings(
        _tuple(teach.train_categories), teach.train_improved, _tuple(teach.replay_categories)
    )
    return StageSettings(
        name=stage.name,
        number=number,
        folder=stage.output_dir,
        sources=_sources(teach),
        views=view_settings(teach, stage.training.seed),
        replay=replay,
        selection=selection,
        question_order=teach.question_order,
        question_template=run.evaluation.template,
        question_instruction=run.evaluation.instruction,
        classify=teach.classify,
        adapter=teach.adapter,
        training=stage.training,
        peft_config=_peft_config(stage.model),
        max_steps=stage.training.max_steps,
        max_length=stage.training.max_length,
    )


def _peft_config(model: "ModelConfig") -> Any:
    """Return the configuration of the adapter. None if the run trains all weights."""
    from trl import get_peft_config

    config, only = get_peft_config(model), model.lora_target_modules
    # Why: TRL makes a string of a list with one value, and PEFT reads a string as a regular expression for paths.
    if isinstance(only, str) and only != "all-linear" and re.fullmatch(r"[\w.-]+", only):
        config.target_modules = {only}
    return config


def _sources(teach: TeachArguments) -> SourceSettings:
    train_on = tuple(name for name in TRAINING_SETS if teach.train_on is None or name in teach.train_on)
    return SourceSettings(**{name: getattr(teach, name) for name in TRAINED_ON}, train_on=train_on)


def view_settings(teach: TeachArguments, seed: int) -> ViewSettings:
    """Return the settings of the views that these options request."""
    return ViewSettings(
        family=teach.family,
        num_views=teach.num_views,
        seed=seed,
        groups=_tuple(teach.format_groups),
        hold_out=teach.hold_out,
        weights=teach.weights,
        template=teach.document_template,
        part_tokens=LONGEST_PART,
    )


def raw_settings(views: ViewSettings) -> ViewSettings:
    """Return settings in which every view is the unchanged document as plain text. Other settings stay the same."""
    return replace(views, family=RAW, weights=None, template="plain")


def _evaluation(recipe: Recipe, views: ViewSettings) -> EvaluationSettings:
    options, batch_size = recipe.evaluation, recipe.training.per_device_eval_batch_size
    generation = GenerationSettings(
        shots=options.shots,
        template=options.template,
        instruction=options.instruction,
        max_new_tokens=options.max_new_tokens,
        batch_size=batch_size,
        seed=recipe.training.seed,
    )
    return EvaluationSettings(
        generation=generation,
        language=options.answer_language,
        open_book=options.open_book,
        compare_rag=options.compare_rag,
        knowledge_tokens=options.knowledge_tokens,
        general_knowledge=options.general_knowledge,
        every=options.every,
        preview=options.preview,
        early_stopping_patience=options.early_stopping_patience,
        hold_out=views.hold_out,
        part_tokens=LONGEST_PART,
        batch_size=min(batch_size, MOST_READ_ROWS),
    )


def _model(recipe: Recipe, model: "ModelConfig") -> ModelSettings:
    training = recipe.training
    same = [name for name in ("attn_implementation", *QUANTIZATION) if name != "dtype"]
    return ModelSettings(
        name_or_path=str(model.model_name_or_path),
        revision=model.model_revision,
        dtype=_dtype(recipe),
        **{name: getattr(model, name) for name in same},
        trust_remote_code=training.trust_remote_code,
        device=training.device,
        label=f"--model {model.model_name_or_path}",
    )


def _dtype(recipe: Recipe) -> str:
    """Return the dtype of the weights: of the recipe, else fp32, or with an adapter that of the computation."""
    if not recipe.model.use_peft or "dtype" in recipe.options:
        return str(recipe.model.dtype)
    return "bfloat16" if recipe.training.bf16 else "float16" if recipe.training.fp16 else "float32"


def _tuple(names: list[str] | None) -> tuple[str, ...] | None:
    return None if names is None else tuple(names)

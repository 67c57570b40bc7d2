"""Lists the options of TRL and transformers that a run does not support, with an alternative to each option."""

from typing import Any

from hf_knowlearn.config.library_options import Option

_NO_EVAL_SET = (
    "a run has no eval set. The questions evaluate the model before and after training, and with evaluation.every"
    " also during training"
)
_SCHEDULE = "the schedule decides the rows of every step. Set seed for another order of the rows"
_RESUME = "to continue a stopped run from its last checkpoint, repeat the command"
_PUBLISHING = "only the finished model is published, and to the main branch. Set hub_model_id and hub_private_repo"
_PACKING = "each row of a step is one view, question or conversation. Set per_device_train_batch_size for more rows"
_COLUMNS = "the rows are made from the documents and questions. Set max_length for the length of a row"
# Options that support only their default or the value in POSSIBLE.
INSTEAD = {
    **dict.fromkeys(
        (
            "do_eval", "do_predict", "eval_strategy", "eval_steps", "eval_delay", "eval_on_start", "eval_packing",
            "eval_accumulation_steps", "eval_do_concat_batches", "eval_use_gather_object", "prediction_loss_only",
            "batch_eval_metrics", "include_for_metrics", "load_best_model_at_end", "metric_for_best_model",
            "greater_is_better",
        ),
        _NO_EVAL_SET,
    ),
    **dict.fromkeys(("shuffle_dataset", "train_sampling_strategy", "length_column_name"), _SCHEDULE),
    **dict.fromkeys(("resume_from_checkpoint", "ignore_data_skip"), _RESUME),
    **dict.fromkeys(("hub_strategy", "hub_always_push", "hub_revision"), _PUBLISHING),
    **dict.fromkeys(("packing", "packing_strategy"), _PACKING),
    **dict.fromkeys(("dataset_text_field", "dataset_kwargs", "truncation_mode"), _COLUMNS),
    "auto_find_batch_size": "a step has a fixed number of rows. Set per_device_train_batch_size and"
    " gradient_accumulation_steps",
    "model_init_kwargs": "the model has options of its own. Set dtype, attn_implementation, model_revision or"
    " load_in_4bit",
    "save_only_model": "a run continues only from a checkpoint with the state of the optimizer. To save no"
    " checkpoints, set save_strategy to no",
}  # fmt: skip
# The only supported value of an option, if this is not the default.
POSSIBLE = {"hub_strategy": "end", "train_sampling_strategy": "sequential"}
# Unsupported values of options that support other values.
IMPOSSIBLE = {
    ("save_strategy", "best"): f"{_NO_EVAL_SET}. Set steps, epoch or no",
    ("lr_scheduler_type", "reduce_lr_on_plateau"): f"{_NO_EVAL_SET}. Set another schedule, such as cosine",
}


def check_possible(option: Option, value: Any) -> None:
    """Raise an error if a run does not support this value.

    Raises:
        ValueError: the message names the alternative.
    """
    reason = IMPOSSIBLE.get((option.name, str(value)))
    if option.name in INSTEAD and value not in (None, POSSIBLE.get(option.name, option.default)):
        reason = INSTEAD[option.name]
    if reason is not None:
        raise ValueError(f"{value!r} is not possible here: {reason}.")

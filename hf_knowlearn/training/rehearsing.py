"""`RehearsingSFTTrainer`: a trainer that is reminded, among what it is taught, of text that the model itself wrote.

The surprising decision: a row says whether its text had ended. `SFTTrainer` puts an end token behind every row; behind
a text that was only cut it would teach the model to stop there.
"""

from typing import Any

from trl.data_utils import get_dataset_column_names

from hf_knowlearn.training.trainer import SAMSFTTrainer

ENDED = "ended"


class RehearsingSFTTrainer(SAMSFTTrainer):
    """`SAMSFTTrainer` on rows with a column `ended`: where it is false, the end token behind the row isn't trained."""

    def _prepare_dataset(self, dataset: Any, *others: Any, **named: Any) -> Any:
        prepared = super()._prepare_dataset(dataset, *others, **named)
        return prepared.map(_open_end) if ENDED in (get_dataset_column_names(prepared) or ()) else prepared


def _open_end(row: dict[str, Any]) -> dict[str, Any]:
    *labels, end = row["labels"]
    return {"labels": [*labels, end if row[ENDED] else -100]}

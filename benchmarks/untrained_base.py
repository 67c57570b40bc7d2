"""Writes an untrained tiny model with a tokenizer of its recipe's texts: `python benchmarks/untrained_base.py RECIPE`.

Further arguments are options, as of `knowlearn teach`. The model is written to the recipe's `model_name_or_path`,
from which `knowlearn teach --config RECIPE` then trains it from scratch.
"""

import sys
from pathlib import Path

from hf_knowlearn.config.recipes import parse_recipe
from hf_knowlearn.config.settings import resolve
from hf_knowlearn.format_aug.rows import make_views
from hf_knowlearn.prompts.templates import plain_prompt
from hf_knowlearn.teach.data import load_data
from hf_knowlearn.worlds.tiny import new_model, new_tokenizer


def main() -> None:
    """Write the model and the tokenizer."""
    settings = resolve(parse_recipe(["--config", *sys.argv[1:]]))
    data = load_data(settings)
    # Why: the views instead of the documents, so that the marks of the formats take few tokens; and all questions, so
    # that the names in those of the evaluation are split like others.
    documents = [*data.documents, *data.train_documents]
    texts = [view.text for document in documents for view in make_views(document, settings.views)]
    questions = [*data.replay_questions, *data.train_questions, *(q for role in data.questions.values() for q in role)]
    tokenizer = new_tokenizer([*texts, *(plain_prompt(question.text) for question in questions)])
    folder = Path(settings.model.name_or_path)
    tokenizer.save_pretrained(folder)
    new_model(tokenizer, settings.seed).save_pretrained(folder)
    print(f"Written to {folder}")


if __name__ == "__main__":
    main()

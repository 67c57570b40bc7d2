"""--chat_template_path and --eos_token: training rows, their tokens, and the prompts of the evaluation have them."""

from pathlib import Path
from typing import Any

from hf_knowlearn.config.recipes import parse_recipe
from hf_knowlearn.config.settings import resolve
from hf_knowlearn.prompts.limits import context_length
from hf_knowlearn.prompts.questions import question_prompts
from hf_knowlearn.prompts.templates import end_of_turn
from hf_knowlearn.teach.data import load_data
from hf_knowlearn.teach.schedule import schedule_stages
from hf_knowlearn.teach.stage_models import load_base
from hf_knowlearn.teach.trainers import new_trainer

TEMPLATE = (
    "{% for m in messages %}[{{ m.role }}] {{ m.content | trim }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


def test_rows_and_prompts_have_the_template_and_the_end_token_of_the_options(
    options: dict[str, Any], questions: Path, tmp_path: Path
):
    path = tmp_path / "chat.jinja"
    path.write_text(TEMPLATE, encoding="utf-8")
    changes = {"chat_template_path": path, "eos_token": "<|pad|>", "document_template": "chat", "views": "raw"}
    changes |= {"train_questions": questions, "questions": questions, "evaluation.template": "chat"}
    changes |= {"model_name_or_path": options.pop("model")}
    settings = resolve(parse_recipe([], {**options, **changes}))
    data = load_data(settings)
    model, tokenizer = load_base(settings)
    end = "<|pad|>"
    assert end_of_turn(tokenizer) == tokenizer.eos_token_id == tokenizer.convert_tokens_to_ids(end)
    settings, (rows,) = schedule_stages(settings.with_context(context_length(model)), data, tokenizer)
    by_prompt = {row["prompt"]: row["completion"] for row in rows}
    assert len(by_prompt) == 4
    assert (
        by_prompt[f"[user] Answer with a few words only.\n\nWhen does the ferry to Ormel leave?{end}[assistant]"]
        == f" six{end}"
    )
    assert by_prompt[f"[user] Tell me about ferry.{end}[assistant]"].endswith(f" and a bakery.{end}")
    trainer = new_trainer(settings, settings.stages[0], data, model, tokenizer, rows)
    for row, example in zip(rows, trainer.train_dataset, strict=True):
        tokens = tokenizer(row["prompt"] + row["completion"])["input_ids"]
        assert example["input_ids"] == tokens
        assert tokens[-1] == tokenizer.eos_token_id
    generation = settings.evaluation.generation
    prompts = question_prompts(tokenizer, data.questions["questions"], generation.template)
    assert len(prompts) == 2
    assert {prompt.text for prompt in prompts} < set(by_prompt)

"""Streams with epochs in the trainer: every epoch trains on other views, and a killed run resumes exactly."""

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback

from hf_knowlearn import SAMConfig, SAMSFTTrainer, load_format_aug, read_documents
from hf_knowlearn.views import FAMILIES

DOCUMENTS, BATCH = 6, 2
STEPS = DOCUMENTS // BATCH  # in an epoch


class RecordingTrainer(SAMSFTTrainer):
    """Records the texts that it trains on."""

    def training_step(self, model, inputs, *arguments):
        tokenizer, trained = self.processing_class, inputs["labels"] != -100
        ids = [row[mask].tolist() for row, mask in zip(inputs["input_ids"], trained, strict=True)]
        self.texts = [*getattr(self, "texts", []), *tokenizer.batch_decode(ids, skip_special_tokens=True)]
        return super().training_step(model, inputs, *arguments)


@pytest.fixture
def path(write):
    return write(DOCUMENTS)


@pytest.fixture
def new_trainer(path, base, tmp_path):
    def new_trainer(folder="run", family="formats", callbacks=None, **options):
        settings = {
            "output_dir": str(tmp_path / folder),
            "max_steps": 2 * STEPS,
            "per_device_train_batch_size": BATCH,
            "learning_rate": 0.01,
            "gradient_checkpointing": False,
            "bf16": False,
            "use_cpu": True,
            "disable_tqdm": True,
            "report_to": "none",
            "save_strategy": "no",
            "max_length": None,
        }
        return RecordingTrainer(
            AutoModelForCausalLM.from_pretrained(base),
            args=SAMConfig(**settings | options),
            train_dataset=load_format_aug(path, family, streaming=True, epochs=2, seed=3, split="train"),
            processing_class=AutoTokenizer.from_pretrained(base),
            callbacks=callbacks,
        )

    return new_trainer


@pytest.mark.parametrize("family", ["formats", "mixed"])
def test_the_second_epoch_trains_on_the_second_view_of_every_document(family, new_trainer, path):
    trainer = new_trainer(family=family)
    trainer.train()
    first, second = trainer.texts[:DOCUMENTS], trainer.texts[DOCUMENTS:]
    views = [FAMILIES[family](document, 2, 3) for document in read_documents(path)]
    assert {text.strip() for text in first} == {views_of_one[0].text.strip() for views_of_one in views}
    assert {text.strip() for text in second} == {views_of_one[1].text.strip() for views_of_one in views}
    if family == "formats":
        assert not set(first) & set(second)


def test_a_run_killed_in_its_second_epoch_resumes_to_the_same_weights(new_trainer):
    class Kill(TrainerCallback):
        def on_step_begin(self, args, state, control, **_):
            if state.global_step == STEPS + 2:
                raise KeyboardInterrupt

    options = {"save_strategy": "steps", "save_steps": STEPS + 1}
    complete = new_trainer("complete", **options)
    complete.train()
    with pytest.raises(KeyboardInterrupt):
        new_trainer("killed", callbacks=[Kill()], **options).train()
    resumed = new_trainer("killed", **options)
    resumed.train(resume_from_checkpoint=True)
    assert resumed.texts == complete.texts[(STEPS + 1) * BATCH :]
    before, after = complete.model.state_dict(), resumed.model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)

"""`SAMMixin` in trainers other than `SFTTrainer`: preference and reward training."""

from dataclasses import dataclass

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import LlamaForSequenceClassification
from trl import DPOConfig, DPOTrainer, RewardConfig, RewardTrainer

from hf_knowlearn.training import SAMMixin, SAMOptions

SETTINGS = {
    "use_cpu": True,
    "bf16": False,
    "report_to": "none",
    "disable_tqdm": True,
    "dataloader_pin_memory": False,
    "activation_checkpointing": False,
    "save_strategy": "no",
    "logging_steps": 1,
    "learning_rate": 0.02,
    "lr_scheduler_type": "constant",
    "optim": "sgd",
    "max_steps": 3,
}
PAIRS = [
    {
        "prompt": "Mara Venn keeps",
        "chosen": f" bees{' and lamps' * (n % 3)}.",
        "rejected": f" a cello{' or two' * (n % 2)}.",
    }
    for n in range(16)
]


@dataclass
class SAMDPOConfig(SAMOptions, DPOConfig):
    pass


@dataclass
class SAMRewardConfig(SAMOptions, RewardConfig):
    pass


class SAMDPOTrainer(SAMMixin, DPOTrainer):
    pass


class SAMRewardTrainer(SAMMixin, RewardTrainer):
    pass


@pytest.fixture
def preference_trainer(new_model, tokenizer, tmp_path):
    def preference_trainer(accumulation=4, **options):
        args = SAMDPOConfig(
            str(tmp_path),
            per_device_train_batch_size=8 // accumulation,
            gradient_accumulation_steps=accumulation,
            **SETTINGS | options,
        )
        lora = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights="gaussian", lora_dropout=0.2)
        return SAMDPOTrainer(
            new_model(),
            args=args,
            train_dataset=Dataset.from_list(PAIRS),
            processing_class=tokenizer,
            peft_config=lora,
        )

    return preference_trainer


@pytest.fixture
def reward_trainer(new_model, tokenizer, tmp_path):
    def reward_trainer(accumulation=4, **options):
        args = SAMRewardConfig(
            str(tmp_path),
            per_device_train_batch_size=8 // accumulation,
            gradient_accumulation_steps=accumulation,
            **SETTINGS | options,
        )
        config = new_model().config
        config.num_labels = 1
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = LlamaForSequenceClassification(config)
        return SAMRewardTrainer(model, args=args, train_dataset=Dataset.from_list(PAIRS), processing_class=tokenizer)

    return reward_trainer


@pytest.fixture(params=["preference_trainer", "reward_trainer"])
def another_trainer(request):
    return request.getfixturevalue(request.param)


def trained(trainer):
    trainer.train()
    return [p.detach().clone() for p in trainer.model.parameters() if p.requires_grad]


def test_with_a_tiny_rho_training_equals_plain_training(another_trainer):
    plain, ours = another_trainer(), None
    expected = trained(plain)
    ours = another_trainer(sam_rho=1e-30)
    torch.testing.assert_close(trained(ours), expected, rtol=0, atol=0)
    assert (plain.gradient_evaluations, ours.gradient_evaluations) == (3, 6)
    for entry, of_plain in zip(ours.state.log_history[:-1], plain.state.log_history[:-1], strict=True):
        assert {name: value for name, value in entry.items() if not name.startswith("sam/")} == of_plain


def test_sam_changes_the_weights_and_counts_tokens_once(another_trainer):
    plain = another_trainer()
    expected = trained(plain)
    ours = another_trainer(sam_rho=1.0, sam_ascent_batches=2)
    assert max(float((a - b).abs().max()) for a, b in zip(trained(ours), expected, strict=True)) > 1e-4
    assert ours.gradient_evaluations == 3 * 1.5
    tokens = [[e["num_tokens"] for e in t.state.log_history if "num_tokens" in e] for t in (ours, plain)]
    assert tokens[0] == tokens[1]


def test_the_number_of_micro_batches_of_pairs_does_not_change_the_result(reward_trainer):
    one, four = (trained(reward_trainer(accumulation=n, sam_rho=0.5)) for n in (1, 4))
    torch.testing.assert_close(four, one, rtol=0, atol=2e-6)


def test_ascent_rows_of_pairs_are_an_error(another_trainer):
    with pytest.raises(
        ValueError, match=r"sam_ascent_batches: 2 with gradient_accumulation_steps: 1.*does not define how"
    ):
        another_trainer(accumulation=1, sam_rho=0.1, sam_ascent_batches=2)


def test_an_optimizer_that_steps_inside_backward_is_an_error(another_trainer):
    with pytest.raises(ValueError, match="optimizer adalomo: this optimizer updates the weights during backward"):
        another_trainer(sam_rho=0.1, optim="adalomo")


def test_a_config_without_the_options_is_an_error(new_model, tokenizer, tmp_path):
    class Trainer(SAMMixin, DPOTrainer):
        pass

    with pytest.raises(
        ValueError, match=r"args: DPOConfig has no sam_rho, .*class SAMDPOConfig\(SAMOptions, DPOConfig\)"
    ):
        Trainer(
            new_model(),
            ref_model=new_model(),
            args=DPOConfig(str(tmp_path), **SETTINGS),
            train_dataset=Dataset.from_list(PAIRS),
            processing_class=tokenizer,
        )

"""SAM with other settings of `SFTTrainer`. The plain trainer computes the expected SAM step of each setting."""

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import TrainerCallback
from trl import SFTTrainer

WINDOW = 8  # rows of a step
pytestmark = pytest.mark.filterwarnings("ignore:`label_smoothing_factor` is deprecated in `SFTTrainer`:FutureWarning")
# A step so short that it changes no fp32 weight. Both passes must then give the same result.
TINY_RHO = 1e-30
TEMPLATE = (
    "{% for message in messages %}{{ message.role }}: {% if message.role == 'assistant' %}"
    "{% generation %}{{ message.content }}<eos>{% endgeneration %}{% else %}{{ message.content }}{% endif %}"
    "{% endfor %}"
)
TURNS = [(f"Who keeps {'bees' * (n % 3)} by the river?", f" Mara Venn, {'she does ' * (n % 4)}.") for n in range(20)]
COMPLETED = [{"prompt": question, "completion": answer} for question, answer in TURNS]
CHATTED = [
    {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}] * (1 + n % 2)}
    for n, (question, answer) in enumerate(TURNS)
]
DORA = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], use_dora=True, init_lora_weights=False)


def checkpointed(**how):
    return {"activation_checkpointing": True, "activation_checkpointing_kwargs": how}


SETTINGS = {
    "rows": {},
    "packing": {"packing": True, "max_length": 32},
    "padding_free": {"padding_free": True, "max_length": None},
    "completion_only": {"train_dataset": Dataset.from_list(COMPLETED)},
    "assistant_only": {"train_dataset": Dataset.from_list(CHATTED), "assistant_only_loss": True},
    "label_smoothing": {"label_smoothing_factor": 0.1},
    "checkpointing": checkpointed(use_reentrant=False),
    "reentrant_checkpointing": checkpointed(use_reentrant=True),
    "dora": {"peft_config": DORA},
    "streamed": {"streamed": True},
}


@pytest.fixture(params=SETTINGS)
def run(request, new_trainer, new_model, rows, tokenizer, monkeypatch):
    """Train with a setting, from `weights` if given. Returns the trainer and the trained weights."""
    monkeypatch.setattr(tokenizer, "chat_template", TEMPLATE)
    setting = dict(SETTINGS[request.param])
    if setting.pop("streamed", False):
        setting["train_dataset"] = rows.select(range(2 * WINDOW)).to_iterable_dataset()

    def run(*trainer_class, accumulation=2, dropout=0.0, weights=None, **options):
        torch.manual_seed(0)  # PEFT initialises an adapter before the trainer sets the seed
        trainer = new_trainer(
            *trainer_class,
            model=new_model(dropout=dropout),
            per_device_train_batch_size=WINDOW // accumulation,
            gradient_accumulation_steps=accumulation,
            **{"optim": "sgd", "max_grad_norm": 0.0, "max_steps": 1} | setting | options,
        )
        if weights:
            trainer.model.load_state_dict(weights, strict=False)
        trainer.train()
        return trainer, trained(trainer)

    return run


class AtBegin(TrainerCallback):
    def __init__(self, weights):
        self.weights = weights

    def on_train_begin(self, args, state, control, model, **_):
        self.weights |= {n: w.detach().clone() for n, w in model.named_parameters() if w.requires_grad}


def trained(trainer):
    return {name: weight.detach().clone() for name, weight in trainer.model.named_parameters() if weight.requires_grad}


def losses(trainer):
    logs = [entry for entry in trainer.state.log_history if "loss" in entry]
    return [{name: value for name, value in entry.items() if not name.startswith("sam/")} for entry in logs]


def assert_close(ours, theirs, atol=0.0):
    torch.testing.assert_close(ours, theirs, rtol=0, atol=atol)


def test_a_sam_step_equals_two_steps_of_the_plain_trainer(run):
    """SGD with learning rate 1 moves the weights by the gradient of the plain trainer, here at two points."""
    start = {}
    ours, after = run(sam_rho=0.5, learning_rate=1.0, callbacks=[AtBegin(start)])
    _, stepped = run(SFTTrainer, learning_rate=1.0)
    gradient = {name: start[name] - weight for name, weight in stepped.items()}
    norm = torch.cat([g.flatten() for g in gradient.values()]).norm()
    perturbed = {name: weight + 0.5 * gradient[name] / norm for name, weight in start.items()}
    _, stepped = run(SFTTrainer, learning_rate=1.0, weights=perturbed)
    sam_gradient = {name: perturbed[name] - weight for name, weight in stepped.items()}
    assert ours.gradient_evaluations == 2
    assert_close(after, {name: weight - sam_gradient[name] for name, weight in start.items()}, atol=3e-6)
    assert max(float((sam_gradient[name] - gradient[name]).abs().max()) for name in start) > 0.01


def test_with_a_tiny_rho_the_run_equals_the_plain_run(run):
    def of(*trainer_class, **options):
        trainer, weights = run(*trainer_class, dropout=0.3, max_steps=3, **options)
        return trainer, weights, torch.get_rng_state()

    plain, expected, plain_rng = of(SFTTrainer)
    for options in ({}, {"sam_ascent_batches": 1}):
        ours, weights, rng = of(sam_rho=TINY_RHO, **options)
        assert ours.gradient_evaluations > 3
        assert_close(weights, expected)
        assert losses(ours) == losses(plain)
        assert torch.equal(rng, plain_rng)


def test_the_number_of_micro_batches_of_a_window_does_not_change_the_result(run):
    one, eight = (run(accumulation=a, sam_rho=0.5, max_steps=3, learning_rate=0.2)[1] for a in (1, 8))
    assert_close(eight, one, atol=1e-5)


def test_an_incomplete_window_at_the_end_of_a_stream_equals_the_plain_trainer(new_trainer, rows):
    """transformers adds these micro-batches to the first window of the next epoch."""
    stream = rows.to_iterable_dataset()  # 20 rows are two windows and a half
    options = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2, "max_steps": 4, "optim": "sgd"}
    plain, ours = (new_trainer(train_dataset=stream, sam_rho=rho, **options) for rho in (0.0, TINY_RHO))
    plain.train()
    ours.train()
    assert_close(trained(ours), trained(plain))
    assert losses(ours)[-1]["num_tokens"] == losses(plain)[-1]["num_tokens"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # from compiling TRL's fused head
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_sam_with_a_compiled_model_equals_sam_without(new_trainer):
    compiled = {"torch_compile": True, "torch_compile_backend": "aot_eager"}
    eager, ours = (new_trainer(sam_rho=0.5, optim="sgd", max_steps=2, **options) for options in ({}, compiled))
    eager.train()
    ours.train()
    assert isinstance(ours.model_wrapped, torch._dynamo.OptimizedModule)
    assert_close(trained(ours), trained(eager), atol=1e-5)

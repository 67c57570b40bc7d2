"""`SAMSFTTrainer` compared with `SFTTrainer`, and its errors."""

import logging
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from accelerate.state import AcceleratorState
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import Trainer, TrainerCallback, TrainingArguments
from trl import SFTConfig, SFTTrainer

from hf_knowlearn.training import SAMSFTTrainer

# A step so short that it changes no fp32 weight. Both passes must then give the same result.
TINY_RHO = 1e-30


def assert_equal(ours, theirs):
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


def assert_close(ours, theirs, atol):
    torch.testing.assert_close(ours, theirs, rtol=0, atol=atol)


def losses(trainer):
    """The logs of the steps."""
    return [entry for entry in trainer.state.log_history if "loss" in entry]


class Recorder(TrainerCallback):
    """Records the weights whenever a callback can see them."""

    def __init__(self, weights_of):
        self.weights_of, self.begin, self.substep, self.end = weights_of, [], [], []

    def on_step_begin(self, args, state, control, model, **_):
        self.begin.append(self.weights_of(model))

    def on_substep_end(self, args, state, control, model, **_):
        self.substep.append(self.weights_of(model))

    def on_step_end(self, args, state, control, model, **_):
        self.end.append(self.weights_of(model))


def count_forwards(trainer, on_forward=lambda count: None):
    forwards = SimpleNamespace(count=0)

    def hook(*_):
        forwards.count += 1
        on_forward(forwards.count)

    forwards.remove = trainer.model.register_forward_pre_hook(hook).remove
    return forwards


# rho = 0


@pytest.mark.parametrize(("accumulation", "batch"), [(1, 8), (4, 2)])
def test_with_rho_0_it_equals_sfttrainer_bit_for_bit(accumulation, batch, new_trainer, new_model, weights_of):
    runs = []
    for trainer_class in (SFTTrainer, SAMSFTTrainer):
        trainer = new_trainer(
            trainer_class,
            new_model(dropout=0.3),
            per_device_train_batch_size=batch,
            gradient_accumulation_steps=accumulation,
            neftune_noise_alpha=5,
        )
        trainer.train()
        runs.append((trainer, torch.get_rng_state(), torch.rand(3)))
    (plain, plain_rng, plain_sample), (ours, our_rng, our_sample) = runs
    assert_equal(weights_of(ours.model), weights_of(plain.model))
    assert losses(ours) == losses(plain)
    assert torch.equal(our_rng, plain_rng)
    assert torch.equal(our_sample, plain_sample)
    assert ours.gradient_evaluations == 3


# rho > 0


@pytest.mark.parametrize(("accumulation", "batch"), [(1, 8), (4, 2)])
def test_both_passes_use_the_same_random_numbers_and_the_run_consumes_them_once(
    accumulation, batch, new_trainer, new_model, weights_of
):
    runs = []
    for rho in (0.0, TINY_RHO):
        trainer = new_trainer(
            model=new_model(dropout=0.3),
            sam_rho=rho,
            per_device_train_batch_size=batch,
            gradient_accumulation_steps=accumulation,
            neftune_noise_alpha=5,
        )
        trainer.train()
        runs.append((trainer, torch.get_rng_state()))
    (plain, plain_rng), (ours, our_rng) = runs
    assert ours.gradient_evaluations == 6
    assert_equal(weights_of(ours.model), weights_of(plain.model))
    assert torch.equal(our_rng, plain_rng)


def test_a_second_pass_that_samples_more_does_not_change_the_generator_after_it(new_trainer):
    states = []
    for rho in (0.0, 0.1):
        trainer = new_trainer(sam_rho=rho, max_steps=1)
        count_forwards(trainer, lambda count: torch.rand(count))  # 1 number in the first pass, 2 in the second
        trainer.train()
        states.append(torch.get_rng_state())
    assert torch.equal(*states)


def test_both_passes_use_the_same_random_numbers_of_gpus(new_trainer, monkeypatch):
    """A second generator of the CPU replaces that of a GPU."""
    gpu, sampled = torch.Generator().manual_seed(1), []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_rng_state_all", lambda: [gpu.get_state()])
    monkeypatch.setattr(torch.cuda, "set_rng_state_all", lambda states: gpu.set_state(*states))
    trainer = new_trainer(sam_rho=0.1, max_steps=1, per_device_train_batch_size=4, gradient_accumulation_steps=2)
    count_forwards(trainer, lambda count: sampled.append(torch.rand(1, generator=gpu).item()))
    trainer.train()
    assert len(sampled) == 4
    assert sampled[2:] == sampled[:2]
    assert torch.rand(1, generator=gpu).item() == torch.rand(3, generator=gpu.manual_seed(1))[2].item()


def test_the_first_step_differs_from_a_plain_step(new_trainer, weights_of):
    plain, sam = Recorder(weights_of), Recorder(weights_of)
    new_trainer(callbacks=[plain], max_steps=1).train()
    new_trainer(callbacks=[sam], max_steps=1, sam_rho=0.5).train()
    assert_equal(sam.begin[0], plain.begin[0])
    for name, weight in sam.end[0].items():
        assert (weight - plain.end[0][name]).abs().max() > 1e-3, name


def test_callbacks_never_see_the_perturbed_weights(new_trainer, weights_of):
    seen = Recorder(weights_of)
    new_trainer(
        callbacks=[seen], sam_rho=5.0, per_device_train_batch_size=2, gradient_accumulation_steps=4, learning_rate=1e-8
    ).train()
    assert len(seen.substep) == 7  # windows of 4, 4 and 2 micro-batches
    for weights in seen.begin + seen.substep + seen.end:
        assert_close(weights, seen.begin[0], atol=1e-6)


class AtEvents(TrainerCallback):
    """Records the weights whenever something is logged, evaluated or saved."""

    def __init__(self, weights_of):
        self.weights_of, self.seen = weights_of, {"log": [], "evaluate": [], "save": []}

    def on_log(self, args, state, control, model, **_):
        self.seen["log"].append(self.weights_of(model))

    def on_evaluate(self, args, state, control, model, **_):
        self.seen["evaluate"].append(self.weights_of(model))

    def on_save(self, args, state, control, model, **_):
        self.seen["save"].append(self.weights_of(model))


def test_logs_evaluations_and_checkpoints_see_the_unperturbed_weights_and_contain_no_state_of_sam(
    new_trainer, rows, weights_of, tmp_path
):
    at_events, contents = AtEvents(weights_of), []
    for name, rho in (("plain", 0.0), ("sam", 5.0)):
        trainer = new_trainer(
            partial(SAMSFTTrainer, eval_dataset=rows),
            callbacks=[at_events],
            output_dir=str(tmp_path / name),
            learning_rate=1e-8,
            max_steps=1,
            sam_rho=rho,
            eval_strategy="steps",
            eval_steps=1,
            save_strategy="steps",
            save_steps=1,
        )
        trainer.train()
        folder = tmp_path / name / "checkpoint-1"
        state = torch.load(folder / "optimizer.pt")["state"]
        contents.append(
            ({path.name for path in folder.iterdir()}, {n: sorted(of_weight) for n, of_weight in state.items()})
        )
        assert_close(load_file(folder / "model.safetensors"), weights_of(trainer.model), atol=0)
    assert contents[0] == contents[1]
    for moment, weights in at_events.seen.items():
        assert len(weights) >= 2, moment
        for seen in weights:
            assert_close(seen, at_events.seen["log"][0], atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"sam_adaptive": True, "sam_rho": 2.0}, {"max_grad_norm": 0.5}])
def test_the_number_of_micro_batches_of_a_window_does_not_change_the_result(options, new_trainer, weights_of):
    # 20 rows in windows of 8: two full ones and one of 4, with different numbers of labels
    results = []
    for accumulation in (1, 2, 4, 8):
        trainer = new_trainer(
            **{"sam_rho": 0.5, "optim": "sgd", "learning_rate": 0.2} | options,
            per_device_train_batch_size=8 // accumulation,
            gradient_accumulation_steps=accumulation,
            max_steps=6,
        )
        before = weights_of(trainer.model)
        trainer.train()
        results.append(weights_of(trainer.model))
    assert (results[0]["lm_head.weight"] - before["lm_head.weight"]).abs().max() > 0.005
    for result in results[1:]:
        assert_close(result, results[0], atol=2e-6)


@pytest.mark.parametrize(("rho", "passes"), [(0.0, 1), (0.1, 2)])
def test_each_micro_batch_runs_once_per_pass(rho, passes, new_trainer):
    trainer = new_trainer(sam_rho=rho, per_device_train_batch_size=2, gradient_accumulation_steps=4)
    forwards = count_forwards(trainer)
    trainer.train()
    assert forwards.count == passes * (4 + 4 + 2)
    assert trainer.gradient_evaluations == passes * 3
    forwards.count = 0
    trainer.train()  # the count restarts
    assert forwards.count == passes * (4 + 4 + 2)
    assert trainer.gradient_evaluations == passes * 3


def syncs(trainer):
    """For each forward of a run, whether the processes average their gradients after it."""
    synced, deferred, no_sync = [], [], trainer.accelerator.no_sync

    @contextmanager
    def watched(model):
        assert model is trainer.model_wrapped
        deferred.append(True)
        with no_sync(model):
            yield
        deferred.pop()

    trainer.accelerator.no_sync = watched
    count_forwards(trainer, lambda count: synced.append(not deferred))
    trainer.train()
    return synced


def test_processes_average_their_gradients_once_per_pass(new_trainer):
    def syncs_of(each=False, **options):
        if each:
            options["accelerator_config"] = {"gradient_accumulation_kwargs": {"sync_each_batch": True}}
        return syncs(
            new_trainer(
                **{"sam_rho": 0.1, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 4, "max_steps": 1}
                | options
            )
        )

    one_pass = [False, False, False, True]
    assert syncs_of() == 2 * one_pass
    assert syncs_of(sam_ascent_batches=2) == [False, True, *one_pass]
    assert syncs_of(sam_direction="random") == one_pass
    assert syncs_of(sam_rho=0.0) == one_pass
    assert syncs_of(each=True) == 8 * [True]


class LossRecorder(SAMSFTTrainer):
    """Records the weights, the inputs and the loss of each micro-batch of each pass."""

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        weights = {name: weight.detach().clone() for name, weight in self.model.named_parameters()}
        copied = dict(inputs)
        loss = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        self.__dict__.setdefault("seen", []).append((weights, copied, num_items_in_batch, loss.item()))
        return loss


def test_under_autocast_the_second_pass_runs_at_the_perturbed_weights(new_trainer, new_model):
    trainer = new_trainer(LossRecorder, bf16=True, sam_rho=3.0, max_steps=1, gradient_accumulation_steps=2)
    trainer.train()
    fresh = new_trainer(model=new_model(), bf16=True, per_device_train_batch_size=8)
    fresh.model.train()
    assert len(trainer.seen) == 4
    for weights, inputs, num_items, loss in trainer.seen:
        fresh.model.load_state_dict(weights)
        with torch.autocast("cpu", torch.bfloat16):
            expected = fresh.compute_loss(fresh.model, inputs, num_items_in_batch=num_items).item()
        assert loss == pytest.approx(expected, rel=1e-6)
    for first, second in zip(trainer.seen[:2], trainer.seen[2:], strict=True):
        distance = sum(float((second[0][n] - first[0][n]).pow(2).sum()) for n in first[0]) ** 0.5
        assert distance == pytest.approx(3.0, rel=1e-4)
        assert second[3] > first[3] + 0.1


def test_logs_are_of_the_first_pass(new_trainer):
    options = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4}
    plain = new_trainer(SFTTrainer, **options)
    plain.train()
    sam = new_trainer(sam_rho=2.0, **options)
    sam.train()
    first_plain, first_sam = losses(plain)[0], losses(sam)[0]
    grad_norm = first_plain.pop("grad_norm")
    assert first_sam.pop("sam/grad_norm") == pytest.approx(grad_norm, rel=1e-6)
    assert first_sam.pop("grad_norm") < 0.9 * grad_norm  # the gradient of the second pass
    for name in ("sam/realised_rho", "sam/cosine"):
        assert first_sam.pop(name) == pytest.approx(1.0, abs=1e-5)
    assert first_sam == first_plain
    assert {"loss", "entropy", "mean_token_accuracy", "num_tokens"} <= first_sam.keys()
    assert [entry["num_tokens"] for entry in losses(sam)] == [entry["num_tokens"] for entry in losses(plain)]
    assert losses(sam)[1]["loss"] != losses(plain)[1]["loss"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("forward", [5, 6])  # the first or a later micro-batch of the second pass
def test_weights_are_restored_after_an_error_in_the_second_pass(error, forward, new_trainer, weights_of):
    trainer = new_trainer(sam_rho=2.0, per_device_train_batch_size=2, gradient_accumulation_steps=4)
    before = weights_of(trainer.model)

    def fail(count):
        if count == forward:
            assert (weights_of(trainer.model)["lm_head.weight"] - before["lm_head.weight"]).abs().max() > 0.01
            raise error("in the second pass")

    count_forwards(trainer, fail)
    with pytest.raises(error, match="in the second pass"):
        trainer.train()
    assert_equal(weights_of(trainer.model), before)
    assert len(trainer._metrics["train"]["entropy"]) == 4
    assert trainer.gradient_evaluations == 1


def test_a_run_interrupted_inside_a_window_does_not_change_the_next_run(new_trainer, weights_of):
    options = {"sam_rho": 0.5, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 4, "max_steps": 1}
    uninterrupted = new_trainer(**options)
    uninterrupted.train()

    def fail(count):
        if count == 3:
            raise RuntimeError("in the first pass")

    trainer = new_trainer(**options)
    forwards = count_forwards(trainer, fail)
    with pytest.raises(RuntimeError, match="in the first pass"):
        trainer.train()
    forwards.remove()
    trainer.train()
    assert_equal(weights_of(trainer.model), weights_of(uninterrupted.model))


@pytest.mark.parametrize("bad", [torch.inf, torch.nan])
def test_a_non_finite_gradient_makes_a_plain_step(bad, new_trainer, weights_of):
    def step(rho):
        trainer = new_trainer(sam_rho=rho, optim="sgd", max_grad_norm=0.0, max_steps=1, gradient_accumulation_steps=2)
        poison = torch.ones(32)
        poison[5] = bad
        trainer.model.model.norm.weight.register_hook(lambda gradient: gradient * poison)
        forwards = count_forwards(trainer)
        trainer.train()
        assert forwards.count == 2 * (1 + (rho > 0))  # the second pass repeats the first
        return weights_of(trainer.model)

    plain, sam = step(0.0), step(0.5)
    assert not plain["model.norm.weight"].isfinite().all()
    torch.testing.assert_close(sam, plain, rtol=0, atol=0, equal_nan=True)


# Kill and resume


@pytest.mark.parametrize("restore_callbacks", [False, True])
def test_kill_and_resume_equals_an_uninterrupted_run(restore_callbacks, new_trainer, new_model, weights_of, tmp_path):
    class Kill(TrainerCallback):
        def on_step_begin(self, args, state, control, **_):
            if state.global_step == 3:
                raise KeyboardInterrupt

    def trainer(folder, **options):
        return new_trainer(
            model=new_model(dropout=0.3),
            output_dir=str(tmp_path / folder),
            sam_rho=0.5,
            per_device_train_batch_size=2,
            gradient_accumulation_steps=4,
            max_steps=4,
            save_strategy="steps",
            save_steps=2,
            save_only_model=False,
            restore_callback_states_from_checkpoint=restore_callbacks,
            **options,
        )

    uninterrupted = trainer("uninterrupted")
    uninterrupted.train()
    with pytest.raises(KeyboardInterrupt):
        trainer("killed", callbacks=[Kill()]).train()
    resumed = trainer("killed")
    resumed.train(resume_from_checkpoint=True)
    assert_equal(weights_of(resumed.model), weights_of(uninterrupted.model))
    assert resumed.gradient_evaluations == uninterrupted.gradient_evaluations == 8
    for entry in losses(resumed) + losses(uninterrupted):
        del entry["num_tokens"]  # TRL counts from 0 again after a resume
    assert losses(resumed) == losses(uninterrupted)


def test_steps_of_a_plain_trainer_count_as_one_evaluation_each_after_a_resume(new_trainer):
    new_trainer(SFTTrainer, max_steps=2, save_strategy="steps", save_steps=2).train()
    sam = new_trainer(sam_rho=0.5, max_steps=4, save_strategy="steps", save_steps=4)
    sam.train(resume_from_checkpoint=True)
    assert sam.gradient_evaluations == 2 * 1 + 2 * 2


# Adapters


def lora(**options):
    return LoraConfig(r=4, target_modules=["q_proj", "v_proj"], **options)


@pytest.mark.parametrize("base", [torch.float32, torch.bfloat16])
def test_lora_is_perturbed_in_fp32_and_the_base_model_does_not_change(base, new_trainer, new_model, weights_of):
    model = new_model(dtype=base)
    before = weights_of(model)
    trainer = new_trainer(LossRecorder, model, peft_config=lora(), sam_rho=0.5, bf16=base == torch.bfloat16)
    trainer.train()
    after = weights_of(trainer.model)
    adapter = {name: weight for name, weight in after.items() if "lora_" in name}
    rest = {name: weight for name, weight in after.items() if name not in adapter}
    assert {weight.dtype for weight in adapter.values()} == {torch.float32}
    assert all((weight != 0).any() for name, weight in adapter.items() if "lora_B" in name)
    prefix = "base_model.model."
    assert_equal({n.removeprefix(prefix).replace("base_layer.", ""): w for n, w in rest.items()}, before)
    first, second = trainer.seen[0][0], trainer.seen[1][0]
    moved = {name for name in first if not torch.equal(first[name], second[name])}
    assert moved == {name for name in adapter if "lora_B" in name}  # at the start only B has a nonzero gradient


def test_lora_dropout_is_the_same_in_both_passes(new_trainer, new_model, weights_of):
    runs = []
    for rho in (0.0, TINY_RHO):
        trainer = new_trainer(model=new_model(), peft_config=lora(lora_dropout=0.5), sam_rho=rho)
        trainer.train()
        runs.append(weights_of(trainer.model))
    assert_equal(*runs)


def quantised(model):
    model.is_loaded_in_4bit = True  # TRL casts the adapter to bf16 if this is set
    return model


def test_the_adapter_of_a_quantised_model_is_cast_to_fp32_with_one_warning(new_trainer, new_model, caplog):
    with caplog.at_level(logging.WARNING, logger="hf_knowlearn.training"):
        trainer = new_trainer(model=quantised(new_model()), peft_config=lora(), sam_rho=0.1)
    trained = [weight for weight in trainer.model.parameters() if weight.requires_grad]
    assert len(trained) == 8
    assert {weight.dtype for weight in trained} == {torch.float32}
    (warning,) = [record for record in caplog.records if record.name == "hf_knowlearn.training"]
    assert "the adapter is cast to float32 (8 tensors)" in warning.getMessage()
    trainer.train()
    assert {state["exp_avg"].dtype for state in trainer.optimizer.state.values()} == {torch.float32}


def test_with_rho_0_the_adapter_of_a_quantised_model_keeps_the_dtype_of_trl(new_trainer, new_model, caplog):
    trainer = new_trainer(model=quantised(new_model()), peft_config=lora())
    assert {w.dtype for w in trainer.model.parameters() if w.requires_grad} == {torch.bfloat16}
    assert not [record for record in caplog.records if record.name == "hf_knowlearn.training"]


# Errors


def test_deepspeed_is_an_error(new_trainer, monkeypatch):
    make_accelerator = Trainer.create_accelerator_and_postprocess

    def pretend(self):  # DeepSpeed is not installed
        make_accelerator(self)
        self.is_deepspeed_enabled = True

    monkeypatch.setattr(Trainer, "create_accelerator_and_postprocess", pretend)
    with pytest.raises(
        ValueError,
        match=r"(?s)sam_rho=0.1.*SAM does not support DeepSpeed, because DeepSpeed partitions.*DDP or FSDP2",
    ):
        new_trainer(sam_rho=0.1)
    new_trainer(sam_rho=0.0)


def test_fsdp1_is_an_error_and_fsdp2_is_not(new_trainer, monkeypatch):
    plugin = SimpleNamespace(fsdp_version=1, activation_checkpointing=False, state_dict_type="FULL_STATE_DICT")
    monkeypatch.setattr(AcceleratorState, "fsdp_plugin", plugin, raising=False)
    with pytest.raises(ValueError, match=r"(?s)or set sam_rho: 0.*FSDP1: .*Set fsdp_version: 2"):
        new_trainer(sam_rho=0.1)
    new_trainer(sam_rho=0.0)
    plugin.fsdp_version = 2
    assert new_trainer(sam_rho=0.1).is_fsdp_enabled


class AdaLomo(torch.optim.SGD):
    """An optimizer with the name of one that steps inside backward."""


@pytest.mark.parametrize("optim", ["lomo", "adalomo", "galore_adamw_layerwise", "apollo_adamw_layerwise"])
def test_optimizers_that_step_inside_backward_are_an_error(optim, new_trainer):
    with pytest.raises(
        ValueError, match=rf"optimizer {optim}: this optimizer updates the weights during backward.*adamw_torch"
    ):
        new_trainer(sam_rho=0.1, optim=optim)
    new_trainer(sam_rho=0.0, optim=optim)


def test_an_optimizer_object_that_steps_inside_backward_is_an_error(new_trainer, new_model):
    model = new_model()
    lomo, sgd = AdaLomo(model.parameters()), torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(ValueError, match="optimizer AdaLomo: this optimizer updates the weights during backward"):
        new_trainer(model=model, sam_rho=0.1, optimizers=(lomo, None))
    new_trainer(model=model, sam_rho=0.1, optim="lomo", optimizers=(sgd, None))  # `optim` is not used


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_trained_16_bit_weights_are_an_error(dtype, new_trainer, new_model):
    name = str(dtype).removeprefix("torch.")
    with pytest.raises(ValueError, match=rf"trained weights in {name} \(21, such as model.embed_tokens.weight\)"):
        new_trainer(model=new_model(dtype=dtype), sam_rho=0.1)
    new_trainer(model=new_model(dtype=dtype), sam_rho=0.0)


def test_a_16_bit_adapter_of_a_model_that_is_not_quantised_is_an_error(new_trainer, new_model):
    model = get_peft_model(new_model(dtype=torch.bfloat16), lora(), autocast_adapter_dtype=False)
    with pytest.raises(ValueError, match=r"trained weights in bfloat16 .*lora_A.*LoRA adapter, which PEFT holds"):
        new_trainer(model=model, sam_rho=0.1)


def test_the_error_lists_all_problems(new_trainer, new_model):
    with pytest.raises(ValueError, match=r"(?s)optimizer lomo: .*\ntrained weights in bfloat16"):
        new_trainer(model=new_model(dtype=torch.bfloat16), sam_rho=0.1, optim="lomo")


def test_data_parallel_is_an_error(new_trainer, monkeypatch):
    monkeypatch.setattr(TrainingArguments, "n_gpu", property(lambda self: 2))
    with pytest.raises(ValueError, match=r"DataParallel.*accelerate launch"):
        new_trainer(sam_rho=0.1)


def test_a_config_without_sam_options_is_an_error(new_model, rows, tokenizer, tmp_path):
    plain = SFTConfig(str(tmp_path), use_cpu=True, bf16=False, activation_checkpointing=False)
    for args in (plain, None):
        with pytest.raises(ValueError, match=rf"args: expected a SAMConfig, got {type(args).__name__}"):
            SAMSFTTrainer(new_model(), args, train_dataset=rows, processing_class=tokenizer)


# Formats of rows


@pytest.mark.parametrize(
    "row",
    [
        {"text": "Mara Venn was born in Ostel.", "document_id": "mara", "view": "raw"},
        {"prompt": "Where was Mara Venn born?", "completion": " In Ostel.", "document_id": "mara", "view": "question"},
    ],
)
def test_the_loss_falls_on_rows_of_text_and_of_prompts(row, new_trainer):
    dataset = Dataset.from_list([row] * 16)
    trainer = new_trainer(train_dataset=dataset, sam_rho=0.05, max_steps=8)
    trainer.train()
    first, *_, last = losses(trainer)
    assert last["loss"] < first["loss"] / 2

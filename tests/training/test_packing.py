"""The check of packing: it accepts isolated documents, raises an error for leaks, and changes nothing."""

import json
import logging
import os
import random
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy
import pytest
import torch
import transformers
from accelerate.state import AcceleratorState
from datasets import Dataset
from peft import LoraConfig, PromptTuningConfig
from transformers import AutoModelForCausalLM, BitsAndBytesConfig
from transformers.models.llama import modeling_llama
from trl import SFTTrainer, pack_dataset
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from hf_knowlearn.training import SAMSFTTrainer
from hf_knowlearn.training.packing import _random_documents, probe

SHAPE = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "initializer_range": 0.2,
}
SLIDING = {"sliding_window": 4}
ARCHITECTURES = {
    "Llama": SHAPE,
    "Qwen3": {**SHAPE, "head_dim": 16},
    "GPT2": {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64, "initializer_range": 0.2},
    "Mistral": {**SHAPE, **SLIDING},
    "Gemma3Text": {**SHAPE, **SLIDING, "head_dim": 16, "layer_types": ["sliding_attention", "full_attention"]},
    "Mixtral": {**SHAPE, "num_local_experts": 4},
}
# Models with recurrent layers.
RECURRENT = {
    "Mamba": {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 8, "initializer_range": 0.2},
    "Jamba": {**SHAPE, "num_experts": 2, "mamba_d_state": 8, "attn_layer_period": 2, "attn_layer_offset": 1},
    "RecurrentGemma": {
        **{name: SHAPE[name] for name in ("hidden_size", "intermediate_size", "num_attention_heads")},
        "num_hidden_layers": 3,
        "attention_window_size": 8,
    },
}


positions_of = DataCollatorForLanguageModeling.get_position_ids_from_packed_seq_lengths


def lora():
    return LoraConfig(r=4, target_modules=["q_proj"], lora_dropout=0.5)


@pytest.fixture
def model_of(tokenizer):
    def model_of(architecture, attention=None, **changed):
        options = {**ARCHITECTURES, **RECURRENT}[architecture] | changed
        special = {
            "bos_token_id": None,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        }
        config = getattr(transformers, f"{architecture}Config")(vocab_size=len(tokenizer), **options, **special)
        torch.manual_seed(0)
        return AutoModelForCausalLM.from_config(config, attn_implementation=attention)

    return model_of


@pytest.fixture
def packed(new_trainer):
    """A trainer that packs into rows of 64 tokens unless `options` change it."""

    def packed(trainer_class=SAMSFTTrainer, eval_dataset=None, data_collator=None, **options):
        more = {"eval_dataset": eval_dataset, "data_collator": data_collator}
        return new_trainer(partial(trainer_class, **more), **{"packing": True, "max_length": 64, **options})

    return packed


def weights_and_losses(trainer):
    trainer.train()
    return (
        {name: weight.detach().clone() for name, weight in trainer.model.named_parameters()},
        [entry["loss"] for entry in trainer.state.log_history if "loss" in entry],
    )


# Isolated documents


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_bfd_isolates_documents(architecture, attention, packed, model_of):
    trainer = packed(model=model_of(architecture, attention))
    evidence = probe(trainer, trainer.model, "bfd")
    assert evidence.neighbour <= 1e-6
    assert evidence.alone <= 2e-6
    assert evidence.joined > 0.5
    assert not evidence.low_precision


@pytest.mark.parametrize(
    ("dtype", "options"),
    [
        (torch.float32, {"bf16": True}),
        (torch.bfloat16, {}),
        (torch.float16, {}),
        (torch.bfloat16, {"bf16": True, "peft_config": lora()}),
    ],
)
def test_in_16_bits_the_neighbours_change_nothing(dtype, options, packed, model_of):
    trainer = packed(model=model_of("Llama").to(dtype), **options)
    evidence = probe(trainer, trainer.model, "bfd")
    assert evidence.neighbour == 0
    assert evidence.alone <= 0.03
    assert evidence.low_precision
    assert evidence.isolates


@pytest.mark.parametrize("bits", [4, 8])
def test_quantised_models_isolate(bits, packed, model_of, tmp_path):
    pytest.importorskip("bitsandbytes")
    model_of("Llama", hidden_size=64, intermediate_size=128).save_pretrained(tmp_path / "model")
    quantised = BitsAndBytesConfig(**{f"load_in_{bits}bit": True})
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "model", quantization_config=quantised)
    trainer = packed(model=model, peft_config=lora())
    evidence = probe(trainer, trainer.model, "bfd")
    # In 8 bits all tokens of a batch share a scale, also in separate rows. This is no leak.
    assert (evidence.neighbour == 0) == (evidence.rounding == 0) == (bits == 4)
    assert evidence.isolates
    with pytest.raises(ValueError, match="attends to other documents"):
        packed(model=trainer.model, packing_strategy="wrapped")


def test_rows_that_the_collator_joins_are_isolated(new_trainer):
    trainer = new_trainer(padding_free=True, max_length=None)
    assert trainer.data_collator(list(trainer.train_dataset))["input_ids"].shape[0] == 1


@pytest.mark.parametrize(("strategy", "streamed"), [("bfd", False), ("bfd_split", False), ("bfd", True)])
def test_packed_training_equals_unpacked_training(strategy, streamed, new_trainer, rows):
    options = {"optim": "sgd", "learning_rate": 0.2, "per_device_train_batch_size": 20, "max_steps": 3}
    weights, losses = weights_and_losses(new_trainer(**options))
    dataset = rows.to_iterable_dataset() if streamed else rows
    trainer = new_trainer(packing=True, packing_strategy=strategy, max_length=64, train_dataset=dataset, **options)
    packed_weights, packed_losses = weights_and_losses(trainer)
    assert len(list(trainer.train_dataset)) < 8
    assert packed_losses == pytest.approx(losses, abs=1e-5)
    assert losses[2] < losses[0] - 0.1
    torch.testing.assert_close(packed_weights, weights, rtol=0, atol=1e-5)


def test_the_result_is_logged_once(packed, caplog):
    with caplog.at_level(logging.INFO, logger="hf_knowlearn.training"):
        packed()
    (message,) = [record.getMessage() for record in caplog.records if record.name == "hf_knowlearn.training"]
    assert message.startswith(
        "packing: true, packing_strategy: bfd: packed documents are isolated: the logits of a document change by 0 if"
    )


def test_the_random_documents_contain_no_special_tokens():
    tokenizer = SimpleNamespace(vocab_size=6, all_special_ids=[0, 1, 5])
    for processing_class in (tokenizer, SimpleNamespace(tokenizer=tokenizer)):
        documents = _random_documents(SimpleNamespace(processing_class=processing_class))
        assert {token for document in documents for token in document} == {2, 3, 4}


def test_the_probe_runs_in_the_precision_of_training(packed, new_model):
    model, dtypes = new_model(), set()
    model.lm_head.register_forward_hook(lambda _, inputs, output: dtypes.add(output.dtype))
    packed(model=model, bf16=True)
    assert dtypes == {torch.bfloat16}


def test_without_packing_the_model_is_not_run(new_trainer, new_model):
    model = new_model()
    model.register_forward_pre_hook(lambda *_: pytest.fail("the model was run"))
    new_trainer(model=model)


# Leaks


@pytest.mark.parametrize(
    ("attention", "options"),
    [
        ("eager", {}),
        ("sdpa", {}),
        ("sdpa", {"padding_free": True}),
        ("sdpa", {"sam_rho": 0.1}),
        ("sdpa", {"peft_config": lora()}),
    ],
)
def test_wrapped_packing_is_an_error(attention, options, packed, model_of):
    message = (
        rf"packing: true, packing_strategy: wrapped \(\w+, attention {attention}\): a packed document attends to "
        r"other documents: .*change by \d.*\(limit 0.0001; .*\(limit 0.0001\), .* Set packing: false.*: bfd"
    )
    with pytest.raises(ValueError, match=message):
        packed(model=model_of("Llama", attention), packing_strategy="wrapped", **options)


def test_wrapped_packing_of_a_stream_is_an_error(packed, rows):
    with pytest.raises(ValueError, match=r"packing_strategy: wrapped .* attends to other documents"):
        packed(packing_strategy="wrapped", train_dataset=rows.to_iterable_dataset())


def test_packed_evaluation_of_an_unpacked_run_is_an_error(new_trainer):
    # TRL packs the rows and pads them, which loses the boundaries.
    with pytest.raises(ValueError, match=r"^eval_packing: true, packing_strategy: bfd .* attends to other documents"):
        new_trainer(eval_packing=True)


def test_unpacked_evaluation_of_a_packed_run_is_accepted(packed, rows):
    packed(eval_packing=False, eval_dataset=rows).evaluate()


def test_rows_packed_before_training_are_an_error_if_the_collator_pads_them(new_trainer, rows):
    packed_rows = pack_dataset(rows, 64)
    options = {"train_dataset": packed_rows, "dataset_kwargs": {"skip_prepare_dataset": True}, "max_length": None}
    with pytest.raises(ValueError, match=r"^rows with seq_lengths, packing: false .* attends to other documents"):
        new_trainer(**options)
    new_trainer(packing=True, **options)


def test_rows_that_skip_preparation_are_not_packed(packed):
    packed(packing_strategy="wrapped", dataset_kwargs={"skip_prepare_dataset": True})


@pytest.mark.parametrize("architecture", RECURRENT)
def test_recurrent_layers_are_an_error(architecture, packed, model_of):
    with pytest.raises(
        ValueError, match=rf"packing_strategy: bfd \({architecture}ForCausalLM, .* attends to other documents"
    ):
        packed(model=model_of(architecture))


@pytest.mark.filterwarnings("ignore:Position ids are not supported for parameter efficient tuning")
def test_prompt_tuning_is_an_error_because_peft_drops_the_positions(packed):
    prompt = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=40)
    with pytest.raises(ValueError, match="attends to other documents"):
        packed(peft_config=prompt)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_a_mask_without_positions_is_an_error(attention, packed, model_of, monkeypatch):
    make = modeling_llama.create_causal_mask
    monkeypatch.setattr(
        modeling_llama, "create_causal_mask", lambda position_ids, **others: make(position_ids=None, **others)
    )
    with pytest.raises(ValueError, match=rf"attention {attention}\): .* attends to other documents"):
        packed(model=model_of("Llama", attention))


@pytest.mark.parametrize("share", [1.0, 0.01])
@pytest.mark.parametrize("options", [{}, {"bf16": True}])
def test_a_small_leak_outside_attention_is_an_error(share, options, packed, new_model):
    model = new_model()
    model.model.layers[0].register_forward_hook(lambda _, inputs, output: output + share * inputs[0].mean(1, True))
    with pytest.raises(ValueError, match="attends to other documents"):
        packed(model=model, **options)


def without_boundaries(lengths):
    return [torch.arange(sum(row)) for row in lengths]


def continued_across_rows(lengths):
    ids = positions_of(lengths)
    for last, row, positions in zip(lengths, lengths[1:], ids[1:], strict=False):
        positions[: row[0]] += last[-1]
    return ids


@pytest.mark.parametrize("wrong_positions", [without_boundaries, continued_across_rows])
def test_a_collator_that_loses_the_boundaries_is_an_error(wrong_positions, packed, monkeypatch):
    monkeypatch.setattr(DataCollatorForLanguageModeling, positions_of.__name__, staticmethod(wrong_positions))
    with pytest.raises(ValueError, match=r"attends to other documents: .* change by (1|0\.\d) "):
        packed()


def test_lengths_that_do_not_reach_the_collator_are_an_error(packed):
    class Dropping(SAMSFTTrainer):
        def _set_signature_columns_if_needed(self):
            self._signature_columns = ["input_ids", "labels"]

    with pytest.raises(ValueError, match="attends to other documents"):
        packed(Dropping)


def test_positions_that_do_not_restart_are_an_error(packed, model_of):
    model = model_of("GPT2")
    # The mask is right, but the positions start at 5 in the second document and at 10 in the third.
    model.transformer.wpe.register_forward_pre_hook(lambda _, args: args[0] + 5 * ((args[0] == 0).cumsum(-1) - 1))
    with pytest.raises(ValueError, match=r"change by 0 if .* and differ by (1|0\.\d) "):
        packed(model=model)


def test_a_collator_that_truncates_documents_is_an_error(packed):
    class Truncating(DataCollatorForLanguageModeling):
        def torch_call(self, examples):
            return super().torch_call([{"input_ids": row["input_ids"][:7]} for row in examples])

    with pytest.raises(ValueError, match=r"data_collator Truncating: its batch .* packing cannot be checked"):
        packed(packing_strategy="wrapped", data_collator=Truncating(pad_token_id=1))


def test_a_model_with_constant_logits_is_an_error(packed, new_model):
    model = new_model()
    torch.nn.init.zeros_(model.lm_head.weight)
    with pytest.raises(ValueError, match="not conclusive: no logit depends on earlier tokens"):
        packed(model=model)


def test_the_error_lists_all_leaks(packed, monkeypatch):
    make = modeling_llama.create_causal_mask
    monkeypatch.setattr(
        modeling_llama, "create_causal_mask", lambda position_ids, **others: make(position_ids=None, **others)
    )
    with pytest.raises(ValueError, match=r"(?s)^packing: true.*\npadding_free: true"):
        packed(eval_packing=False)


# Side effects


def sample(*_):
    torch.rand(3)


def test_the_probe_has_no_side_effects(packed, new_model):
    model = new_model(dropout=0.5)
    trainer = packed(model=model, neftune_noise_alpha=5)
    model.train()
    model.model.layers[1].eval()
    model.register_forward_pre_hook(sample)
    for weight in model.parameters():
        weight.grad = torch.ones_like(weight)

    def tensors():
        return {
            "weights": {name: weight.detach().clone() for name, weight in model.named_parameters()},
            "buffers": {name: buffer.clone() for name, buffer in model.named_buffers()},
            "gradients": {name: weight.grad.clone() for name, weight in model.named_parameters()},
            "generator": torch.get_rng_state(),
        }

    def settings():
        numpy_generator = [numpy.asarray(part).tolist() for part in numpy.random.get_state()]  # noqa: NPY002
        modes = [module.training for module in model.modules()]
        hooks = [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()]
        return modes, hooks, model.config.to_dict(), random.getstate(), numpy_generator, torch.is_grad_enabled()

    tensors_before, settings_before = tensors(), settings()
    probe(trainer, trainer.model, "bfd")
    torch.testing.assert_close(tensors(), tensors_before, rtol=0, atol=0)
    assert settings() == settings_before
    assert {*settings_before[0]} == {True, False}


def test_gradients_exist_after_the_probe_in_an_open_autocast_block(packed, new_model):
    model = new_model()
    with torch.autocast("cpu", torch.bfloat16):
        packed(model=model, bf16=True)
        model(input_ids=torch.tensor([[5, 6, 7]])).logits.sum().backward()
    assert all(weight.grad is not None for weight in model.parameters())


@pytest.mark.parametrize("options", [{}, {"bf16": True}])
def test_with_rho_0_and_packing_it_equals_sfttrainer_bit_for_bit(options, packed, new_model):
    runs = []
    for trainer_class in (SFTTrainer, SAMSFTTrainer):
        trainer = packed(trainer_class, model=new_model(dropout=0.3), neftune_noise_alpha=5, **options)
        runs.append((*weights_and_losses(trainer), torch.get_rng_state()))
    torch.testing.assert_close(runs[1], runs[0], rtol=0, atol=0)


# Several processes


def test_with_fsdp_the_probe_runs_before_the_first_loss(packed, monkeypatch):
    plugin = SimpleNamespace(fsdp_version=2, activation_checkpointing=False, state_dict_type="FULL_STATE_DICT")
    monkeypatch.setattr(AcceleratorState, "fsdp_plugin", plugin, raising=False)
    trainer = packed(packing_strategy="wrapped")
    assert trainer.is_fsdp_enabled
    batch = trainer.data_collator(list(trainer.train_dataset))
    for _ in range(2):
        with pytest.raises(ValueError, match=r"packing_strategy: wrapped .* attends to other documents"):
            trainer.compute_loss(trainer.model, dict(batch))

    trainer = packed()
    batch = trainer.data_collator(list(trainer.train_dataset))
    forwards = []
    trainer.model.register_forward_pre_hook(lambda *_: forwards.append(1))
    losses = [trainer.compute_loss(trainer.model, dict(batch)).item() for _ in range(2)]
    assert losses[0] == losses[1]
    assert len(forwards) == 12 + 2  # the probe runs once


TWO_PROCESSES = """
import json, os, sys
from datasets import load_from_disk
from transformers import AutoModelForCausalLM, AutoTokenizer
from hf_knowlearn.training import SAMConfig, SAMSFTTrainer

folder = sys.argv[1]
losses = {}
for name, options in json.loads(sys.argv[2]).items():
    streamed = options.pop("streamed", False)
    rows = load_from_disk(f"{folder}/rows")
    trainer = SAMSFTTrainer(
        AutoModelForCausalLM.from_pretrained(f"{folder}/model"),
        SAMConfig(
            f"{folder}/out", use_cpu=True, bf16=False, report_to="none", disable_tqdm=True, logging_steps=1,
            dataloader_pin_memory=False, activation_checkpointing=False, save_strategy="no", max_steps=2,
            optim="sgd", learning_rate=0.2, lr_scheduler_type="constant", **options,
        ),
        train_dataset=rows.to_iterable_dataset(num_shards=2) if streamed else rows,
        processing_class=AutoTokenizer.from_pretrained(f"{folder}/model"),
    )
    trainer.train()
    losses[name] = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert trainer.accelerator.num_processes == int(os.environ["WORLD_SIZE"]) == 2
    assert type(trainer.model_wrapped).__name__ == "DistributedDataParallel"
if trainer.is_world_process_zero():
    print(json.dumps(losses))
"""


def in_two_processes(folder, runs, model, tokenizer, rows):
    """The losses of two steps of each of `runs`, by name, with DDP in two processes."""
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    rows.save_to_disk(folder / "rows")
    (folder / "run.py").write_text(TWO_PROCESSES, encoding="utf-8")
    # Why: `accelerate launch --cpu --num_processes 2` starts one process.
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    return subprocess.run(
        [*launch, str(folder / "run.py"), str(folder), json.dumps(runs)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.slow
def test_packed_training_equals_unpacked_training_in_two_processes(new_model, tokenizer, tmp_path):
    # Eight documents of ten tokens: four packed rows, two for each process and step.
    generator = random.Random(2)
    ids = [[generator.randrange(2, 256) for _ in range(10)] for _ in range(8)]
    rows = Dataset.from_list([{"input_ids": row, "labels": [-100, *row[1:]]} for row in ids])
    packing = {"packing": True, "max_length": 20, "per_device_train_batch_size": 2}
    runs = {
        "unpacked": {"per_device_train_batch_size": 4},
        "packed": packing,
        "streamed": {**packing, "streamed": True},
        "sam": {**packing, "sam_rho": 0.1},
    }
    done = in_two_processes(tmp_path, runs, new_model(), tokenizer, rows)
    assert done.returncode == 0, done.stderr
    losses = json.loads(done.stdout.splitlines()[-1])
    assert losses["packed"] == pytest.approx(losses["unpacked"], abs=1e-5)
    assert losses["streamed"] == pytest.approx(losses["unpacked"], abs=1e-5)
    assert losses["sam"][0] == pytest.approx(losses["unpacked"][0], abs=1e-5)
    assert losses["unpacked"][1] < losses["unpacked"][0] - 0.01


@pytest.mark.slow
def test_a_leak_is_an_error_in_both_of_two_processes(new_model, tokenizer, rows, tmp_path):
    runs = {"wrapped": {"packing": True, "packing_strategy": "wrapped", "max_length": 20}}
    done = in_two_processes(tmp_path, runs, new_model(), tokenizer, rows)
    assert done.returncode != 0
    assert done.stderr.count("ValueError: packing: true, packing_strategy: wrapped") == 2

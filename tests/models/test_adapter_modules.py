"""Names of modules in the options of an adapter."""

import pytest
from peft import LoraConfig
from transformers import AutoModelForCausalLM, PreTrainedModel

from hf_knowlearn.models.adapter_modules import adapter_module_problems
from hf_knowlearn.paths import TINY_BASE


@pytest.fixture(scope="module")
def model() -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(TINY_BASE)


def test_an_unknown_module_is_a_problem_that_names_its_option_and_similar_modules(model: PreTrainedModel):
    config = LoraConfig(target_modules={"q_proj", "qproj"}, modules_to_save=["lm_heads"])
    targets, saved = adapter_module_problems(model, config)
    assert targets.startswith("--lora_target_modules qproj: the model has no module with this name.")
    assert "q_proj" in targets
    assert saved.startswith("--lora_modules_to_save lm_heads: the model has no module with this name.")
    assert "lm_head" in saved.partition("in the model:")[2]


@pytest.mark.parametrize("targets", ["all-linear", r".*\.q_proj", ["q_proj", "mlp.down_proj"]])
def test_modules_of_the_model_are_no_problem(model: PreTrainedModel, targets: str | list[str]):
    config = LoraConfig(target_modules=targets, modules_to_save=["lm_head", "embed_tokens"])
    assert list(adapter_module_problems(model, config)) == []
    assert list(adapter_module_problems(model, None)) == []


def test_a_pattern_that_matches_no_module_is_a_problem(model: PreTrainedModel):
    (problem,) = adapter_module_problems(model, LoraConfig(target_modules=r".*\.nosuch"))
    assert r"--lora_target_modules .*\.nosuch: " in problem

"""Perplexity against its definition, and the general text of the package."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from hf_knowlearn.evaluation.perplexity import general_texts, perplexity

TEXTS = ["The ferry to Ormel leaves at six.", "Rye.", "It carries forty cars,\nand a bakery. It is blue."]


@pytest.mark.parametrize("batch_size", [1, 2, 7])
def test_the_perplexity_is_that_of_the_definition(tokenizer: Any, bigrams: Any, batch_size: int):
    model = bigrams(0)
    found = perplexity(model, tokenizer, TEXTS, batch_size=batch_size)
    logprobs = model.table.detach().double().log_softmax(-1).numpy()
    ids = [tokenizer(text)["input_ids"] for text in TEXTS]
    each = [-logprobs[own[:-1], own[1:]] for own in ids]
    assert [row["nll"] for row in found.rows()] == pytest.approx([of_it.sum() for of_it in each], rel=1e-5)
    assert [row["tokens"] for row in found.rows()] == list(map(len, each))
    mean = np.concatenate(each).mean()
    residuals = sum((of_it.sum() - mean * len(of_it)) ** 2 for of_it in each)
    figures = found.figures()
    assert figures["nll"] == pytest.approx(mean, rel=1e-5)
    assert figures["nll_se"] == pytest.approx(math.sqrt(3 / 2 * residuals) / sum(map(len, each)), rel=1e-4)
    assert figures["perplexity"] == pytest.approx(math.exp(mean), rel=1e-4)
    assert figures["perplexity_se"] == pytest.approx(figures["perplexity"] * figures["nll_se"])
    assert (figures["tokens"], figures["texts"]) == (sum(map(len, each)), 3)


def test_a_model_that_knows_nothing_has_the_perplexity_of_its_vocabulary(tokenizer: Any, model_of_bigrams: Any):
    model = model_of_bigrams(torch.zeros(len(tokenizer), len(tokenizer)))
    assert perplexity(model, tokenizer, TEXTS).figures()["perplexity"] == pytest.approx(len(tokenizer), rel=1e-5)


def test_the_package_has_sixty_different_paragraphs():
    texts = general_texts()
    assert len(texts) == len(set(texts)) == 60
    assert all(30 <= len(text.split()) <= 80 for text in texts)
    assert sum(len(text.split()) for text in texts) > 2500

"""Synthetic worlds: made-up people with exact ground truth, and the tiny base model trained on some of them."""

from hf_knowlearn.worlds.people import Person, World

__all__ = ["Person", "World"]

"""Synthetic worlds: made-up people with exact ground truth, and a tiny base model that is trained on some of them."""

from hf_knowlearn.worlds.people import Person, World

__all__ = ["Person", "World"]

"""Synthetic worlds: made-up people with exact ground truth, a tiny base model that is trained on some of them, and the
handbook of an invented company."""

from hf_knowlearn.worlds.people import Person, World

__all__ = ["Person", "World"]

"""Worlds: made-up people whose every fact is known, and the tiny base model that has read about some of them."""

from hf_knowlearn.worlds.people import Person, World

__all__ = ["Person", "World"]

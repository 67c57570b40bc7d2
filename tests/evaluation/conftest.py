"""Tiny models shared with the tests of generation."""

from tiny_models import *  # noqa: F403

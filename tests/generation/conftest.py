"""Tiny models shared with the tests of evaluation."""

from tiny_models import *  # noqa: F403

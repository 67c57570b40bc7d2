"""Evaluation: what a model knows, has learned and has forgotten."""

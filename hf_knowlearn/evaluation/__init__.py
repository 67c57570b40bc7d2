"""Evaluation of a model: its answers, mastery of questions, forgotten knowledge, and drift from the base model."""

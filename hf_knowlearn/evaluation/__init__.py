"""Evaluates a model: its responses to questions, its mastery of them, and its drift from the base model."""

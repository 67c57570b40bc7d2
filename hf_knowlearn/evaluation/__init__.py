"""Evaluation: what a model knows, what it forgot, how well each question is known, and how far the model moved."""

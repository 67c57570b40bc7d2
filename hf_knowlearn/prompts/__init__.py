"""Turns questions, answers and conversations into prompts and completions."""

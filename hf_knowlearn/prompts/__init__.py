"""Prompts: how questions, answers and conversations become text."""

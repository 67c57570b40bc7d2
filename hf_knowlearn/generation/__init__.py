"""Generates the responses of a causal language model to questions, greedily or by sampling."""

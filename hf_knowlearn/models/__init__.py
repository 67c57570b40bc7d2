"""Loads models, tokenizers and adapters, and merges an adapter into its base model."""

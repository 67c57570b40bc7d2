"""Generation: answers and texts from a model, by transformers or vLLM."""

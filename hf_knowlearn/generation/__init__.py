"""Generation: a causal language model responds to questions, greedily and in samples."""

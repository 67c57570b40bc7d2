"""Models: loading, adapters, merging and quantised variants."""

"""The laboratory: which way of teaching teaches how much, at what cost; by several arms over the same seeds."""

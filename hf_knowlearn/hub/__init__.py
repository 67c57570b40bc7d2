"""The Hub: cards made from a run's report, folders staged as they are published, and one commit that pushes them."""

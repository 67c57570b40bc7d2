"""Runs `knowlearn teach`, from documents to a report. `pipeline.py` has the steps of a run in their order."""

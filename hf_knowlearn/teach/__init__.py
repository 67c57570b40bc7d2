"""One run, from documents to a report. The functions in `pipeline.py` follow the order of the steps of a run."""

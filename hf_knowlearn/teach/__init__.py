"""One run, from documents to a report: `pipeline.py` reads top to bottom as a run does."""

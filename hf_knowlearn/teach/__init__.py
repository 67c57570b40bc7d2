"""One run, from documents to a report. `pipeline.py` reads in the order of its steps."""

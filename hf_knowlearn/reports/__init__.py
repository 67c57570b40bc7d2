"""Writes the report of a run: its findings in sentences, tables, charts, a Markdown page and an HTML page."""

"""Reports: the figures of a run as words, tables, charts and pages."""

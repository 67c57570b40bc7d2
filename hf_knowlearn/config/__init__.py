"""Options of a run: parses and checks recipes and the command line, and resolves them into frozen settings."""

"""Options: recipes and the command line, parsed and checked, then resolved into frozen settings."""

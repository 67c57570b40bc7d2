"""Options: the command line and recipes, parsed and checked, then resolved into settings."""

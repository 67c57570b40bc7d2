"""The commands of `knowlearn`. Each command has a module.

A module has `add_parser(subparsers)`, which declares the options, and `run(arguments, show)`, which does the work and
returns the exit code. Slow libraries are imported inside `run`, so that `knowlearn --help` does not load torch.
"""

"""Studies: several ways of training, each over several seeds, compared at equal steps, gradient evaluations and time.

A study is a YAML file. Each of its arms is a recipe, and a run is one arm on one seed.
"""

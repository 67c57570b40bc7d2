"""Studies compare several ways of training, each over several seeds, at equal steps, gradient evaluations and time.

A study is a YAML file. Each of its arms is a recipe. A run trains one arm with one seed.
"""

"""Studies: comparisons of several ways of training, over several seeds, at equal steps, gradient evaluations and time.

A YAML file describes a study. Each way of training is an arm of the study, and has a recipe. A run trains one arm with
one seed.
"""

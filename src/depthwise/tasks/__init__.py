"""Tasks: a folder each, with its estimator and parts; they never import each other."""

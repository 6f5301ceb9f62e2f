"""Tasks: one estimator a file, its parts in files beside it; they never import each other."""

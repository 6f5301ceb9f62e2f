"""Shallow baselines: linear models, boosting, and the mean."""

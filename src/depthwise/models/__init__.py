"""Base classes of all estimators, and the folder that a model is saved in."""

"""Gradient boosting, with its trees as a network."""

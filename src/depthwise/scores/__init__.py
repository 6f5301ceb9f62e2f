"""Scores of predictions: accuracy, classes, numbers, and their intervals."""

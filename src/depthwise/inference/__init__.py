"""Inference on files: read, ask the model, draw, write."""

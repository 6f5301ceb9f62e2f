"""Matching of images and texts."""

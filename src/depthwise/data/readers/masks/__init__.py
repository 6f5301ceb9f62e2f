"""Readers of pictures with masks, a class for each pixel."""

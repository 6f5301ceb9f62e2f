"""Targets other than a label: boxes, captions, pairs of faces."""

"""Trained networks changed: edits, folded norms, 8-bit layers, widths, ranks, exits."""

"""Blank cells of a table: filled with the median of their column in the training part."""

import numpy as np

from depthwise.data.dataset import Problem

__all__ = ["fill_blanks"]


def fill_blanks(table: np.ndarray, train: np.ndarray) -> tuple[np.ndarray, list[Problem]]:
    """table float32 (N, D) with NaN for a blank, train int64 -> no NaN, and what was filled.

    A column that is blank throughout the training part is filled with 0.
    """
    blank = np.isnan(table)
    if not blank.any():
        return table, []
    filled = np.array(table)
    columns = np.flatnonzero(blank.any(axis=0))
    for column in columns:
        known = filled[train, column][~blank[train, column]]
        filled[blank[:, column], column] = np.median(known) if len(known) else 0.0
    detail = f"in {len(columns):,} of {table.shape[1]:,} columns, filled with the training median"
    return filled, [Problem("blank cell", "", detail, int(blank.sum()))]

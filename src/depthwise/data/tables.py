"""Blank cells of a table: filled with the median of their column in the training part."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from depthwise.data.columns import NUMBER, Column
from depthwise.data.dataset import Problem

__all__ = ["fill_blanks", "with_medians"]


def with_medians(columns: Sequence[Column], table: np.ndarray, train: np.ndarray) -> list[Column]:
    """The columns of table (N, D), NaN for a blank, with their medians over the rows `train`.

    A column that is blank throughout the training part has the median 0.
    """
    medians = {k: _median(table[train, place]) for k, place in _numbers(columns)}
    return [
        replace(column, median=medians[k]) if k in medians else column
        for k, column in enumerate(columns)
    ]


def fill_blanks(table: np.ndarray, columns: Sequence[Column]) -> tuple[np.ndarray, list[Problem]]:
    """table float32 (N, D) with NaN for a blank -> no NaN, and what was filled."""
    blank = np.isnan(table)
    if not blank.any():
        return table, []
    filled = np.array(table)
    for k, place in _numbers(columns):
        filled[blank[:, place], place] = columns[k].median
    touched = int(blank.any(axis=0).sum())
    detail = f"in {touched:,} of {table.shape[1]:,} columns, filled with the training median"
    return filled, [Problem("blank cell", "", detail, int(blank.sum()))]


def _numbers(columns: Sequence[Column]) -> Iterator[tuple[int, int]]:
    """Of each column of numbers its position among the columns and among the features."""
    place = 0
    for k, column in enumerate(columns):
        if column.kind == NUMBER:
            yield k, place
        place += column.width


def _median(values: np.ndarray) -> float:
    known = values[~np.isnan(values)].astype(np.float64)
    return float(np.median(known)) if len(known) else 0.0

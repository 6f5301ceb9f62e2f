"""What an estimator makes of a data frame that it is given as X or y.

What a person should know is told by a warning: columns that are left out, values that were in no
row that was learnt from.

Shapes: N rows, D features, T targets.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from depthwise.data.problem import Problem
from depthwise.data.readers import table
from depthwise.data.tables.blanks import fill_blanks, learnt_from
from depthwise.data.tables.columns import LABEL, NUMBER, Column
from depthwise.data.tables.frames import as_frame, is_frame, is_series, name_of, series_values
from depthwise.errors import InputError

__all__ = ["all_numbers", "features_of", "learnt_features", "plain_targets"]


def learnt_features(given: Any, label: Any = None) -> tuple[list[Column], np.ndarray]:
    """The columns of a data frame, learnt from all its rows, and their features float32 (N, D). A
    series as `label` adds its name to the columns, for tables that hold it too."""
    columns, features, problems = table.learn_features(as_frame(given))
    everything = np.arange(len(features))
    columns, features, _ = learnt_from(columns, features, everything)
    for problem in problems:
        _tell(problem)
    name = name_of(label) if is_series(label) else None
    if name is not None and name not in [column.name for column in columns]:
        columns.append(Column(name, LABEL))
    return columns, fill_blanks(features, columns)[0]


def features_of(given: Any, columns: Sequence[Column]) -> np.ndarray:
    """The features float32 (N, D) of a data frame, columns found by their names, as learnt.

    Raises DataError for a column that is missing and for a cell of another kind.
    """
    frame = as_frame(given)
    if not frame.n_rows:
        raise InputError(f"{frame.where} has 0 rows; at least one is needed.")
    features, problems = table.encode_features(frame, columns)
    for problem in problems:
        _tell(problem)
    return fill_blanks(features, columns)[0]


def _tell(problem: Problem) -> None:
    warnings.warn(str(replace(problem, count=1)), UserWarning, stacklevel=2)


def all_numbers(columns: Sequence[Column]) -> bool:
    return all(column.kind in (NUMBER, LABEL) for column in columns)


def plain_targets(y: Any) -> Any:
    """A series or a frame of targets as an array (N,) or (N, T); anything else as it is."""
    if is_series(y):
        return series_values(y)
    if y is None or not is_frame(y):
        return y
    frame = as_frame(y, "y")
    numbers = [frame.numbers(k) for k in range(len(frame.columns))]
    known = [column for column in numbers if column is not None]
    if len(known) == len(numbers):
        return np.column_stack(known)
    return np.column_stack([frame.column(k) for k in range(len(frame.columns))])

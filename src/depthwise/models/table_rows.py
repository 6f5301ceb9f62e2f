"""Rows of a table, or a data frame, as the features that a model learns from.

They pass scikit-learn's own checks. A data frame is encoded by its columns, which are learnt when
it is fitted; later frames are read by the names of these. Of arrays, numbers far from 0 are centred
in float64 (data/tables/offsets.py), which `columns_` then says.

Shapes: N rows, D features.
"""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

import numpy as np
from sklearn.utils import check_array, check_X_y
from sklearn.utils.validation import validate_data

from depthwise.data.inputs import shape_of
from depthwise.data.tables.columns import Column
from depthwise.data.tables.frame_features import (
    all_numbers,
    features_of,
    learnt_features,
    plain_targets,
)
from depthwise.data.tables.frames import as_frame, is_frame
from depthwise.data.tables.offsets import less_offsets, offset_columns
from depthwise.data.tables.sparse import densified, is_sparse
from depthwise.errors import InputError

__all__ = ["take_rows"]

FLOATS = (np.float64, np.float32)


class LearnsRows(Protocol):
    """What is remembered of a table by the model that is fitted on it."""

    target_checks: ClassVar[dict[str, Any]]
    keeps_offsets: ClassVar[bool]
    input_shape_: tuple[int, ...]
    columns_: list[Column] | None
    feature_names_in_: np.ndarray
    n_features_in_: int

    def __sklearn_tags__(self) -> Any: ...


def take_rows(model: LearnsRows, X: Any, y: Any, reset: bool) -> tuple[np.ndarray, Any]:
    """Checked features (N, D) and targets, or None, by scikit-learn's own checks; what they say of
    the columns is remembered on reset, when a model that needs y complains of its absence."""
    if is_frame(X) and (reset or model.columns_ is not None):
        return _take_frame(model, X, y, reset)
    X = densified(X) if is_sparse(X) else X
    if not reset and _is_encoded(model, X):
        return _checked(model, X, y, reset)
    few: dict[str, Any] = {"dtype": FLOATS, "reset": reset}
    if y is None and not reset:
        return less_offsets(validate_data(model, X, **few), model.columns_), None
    most = {**few, **model.target_checks, "ensure_min_samples": 2 if reset else 1}
    checked = validate_data(model, X, y, **most)
    rows, targets = checked if isinstance(checked, tuple) else (checked, None)
    if reset and model.columns_ is None and model.keeps_offsets:
        model.columns_ = offset_columns(rows)
    return less_offsets(rows, model.columns_), targets


def _take_frame(model: LearnsRows, frame: Any, y: Any, reset: bool) -> tuple[np.ndarray, Any]:
    """Features (N, D) of a data frame by its `columns_`, which are learnt on reset. One of
    nothing but numbers is to have the names that were fitted in their order, as scikit-learn
    asks; other columns are found by their names, in any order and among others."""
    if reset:
        columns, features = learnt_features(frame, y)
        _learn_names(model, frame)
        model.columns_ = columns
    else:
        if all_numbers(model.columns_ or ()) and "feature_names_in_" in vars(model):
            _require_names(model, frame)
        features = features_of(frame, model.columns_ or ())
    return _checked(model, features, plain_targets(y), reset)


def _learn_names(model: LearnsRows, frame: Any) -> None:
    """`feature_names_in_` and `n_features_in_`, as scikit-learn has them."""
    named = as_frame(frame)
    model.n_features_in_ = len(named.columns)
    vars(model).pop("feature_names_in_", None)
    if named.has_header:
        model.feature_names_in_ = np.array(named.columns, dtype=object)


def _require_names(model: LearnsRows, frame: Any) -> None:
    """The names that were fitted, in their order; scikit-learn's own words where they differ.
    Raises InputError."""
    fitted, given = list(model.feature_names_in_), as_frame(frame).columns
    if given == fitted:
        return
    lines = ["The feature names should match those that were passed during fit."]
    strange, missing = sorted({*given} - {*fitted}), sorted({*fitted} - {*given})
    if strange:
        lines += ["Feature names unseen at fit time:", *_bulleted(strange)]
    if missing:
        lines += ["Feature names seen at fit time, yet now missing:", *_bulleted(missing)]
    if not (strange or missing):
        lines += ["Feature names must be in the same order as they were in fit."]
    raise InputError("\n".join([*lines, ""]))


def _is_encoded(model: LearnsRows, X: Any) -> bool:
    """Whether these rows are features already, of a model that was fitted on a data frame."""
    wide = shape_of(X)[1:] == model.input_shape_ and model.columns_ is not None
    return wide and model.input_shape_ != (model.n_features_in_,)


def _checked(model: LearnsRows, rows: np.ndarray, y: Any, reset: bool) -> tuple[np.ndarray, Any]:
    """scikit-learn's checks of rows (N, D) and targets, whatever the names and the width."""
    most: dict[str, Any] = {"dtype": FLOATS, "ensure_min_samples": 2 if reset else 1}
    if y is not None:
        X, y = check_X_y(rows, y, estimator=model, **most, **model.target_checks)
        return X, y
    if reset and model.__sklearn_tags__().target_tags.required:
        check_X_y(rows, y, estimator=model)  # says that y is missing
    return check_array(rows, estimator=model, **most), None


def _bulleted(names: list[str], most: int = 5) -> list[str]:
    return [f"- {name}" for name in names[:most]] + ["- ..."] * (len(names) > most)

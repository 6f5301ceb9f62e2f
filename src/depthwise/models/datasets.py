"""A Dataset as the arrays that `fit` learns from."""

from __future__ import annotations

from typing import Any, TypeGuard

import numpy as np

from depthwise.data.dataset import Dataset
from depthwise.data.tables.columns import Column, width

__all__ = ["class_order", "columns_of", "dataset_parts", "is_dataset"]


def dataset_parts(dataset: Dataset, validation: Any) -> tuple[Any, Any, Any]:
    """A Dataset's training part, its labels as class names, or how alike pairs are, and its
    validation part; labels are None where the items have none. Raises InputError for boxes or
    masks."""
    dataset.require_task("classification", "unlabelled", "faces", "video", "text", "pairs")
    names = np.asarray(dataset.classes) if dataset.classes else None

    def answers(part: Any) -> Any:
        if names is not None:
            return names[part.y]
        return None if dataset.targets is None else part.y

    train_part, held = dataset.train, dataset.validation
    if validation is None and len(held.y):
        validation = (held.X, answers(held))
    return train_part.X, answers(train_part), validation


def is_dataset(given: Any, y: Any) -> TypeGuard[Dataset]:
    """Whether X is a Dataset, which brings its own labels."""
    return y is None and isinstance(given, Dataset)


def class_order(dataset: Dataset) -> list[str] | None:
    """The Dataset's class names in the order that its labels count them, None of one without."""
    return list(dataset.classes) or None


def columns_of(dataset: Dataset) -> list[Column] | None:
    """The Dataset's columns, unless its inputs have been changed to another width since."""
    columns = dataset.columns
    return columns if columns and (width(columns),) == dataset.input_shape else None

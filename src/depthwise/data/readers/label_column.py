"""The label column of a table, where its cells are numbers: classes, or a quantity to predict."""

import numpy as np

from depthwise.data.dataset import Problem
from depthwise.data.quantities import (
    as_targets,
    asks_for_numbers,
    is_quantity,
    numbered_classes,
    told_as_classes,
    told_as_quantity,
)
from depthwise.data.raw import Raw
from depthwise.data.tables.encoding import Cells, as_number
from depthwise.errors import DataError

__all__ = ["targets_in", "told_of"]


def targets_in(cells: Cells, name: str, task: str | None) -> np.ndarray | None:
    """The numbers to predict, float64 (N,); None where the column `name` holds classes. task:
    "regression" where numbers are asked for, None to look.

    Raises DataError for a cell that is no number, and for infinity, where numbers are asked for.
    """
    numbers = [as_number(text) for text in cells.texts]
    bad = next((i for i, number in enumerate(numbers) if number is None), None)
    where, asked = f"{cells.where}, column {name!r}", asks_for_numbers(task)
    if bad is not None and asked:
        raise DataError(
            f"{where}: {cells.texts[bad].strip()!r} in {cells.place(bad)} is no number to predict; "
            "mend it, or leave out --task regression (task=)."
        )
    if bad is not None:
        return None
    values = np.array(numbers, np.float64)
    if asked or (np.isfinite(values).all() and is_quantity(values)):
        return as_targets(values, where, cells.place)
    return None


def told_of(where: str, raw: Raw) -> list[Problem]:
    """In which of two ways its numbers were taken."""
    if isinstance(raw.targets, np.ndarray):
        return [told_as_quantity(where, raw.targets)]
    numbers = numbered_classes(raw.classes) if raw.classes else None
    return [] if numbers is None else told_as_classes(where, numbers)

"""Arrays in memory: numpy, torch, anything numpy can take.

Images (N, H, W), (N, H, W, C) or (N, C, H, W) become uint8 (N, C, H, W) with C = 1 or 3:
    whole numbers 0..255     as they are          16-bit numbers 0..65535    divided by 257
    fractions 0..1           times 255, rounded   fractions 0..255           rounded
Two and four channels carry alpha in the last and are laid on white. Tables (N, D) become float32.
Five axes are clips (N, T, ...). Labels may be masks (N, H, W), a BoxTable, or numbers to predict,
(N,) or (N, T): fractions always are (quantities.py).
"""

from typing import Any

import numpy as np

from depthwise.data.dataset import IGNORE, Problem
from depthwise.data.quantities import (
    as_targets,
    asks_for_classes,
    asks_for_numbers,
    is_quantity,
    told_as_classes,
    told_as_quantity,
)
from depthwise.data.raw import Raw, encode_labels
from depthwise.data.tables.offsets import less_offsets, offset_columns
from depthwise.data.tables.sparse import densified, is_sparse
from depthwise.data.targets.box_table import BoxTable
from depthwise.errors import DataError

__all__ = ["as_array", "as_images", "as_table", "check_labels", "read", "require_lengths"]

_CHANNELS = (1, 3, 4, 2)  # most likely first
_BLOCK_BYTES = 1 << 25


def read(inputs: Any, labels: Any, where: str = "the array", task: str | None = None) -> Raw:
    """Images (N, H, W[, C]) or (N, C, H, W), clips of such (N, T, ...), or rows (N, D), with labels
    (N,), numbers to predict (N,) or (N, T), masks (N, H, W) of classes and IGNORE, a BoxTable, or
    None. task: "regression" or "classification" says how numbers are taken, None: by looking.

    Raises DataError for other shapes, values out of range, NaN, and labels of another length.
    """
    sparse = is_sparse(inputs)
    array = as_array(densified(inputs) if sparse else inputs, where)
    kind = {2: "table", 5: "video"}.get(array.ndim, "images")
    columns = offset_columns(array) if kind == "table" else None
    pixels = _pixels(less_offsets(array, columns), where)
    raw = Raw(kind, pixels, np.zeros(len(array), np.int64), [], columns=columns)
    raw.task = "video" if kind == "video" else raw.task
    if sparse:
        detail = f"{inputs.nnz / max(1, array.size):.1%} filled, held in full"
        raw.problems.append(Problem("sparse matrix", "", f"{detail}: {array.nbytes / 1e6:,.0f} MB"))
    if labels is None:
        return raw
    if isinstance(labels, BoxTable):
        return _with_boxes(raw, labels, where)
    labels = as_array(labels, "labels")
    if labels.ndim == 3 and kind == "images":
        return _with_masks(raw, labels, where)
    require_lengths(len(array), len(labels) if labels.ndim else 1, where)
    asked = asks_for_numbers(task) and labels.dtype.kind in "iubf"
    if asked or (not asks_for_classes(task) and _is_quantity(labels, kind)):
        return _with_targets(raw, labels, told=task is None)
    raw.labels, raw.classes = encode_labels(labels, "labels")
    if task is None and labels.ndim == 1 and labels.dtype.kind in "iuf":
        raw.problems += told_as_classes("labels", labels)
    return raw


def check_labels(labels: np.ndarray, where: str, task: str | None) -> None:
    """Raises DataError for labels that are neither classes, numbers to predict, nor masks."""
    quantity = asks_for_numbers(task) or (task is None and _is_quantity(labels, "table"))
    if labels.ndim != 3 and not quantity:
        encode_labels(labels, where)


def _is_quantity(labels: np.ndarray, kind: str) -> bool:
    """Fractions are; whole numbers by the rules, those of images only where they are floats."""
    if labels.dtype.kind not in "iuf" or not np.isfinite(labels).all():
        return False
    if (labels != np.round(labels)).any():
        return labels.ndim <= 2
    column = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    known = kind == "table" or labels.dtype.kind == "f"
    return known and column.ndim == 1 and is_quantity(column)


def _with_targets(raw: Raw, labels: np.ndarray, told: bool) -> Raw:
    raw.targets = as_targets(labels, "labels", raw.item_name)
    raw.task = "regression"
    raw.problems += [told_as_quantity("labels", raw.targets)] if told else []
    return raw


def _pixels(array: np.ndarray, where: str) -> np.ndarray:
    if array.ndim == 2:
        return as_table(array, where)
    if array.ndim != 5:
        return as_images(array, where)
    if 0 in array.shape:
        raise DataError(
            f"{where} holds clips without frames or pixels: its shape is {array.shape}."
        )
    frames = as_images(array.reshape(-1, *array.shape[2:]), where)
    return frames.reshape(*array.shape[:2], *frames.shape[1:])


def _with_boxes(raw: Raw, boxes: BoxTable, where: str) -> Raw:
    """Classes are called by their numbers."""
    require_lengths(len(raw.inputs), len(boxes), where)
    if not len(boxes.labels) or boxes.labels.min() < 0 or not np.isfinite(boxes.boxes_xyxy).all():
        raise DataError(f"{where}: boxes must be some, finite, and of classes from 0.")
    if not (boxes.boxes_xyxy[:, 2:] > boxes.boxes_xyxy[:, :2]).all():
        raise DataError(f"{where}: a box has no area; give left, top, right, bottom.")
    raw.task, raw.targets = "detection", boxes
    raw.classes = [str(k) for k in range(int(boxes.labels.max()) + 1)]
    return raw


def _with_masks(raw: Raw, masks: np.ndarray, where: str) -> Raw:
    """Classes are called by their numbers."""
    require_lengths(len(raw.inputs), len(masks), where)
    height, width = raw.inputs.shape[2:]
    if masks.shape[1:] != (height, width):
        raise DataError(f"{where}: masks of {masks.shape[1:]} pixels on images of {height, width}.")
    if masks.dtype.kind not in "iub" or masks.min() < 0 or masks.max() > IGNORE:
        raise DataError(f"{where}: masks must hold whole numbers, 0 to {IGNORE}.")
    raw.task, raw.targets = "segmentation", masks.astype(np.uint8)
    highest = masks[masks != IGNORE].astype(np.int64).max(initial=-1)
    raw.classes = [str(k) for k in range(int(highest) + 1)]
    return raw


def require_lengths(items: int, labels: int, where: str) -> None:
    if items != labels:
        raise DataError(f"{where} has {items:,} items but {labels:,} labels; give one for each.")


def as_array(values: Any, where: str) -> np.ndarray:
    """numpy's view of arrays, tensors, data frames and nested lists; never of Python objects."""
    for step in ("detach", "cpu", "to_numpy", "numpy"):  # torch tensors, pandas frames
        values = getattr(values, step)() if callable(getattr(values, step, None)) else values
    try:
        array = np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:
        raise DataError(f"{where} is not a regular array ({error}); make all rows alike.") from None
    if array.dtype.kind == "O" and not all(isinstance(value, str) for value in array.flat):
        raise DataError(f"{where} holds Python objects, not numbers; convert it to one dtype.")
    return array


def as_table(array: np.ndarray, where: str) -> np.ndarray:
    """Rows as float32 (N, D); raises DataError for text, NaN and infinity."""
    require_numbers(array, where)
    with np.errstate(over="ignore"):
        table = np.ascontiguousarray(array, dtype=np.float32)
    require_finite(table, where)
    return table


def as_images(array: np.ndarray, where: str) -> np.ndarray:
    """Pictures as uint8 (N, C, H, W), C = 1 or 3; see the module's table of value ranges."""
    require_numbers(array, where)
    array = channels_first(array, where)
    if 0 in array.shape:
        raise DataError(f"{where} holds no pixels: its shape is {array.shape}.")
    return over_white(_to_u8(array, where))


def channels_first(array: np.ndarray, where: str) -> np.ndarray:
    """(N, H, W), (N, H, W, C) or (N, C, H, W) seen as (N, C, H, W), without a copy."""
    if array.ndim == 3:
        return array[:, None]
    if array.ndim != 4:
        raise DataError(
            f"{where} must be images (N, H, W), (N, H, W, C) or (N, C, H, W), or rows (N, D); "
            f"got {array.shape}."
        )
    first, last = array.shape[1], array.shape[3]
    if first not in _CHANNELS and last not in _CHANNELS:
        raise DataError(f"{where} of shape {array.shape} has no axis of 1 to 4 channels.")
    if first in _CHANNELS and last in _CHANNELS:  # both could be: tiny pictures
        is_last = array.shape[1] == array.shape[2] and array.shape[2] != array.shape[3]
    else:
        is_last = last in _CHANNELS
    return array.transpose(0, 3, 1, 2) if is_last else array


def require_numbers(array: np.ndarray, where: str) -> None:
    if array.dtype.kind not in "buif":
        raise DataError(f"{where} must hold numbers; got dtype {array.dtype}.")


def require_finite(array: np.ndarray, where: str) -> None:
    """Raises DataError that names the first item with NaN or infinity."""
    if array.dtype.kind != "f" or np.isfinite(array.sum(dtype=np.float64)):
        return
    bad = np.flatnonzero(~np.isfinite(array.reshape(len(array), -1)).all(axis=1))
    if len(bad):
        raise DataError(
            f"{where} holds NaN or infinity in {len(bad):,} of {len(array):,} items, "
            f"the first is item {bad[0]:,}; fill or remove them."
        )


def _to_u8(array: np.ndarray, where: str) -> np.ndarray:
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    require_finite(array, where)
    low, high = array.min(), array.max()
    scale = _scale(array, float(low), float(high), where)
    pixels = np.empty(array.shape, np.uint8)
    rows = max(1, _BLOCK_BYTES // max(1, array[:1].nbytes))
    for start in range(0, len(array), rows):
        block = array[start : start + rows].astype(np.float64)
        pixels[start : start + rows] = np.rint(block * scale)
    return pixels


def _scale(array: np.ndarray, low: float, high: float, where: str) -> float:
    """What one step of the array is worth on the scale 0..255."""
    if array.dtype.kind == "b" or (array.dtype.kind == "f" and low >= 0 and high <= 1):
        return 255.0
    if low >= 0 and high <= 255 and array.dtype != np.uint16:
        return 1.0
    if low >= 0 and high <= 65535 and array.dtype.kind in "ui":
        return 1 / 257 if high > 255 else 1.0
    raise DataError(
        f"{where} has pixel values from {low:g} to {high:g}; scale images to 0..1 or 0..255."
    )


def over_white(pixels: np.ndarray) -> np.ndarray:
    """uint8 (N, C, H, W) with alpha as the last of 2 or 4 channels, laid on white."""
    if pixels.shape[1] in (1, 3):
        return pixels
    colour, alpha = pixels[:, :-1].astype(np.uint32), pixels[:, -1:].astype(np.uint32)
    return ((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)

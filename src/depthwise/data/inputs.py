"""What a model takes in: arrays checked, described and handed to torch.

Shapes: N items, T frames, C channels, H W image, D features.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from depthwise.errors import InputError

__all__ = [
    "as_clips",
    "as_images",
    "as_tensor",
    "check_labels",
    "check_weights",
    "fingerprint_arrays",
    "shape_of",
    "statistics",
    "weights_of_classes",
]  # fmt: skip


_ORDERS = {"NTHWC": 4, "NCTHW": 1}  # other orders of a clip's axes, and where channels are then


def shape_of(X: Any) -> tuple[int, ...]:
    """The shape of an array, a tensor or a data frame of any library; () of what has none."""
    return tuple(getattr(X, "shape", ()))


def as_images(X: Any) -> np.ndarray:
    """Images as a checked array (N, C, H, W): uint8, or float32 without NaN. Raises InputError."""
    images = _array(X)
    if images.ndim != 4:
        remedy = {
            3: " Add a channel axis: images[:, None].",
            5: " Clips are for VideoClassifier; one frame of each is images[:, k].",
        }.get(images.ndim, "")
        raise InputError(f"images must be (N, C, H, W); got {images.shape}.{remedy}")
    if len(images) == 0:
        raise InputError("images has 0 items; at least one is needed.")
    if images.shape[1] > 4 and images.shape[3] <= 4:
        raise InputError(
            f"images must be (N, C, H, W); got {images.shape}, which looks like (N, H, W, C). "
            "Move the channels: images.transpose(0, 3, 1, 2)."
        )
    return _pixels(images, "images")


def as_clips(X: Any) -> np.ndarray:
    """Clips as a checked array (N, T, C, H, W), like `as_images`. Raises InputError."""
    clips = _array(X)
    if clips.ndim != 5:
        remedy = " Add an axis: clips[:, None] for one frame each, or clips[None] for one clip."
        raise InputError(
            f"clips must be (N, T, C, H, W); got {clips.shape}.{remedy if clips.ndim == 4 else ''}"
        )
    if 0 in clips.shape[:2]:
        what = "items" if len(clips) == 0 else "frames"
        raise InputError(f"clips has 0 {what}; at least one is needed.")
    looks_like = next((axes for axes, k in _ORDERS.items() if clips.shape[k] <= 4), None)
    if clips.shape[2] > 4 and looks_like:
        order = ", ".join(str(looks_like.index(axis)) for axis in "NTCHW")
        axes = ", ".join(looks_like)
        raise InputError(
            f"clips must be (N, T, C, H, W); got {clips.shape}, which looks like ({axes}). "
            f"Move the axes: clips.transpose({order})."
        )
    return _pixels(clips, "clips")


def _array(X: Any) -> np.ndarray:
    return X.numpy() if isinstance(X, Tensor) else np.asarray(X)


def _pixels(images: np.ndarray, name: str) -> np.ndarray:
    """uint8, or float32 without NaN. (N, ...) -> the same shape."""
    if images.dtype == np.uint8:
        return images
    if not np.issubdtype(images.dtype, np.floating):
        raise InputError(
            f"{name} must be uint8 or float; got {images.dtype}. Use .astype('uint8')."
        )
    if not np.isfinite(images).all():
        bad = int(np.flatnonzero(~np.isfinite(images).reshape(len(images), -1).all(axis=1))[0])
        raise InputError(f"{name}[{bad}] contains NaN or infinity. Remove it or fill the pixels.")
    return images.astype(np.float32, copy=False)


def fingerprint_arrays(*arrays: np.ndarray) -> str:
    """SHA-256 of shapes, dtypes and contents."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.shape}{array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def check_labels(y: Any, items: int) -> np.ndarray:
    labels = np.asarray(y)
    if labels.ndim != 1 or len(labels) != items:
        raise InputError(f"y must be ({items},), one label an image; got {labels.shape}.")
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        raise InputError("y contains NaN or infinity: every image needs a label.")
    return labels


def weights_of_classes(given: Any, labels: np.ndarray, names: list[Any]) -> np.ndarray:
    """(N,) float64, of items with label indices (N,): "balanced" gives each N / (K n_k), n_k items
    being of its class, a dict of `names` its class's own, 1 where it says none."""
    if isinstance(given, str) and given == "balanced":
        counts = np.bincount(labels, minlength=len(names))
        return np.asarray((len(labels) / (len(names) * np.maximum(counts, 1)))[labels])
    if not isinstance(given, Mapping):
        raise InputError(
            f'class_weight must be None, "balanced" or a dict of labels; got {given!r}.'
        )
    unknown = [label for label in given if label not in names]
    if unknown:
        raise InputError(f"class_weight has the label {unknown[0]!r}; there are {names[:20]}.")
    each = np.array([given.get(name, 1.0) for name in names], dtype=np.float64)
    if not (np.isfinite(each).all() and (each > 0).all()):
        raise InputError(f"class_weight must be above 0; got {dict(given)}.")
    return np.asarray(each[labels])


def check_weights(sample_weight: Any, items: int) -> np.ndarray:
    """Weights of items as float64 (N,); one number is the weight of each. Raises InputError."""
    try:
        weights = np.asarray(sample_weight, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"sample_weight must be {items} numbers, one an item.") from None
    if weights.ndim == 0:
        weights = np.full(items, weights)
    if weights.shape != (items,):
        raise InputError(
            f"sample_weight must be ({items},), one weight an item; got {weights.shape}."
        )
    wrong = np.flatnonzero(~np.isfinite(weights) | (weights < 0))
    if len(wrong):
        raise InputError(
            f"sample_weight must be 0 or more; item {wrong[0]} has {weights[wrong[0]]:g}."
        )
    if not weights.any():
        raise InputError("sample_weight is zero for every item: nothing is left to learn from.")
    return weights


def statistics(inputs: np.ndarray, weights: np.ndarray | None = None) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation by channel (C,) or by column (D,), in float64; of items that
    count as much as their weights (N,) say."""
    if weights is not None:
        return _weighted_statistics(inputs, weights)
    if inputs.ndim == 4 and inputs.dtype == np.uint8:
        return _pixel_statistics(inputs)
    axes = (0, 2, 3) if inputs.ndim == 4 else (0,)
    mean = inputs.mean(axis=axes, dtype=np.float64)
    std = inputs.std(axis=axes, dtype=np.float64)
    return torch.from_numpy(mean), torch.from_numpy(std)


def _weighted_statistics(inputs: np.ndarray, weights: np.ndarray) -> tuple[Tensor, Tensor]:
    """Means of an item's channel or column, and of their squares about the mean of all."""
    inner = tuple(range(2, inputs.ndim))
    mean = np.average(inputs.mean(axis=inner, dtype=np.float64), axis=0, weights=weights)
    centre = mean.reshape(-1, *[1] * len(inner))
    squares = np.square(inputs - centre).mean(axis=inner)
    return torch.from_numpy(mean), torch.from_numpy(
        np.sqrt(np.average(squares, axis=0, weights=weights))
    )


def _pixel_statistics(images_u8: np.ndarray) -> tuple[Tensor, Tensor]:
    """Exact, from one histogram a channel: no float copy of the data is made."""
    values = np.arange(256, dtype=np.float64)
    shares = [
        np.bincount(images_u8[:, c].ravel(), minlength=256) / images_u8[:, c].size
        for c in range(images_u8.shape[1])
    ]
    mean = np.array([share @ values for share in shares])
    power = np.array([share @ values**2 for share in shares])
    return torch.from_numpy(mean), torch.from_numpy(np.sqrt(np.maximum(power - mean**2, 0)))


def as_tensor(array: np.ndarray) -> Tensor:
    """Shares the array's memory; copies where torch would warn (read-only or negative strides)."""
    if not array.flags.writeable or any(stride < 0 for stride in array.strides):
        array = array.copy()
    return torch.from_numpy(array)

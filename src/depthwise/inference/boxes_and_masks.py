"""Boxes, counts, masks and captions of pictures in files, as records; boxes and masks drawn too.

A picture is brought to the size that the model was fitted on, as the loader does it, and the answer
back to the picture's own size: boxes scaled, masks by nearest pixel. An item of an array has the
model's size.

Shapes: C channels, H W picture, m boxes, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from depthwise.data.pictures.images import looks_like_picture, open_picture, to_pixels, upright_size
from depthwise.errors import InputError
from depthwise.inference import drawing
from depthwise.inference.boxes_drawn import draw_boxes
from depthwise.inference.input_files import Files, Tell, Told, each_item, read_inputs
from depthwise.inference.masks_drawn import index_png, overlay, with_names
from depthwise.inference.writing import place_pictures
from depthwise.models.abilities import FindsObjects
from depthwise.models.estimator import Estimator
from depthwise.task import Answer

__all__ = [
    "DESCRIBED",
    "SHOWN",
    "Areas",
    "Boxes",
    "Caption",
    "Counts",
    "answers",
    "answers_png",
    "draw",
    "save_masks",
]

HEAD = 16  # bytes that tell a picture
DESCRIBED: frozenset[Answer] = frozenset({"boxes", "mask", "caption"})  # answers that are for here
SHOWN = 8  # pictures of a grid


@dataclass(frozen=True)
class Boxes(Told):
    """Boxes (m, 4) left, top, right, bottom in the picture's pixels, class names, scores (m,)."""

    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray

    def to_dict(self) -> dict[str, Any]:
        found = zip(self.labels.tolist(), self.scores.tolist(), self.boxes.tolist(), strict=True)
        return {
            **self.where(),
            "boxes": [{"class": str(k), "score": s, "box": box} for k, s, box in found],
        }


@dataclass(frozen=True)
class Counts(Told):
    """How many of each class."""

    counts: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        return {**self.where(), "counts": self.counts}


@dataclass(frozen=True)
class Areas(Told):
    """A class for each pixel, uint8 (H, W), and the names of all classes."""

    mask: np.ndarray
    classes: list[str]

    @property
    def shares(self) -> dict[str, float]:
        """Of the picture, the largest first; classes that are not there are left out."""
        counts = np.bincount(self.mask.reshape(-1), minlength=len(self.classes))
        order = [int(k) for k in np.argsort(-counts, kind="stable") if counts[k]]
        return {self.classes[k]: float(counts[k] / self.mask.size) for k in order}

    def to_dict(self) -> dict[str, Any]:
        return {**self.where(), "shares": self.shares}


@dataclass(frozen=True)
class Caption(Told):
    """What is said of the picture."""

    caption: str

    def to_dict(self) -> dict[str, Any]:
        return {**self.where(), "caption": self.caption}


def answers(
    model: Estimator, files: Files, count: bool = False, tell: Tell = lambda line: None
) -> Iterator[Boxes | Counts | Areas | Caption | InputError]:
    """One answer an item, in the order of `files`; in the place of a bad file, its error.

    Raises InputError where the model is asked to count and cannot.
    """
    ask, make = _manner(model, count)
    for told in each_item(model, files, ask, tell):
        if isinstance(told, InputError):
            yield told
            continue
        file, row, answer = told
        yield make(file, row, answer)


Ask = Callable[[np.ndarray], Sequence[Any]]
Make = Callable[[str, int | None, Any], Any]


def _manner(model: Estimator, count: bool) -> tuple[Ask, Make]:
    """How the model is asked, and the record that its answer becomes."""
    if model.finder is not None:
        return _counts(model, model.finder) if count else _boxes(model, model.finder)
    if count or model.predictor is None:
        raise InputError(f"--count needs a model that finds objects; this is {model.family}.")
    if model.answer == "caption":
        return model.predictor.predict, Caption
    names = class_names(model)
    return model.predictor.predict, lambda file, row, mask: Areas(
        file, row, _grown(mask, own_size(file, model)), names
    )


def _counts(model: Estimator, finder: FindsObjects) -> tuple[Ask, Make]:
    names = class_names(model)
    return (
        lambda images: finder.predict(images, count=True),
        lambda file, row, counts: Counts(file, row, dict(zip(names, counts.tolist()))),
    )


def _boxes(model: Estimator, finder: FindsObjects) -> tuple[Ask, Make]:
    return lambda images: finder.predict(images, count=False), lambda file, row, found: Boxes(
        file, row, _scaled(found.boxes, own_size(file, model), model), found.labels, found.scores
    )


def class_names(model: Estimator) -> list[str]:
    classes = model.known_classes
    return [] if classes is None else [str(name) for name in classes]


def own_size(file: str, model: Estimator) -> tuple[int, int]:
    """(H, W) of a picture file; of an item of an array the model's."""
    data = Path(file).read_bytes()
    if looks_like_picture(data[:HEAD]):
        return upright_size(open_picture(data))
    height, width = model.input_shape_[1:]
    return height, width


def _scaled(boxes_xyxy: np.ndarray, size: tuple[int, int], model: Estimator) -> np.ndarray:
    height, width = model.input_shape_[1:]
    down, across = size[0] / height, size[1] / width
    return boxes_xyxy * np.array([across, down, across, down])


def _grown(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W) by nearest pixel."""
    rows, columns = (
        (2 * np.arange(wanted) + 1) * side // (2 * wanted)
        for side, wanted in zip(mask.shape, size, strict=True)
    )
    return mask[rows[:, None], columns]


# -- drawing --------------------------------------------------------------------------------------


def draw(out: Path, found: Sequence[Boxes | Areas], model: Estimator) -> None:
    """Every answer on its picture, as one PNG or a folder of them."""
    place_pictures(out, found, [drawing.png(_drawn(answer, model)) for answer in found])


def save_masks(out: Path, found: Sequence[Areas]) -> None:
    """Every mask as a PNG of class numbers, which `depthwise.load` reads as a mask."""
    place_pictures(out, found, [index_png(answer.mask) for answer in found])


def answers_png(model: Estimator, X: np.ndarray) -> bytes | None:
    """A PNG of the first pictures of X (N, C, H, W) in a grid, with the model's boxes or masks;
    None for a model of neither."""
    X = np.asarray(X[:SHOWN])
    if model.finder is not None:
        names, found = class_names(model), model.finder.predict(X, count=False)
        rows = [draw_boxes(image, one, names, with_scores=False) for image, one in zip(X, found)]
    elif model.answer == "mask" and model.predictor is not None:
        rows = [overlay(image, one) for image, one in zip(X, model.predictor.predict(X))]
    else:
        return None
    tiles = np.stack(rows).transpose(0, 3, 1, 2)
    return drawing.png(drawing.grid(tiles, columns=min(4, len(tiles)), scale=1))


def _drawn(answer: Boxes | Areas, model: Estimator) -> np.ndarray:
    """uint8 (H, W, 3)"""
    image = _picture(answer, model)
    if isinstance(answer, Areas):
        return with_names(overlay(image, answer.mask), answer.mask, answer.classes)
    about = (answer.boxes, answer.labels, answer.scores)
    return draw_boxes(image, about, class_names(model))


def _picture(answer: Told, model: Estimator) -> np.ndarray:
    """uint8 (3, H, W) at its own size; an item of an array as the model takes it."""
    data = Path(answer.file).read_bytes()
    if looks_like_picture(data[:HEAD]):
        image = open_picture(data)
        return to_pixels(image, (3, *upright_size(image)), model.pixel_range_)
    inputs = read_inputs(Path(answer.file), model.input_shape_, model.input_dtype_)
    item = inputs[answer.row or 0]
    return np.broadcast_to(item, (3, *item.shape[1:]))

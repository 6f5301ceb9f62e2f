"""What a model that sees says of pictures: boxes, counts, a class for each pixel, or a caption;
told, or drawn on the picture.

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
from depthwise.inference.files import Files, Tell, Told, each_item, read_inputs
from depthwise.inference.masks_drawn import index_png, overlay, with_names
from depthwise.inference.writing import place_pictures

__all__ = [
    "PLACES",
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
PLACES, SHOWN = {"detection", "counting", "segmentation"}, 8  # tasks; pictures of a grid


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
    model: Any, files: Files, count: bool = False, tell: Tell = lambda line: None
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


def _manner(model: Any, count: bool) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """How the model is asked, and what is made of its answer."""
    if "captions" in model.tasks and not count:
        return model.predict, Caption
    names = [str(name) for name in getattr(model, "classes_", ())]
    if "segmentation" in model.tasks and not count:
        return model.predict, lambda file, row, mask: Areas(
            file, row, _grown(mask, own_size(file, model)), names
        )
    if not PLACES.intersection(model.tasks) or "segmentation" in model.tasks:
        raise InputError(f"--count needs a model that finds objects; this is {model.family}.")
    if count:
        return (
            lambda images: model.predict(images, count=True),
            lambda file, row, counts: Counts(file, row, dict(zip(names, counts.tolist()))),
        )
    return lambda images: model.predict(images, count=False), lambda file, row, found: Boxes(
        file, row, _scaled(found.boxes, own_size(file, model), model), found.labels, found.scores
    )


def own_size(file: str, model: Any) -> tuple[int, int]:
    """(H, W) of a picture file; of an item of an array the model's."""
    data = Path(file).read_bytes()
    if looks_like_picture(data[:HEAD]):
        return upright_size(open_picture(data))
    height, width = model.input_shape_[1:]
    return height, width


def _scaled(boxes_xyxy: np.ndarray, size: tuple[int, int], model: Any) -> np.ndarray:
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


def draw(out: Path, found: Sequence[Boxes | Areas], model: Any) -> None:
    """Every answer on its picture, as one PNG or a folder of them."""
    place_pictures(out, found, [drawing.png(_drawn(answer, model)) for answer in found])


def save_masks(out: Path, found: Sequence[Areas]) -> None:
    """Every mask as a PNG of class numbers, which `depthwise.load` reads as a mask."""
    place_pictures(out, found, [index_png(answer.mask) for answer in found])


def answers_png(model: Any, X: np.ndarray) -> bytes | None:
    """A grid of the first pictures of X (N, C, H, W) with what the model says of them; None for a
    model that says nothing of places."""
    if not PLACES.intersection(model.tasks):
        return None
    X = np.asarray(X[:SHOWN])
    said = model.predict(X) if "segmentation" in model.tasks else model.predict(X, count=False)
    rows = [_marked(image, one, model) for image, one in zip(X, said, strict=True)]
    tiles = np.stack(rows).transpose(0, 3, 1, 2)
    return drawing.png(drawing.grid(tiles, columns=min(4, len(tiles)), scale=1))


def _marked(image: np.ndarray, said: Any, model: Any) -> np.ndarray:
    """uint8 (H, W, 3): an image (C, H, W) under the model's boxes (m, 4) or mask (H, W)."""
    if "segmentation" in model.tasks:
        return overlay(image, said)
    return draw_boxes(image, said, [str(name) for name in model.classes_], with_scores=False)


def _drawn(answer: Boxes | Areas, model: Any) -> np.ndarray:
    """uint8 (H, W, 3)"""
    image = _picture(answer, model)
    if isinstance(answer, Areas):
        return with_names(overlay(image, answer.mask), answer.mask, answer.classes)
    about = (answer.boxes, answer.labels, answer.scores)
    return draw_boxes(image, about, [str(name) for name in model.classes_])


def _picture(answer: Told, model: Any) -> np.ndarray:
    """uint8 (3, H, W) at its own size; an item of an array as the model takes it."""
    data = Path(answer.file).read_bytes()
    if looks_like_picture(data[:HEAD]):
        image = open_picture(data)
        return to_pixels(image, (3, *upright_size(image)))
    inputs = read_inputs(Path(answer.file), model.input_shape_, model.input_dtype_)
    item = inputs[answer.row or 0]
    return np.broadcast_to(item, (3, *item.shape[1:]))

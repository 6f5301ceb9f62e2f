"""The reading options of `load`, checked once."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from depthwise.data.dataset import TASKS
from depthwise.data.tables.columns import Column
from depthwise.errors import InputError

__all__ = ["FORMATS", "READINGS", "Options", "other_reading", "text_columns_of"]

FORMATS = (
    *("folder", "idx", "cifar", "npz", "csv"),
    *("voc", "coco", "yolo", "boxes", "masks", "videos", "frames", "clips", "captions", "labels"),
    *("cvat", "labelme", "labelstudio", "coco-outlines", "cvat-outlines", "labelme-outlines"),
    *("labelstudio-outlines", "text", "pairs", "text-folder", "prose"),
)
READINGS = {  # after a colon: what is meant where the files themselves do not decide
    "outlines": ("yolo",),  # "class x y x y ...": points round the object
    "keypoints": ("yolo",),  # "class x y w h, then points": a box first
    "shares": ("boxes", "coco", "voc"),  # boxes in shares of the picture
    "pixels": ("boxes", "coco", "voc"),  # boxes in its pixels
    "stored": (
        "boxes",
        "coco",
        "cvat",
        "labelme",
        "labelstudio",
        "voc",
        "yolo",
        "masks",
    ),  # on the pixels before EXIF turns them
    "upright": (
        "boxes",
        "coco",
        "cvat",
        "labelme",
        "labelstudio",
        "voc",
        "yolo",
        "masks",
    ),  # on the picture as it is seen
    "numbers": ("masks",),  # values are numbers of classes, 255 is ignored
    "levels": ("masks",),  # each value is a class, 255 too
    "threshold": ("masks",),  # from 128 on foreground, below background
    "sides": ("boxes",),  # lists of four are left, top, width, height
    "edges": ("boxes",),  # lists of four are left, top, right, bottom
    "header": ("csv", "text", "pairs"),  # the first line is names of columns
    "no-header": ("csv", "text", "pairs"),  # the first line is a row
    "decimal-comma": ("csv",),  # what 1,234 and 1.234 mean
    "decimal-point": ("csv",),
    "na-class": ("csv",),  # NA, null and the like are names of a class
    "keep=": ("csv",),  # a column to learn from although it looks like row numbers or an id
    "leave-out=": ("csv",),  # a column not to learn from
}
_ALIASES = {"images": "folder", "zip": "folder", "tsv": "csv", "table": "csv", "npy": "npz"}
_MODES = {"L": 1, "grey": 1, "gray": 1, "RGB": 3, "rgb": 3}
_LARGEST_SIDE, _MOST_FRAMES = 4096, 1024


@dataclass(frozen=True)
class Options:
    """format: one of FORMATS or None to look; readings: of READINGS, after a colon in the format
    given ("yolo:keypoints"); image_size (H, W) or None; channels 1, 3 or None;
    columns: of a table as a model learnt them, or None to learn them; labelled: True if labels are
    needed, False if they are not wanted, None to see; task: one of dataset.TASKS or None to look;
    frames: of a clip, or None for 16; text_columns: the columns of texts by names or numbers, or
    None to look; pixel_range: levels of deep pictures that become 0 and 255, or None to measure."""

    format: str | None = None
    label: str | None = None
    image_size: tuple[int, int] | None = None
    channels: int | None = None
    columns: tuple[Column, ...] | None = None
    labelled: bool | None = None
    task: str | None = None
    frames: int | None = None
    text_columns: tuple[str, ...] | None = None
    readings: tuple[str, ...] = ()
    pixel_range: tuple[float, float] | None = None

    @classmethod
    def of(
        cls,
        format: str | None,
        label: str | None,
        image_size: Any,
        mode: str | None,
        columns: Sequence[Column] | None = None,
        labelled: bool | None = None,
        task: str | None = None,
        frames: int | None = None,
        text_columns: str | Sequence[str] | None = None,
        pixel_range: tuple[float, float] | None = None,
    ) -> "Options":
        """Raises InputError that names the wrong argument."""
        known = None if columns is None else tuple(columns)
        if labelled not in (None, True, False):
            raise InputError(f"labelled is {labelled!r}; give True, False, or None to see.")
        if _task(task) == "unlabelled":
            if labelled:
                raise InputError(
                    "task 'unlabelled' and labelled=True exclude each other; drop one."
                )
            task, labelled = None, False
        size, channels = _size(image_size), _channels(mode)
        texts = text_columns_of(text_columns)
        frames = _frames(frames)
        known_format, readings = _format(format)
        return cls(
            *(known_format, label, size, channels, known, labelled, task, frames, texts, readings),
            _levels(pixel_range),
        )


def other_reading(taken: str, format: str, reading: str, other: str) -> str:
    """The one line that says how something ambiguous was read, and how to have it otherwise."""
    return f"{taken}; --format {format}:{reading} (format='{format}:{reading}') {other}"


def _format(value: str | None) -> tuple[str | None, tuple[str, ...]]:
    """The format and the readings after its colon."""
    name, _, after = (value or "").partition(":")
    known = _known_format(name or None)
    readings = tuple(word.strip() for word in after.split("+")) if after else ()
    for word in readings:
        name_of_it = word[: word.find("=") + 1] or word
        if known is None or known not in READINGS.get(name_of_it, ()):
            fitting = [one for one, formats in READINGS.items() if known in formats]
            use = f"after {name}: use {', '.join(fitting)}." if fitting else "leave it out."
            raise InputError(f"format is {value!r}, where {word!r} has no meaning; {use}")
    return known, readings


def _known_format(value: str | None) -> str | None:
    value = _ALIASES.get(value, value) if value else None
    if value is not None and value not in FORMATS:
        close = get_close_matches(value, FORMATS, 1)
        hint = f"did you mean {close[0]!r}?" if close else f"use one of {', '.join(FORMATS)}."
        raise InputError(f"format is {value!r}; {hint}")
    return value


def _task(value: str | None) -> str | None:
    if value is not None and value not in TASKS:
        close = get_close_matches(str(value), TASKS, 1)
        hint = f"did you mean {close[0]!r}?" if close else f"use one of {', '.join(TASKS)}."
        raise InputError(f"task is {value!r}; {hint}")
    return value


def text_columns_of(value: str | Sequence[str] | None) -> tuple[str, ...] | None:
    """Names with commas between, or a list of them; numbers are columns from 1."""
    if value is None:
        return None
    given = value.split(",") if isinstance(value, str) else [str(name) for name in value]
    names = tuple(name.strip() for name in given)
    if not names or not all(names):
        raise InputError(f"text_columns is {value!r}; give names, such as 'question1,question2'.")
    return names


def _frames(value: int | None) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MOST_FRAMES:
        raise InputError(f"frames is {value!r}; give a whole number from 1 to {_MOST_FRAMES}.")
    return value


def _levels(value: Any) -> tuple[float, float] | None:
    if value is None:
        return None
    try:
        low, high = (float(level) for level in value)
    except (TypeError, ValueError):
        low = high = 0.0
    if not -math.inf < low < high < math.inf:
        raise InputError(f"pixel_range is {value!r}; give two levels, such as (0, 4095).")
    return low, high


def _channels(mode: str | None) -> int | None:
    if mode is not None and mode not in _MODES:
        raise InputError(f'mode is {mode!r}; use "L" for grey or "RGB" for colour.')
    return _MODES[mode] if mode is not None else None


def _size(value: Any) -> tuple[int, int] | None:
    if value is None:
        return None
    try:
        height, width = (value, value) if not isinstance(value, list | tuple) else value
        height, width = int(height), int(width)
    except (TypeError, ValueError):
        raise InputError(f"image_size is {value!r}; give (height, width) in pixels.") from None
    if not (1 <= height <= _LARGEST_SIDE and 1 <= width <= _LARGEST_SIDE):
        raise InputError(f"image_size is {value!r}; each side must be 1 to {_LARGEST_SIDE} pixels.")
    return height, width

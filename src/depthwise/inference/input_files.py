"""Reads files as the input of a model that is asked about them, exactly as the loader does.

    a picture                        one item        for a model of images
    a video, a folder of frames      one item        for a model of clips
    .npy, .npz with one such array   many items      images (N, H, W[, C]) or rows (N, D), clips
                                                     (N, T, H, W[, C])
    .csv, .tsv                       a row an item   for a model of tables; also .json, .jsonl,
                                                     .parquet, .xlsx, .arff
    .txt, or a table of texts        a line or a row an item        for a model of texts, or of
                                                     pairs of them: two columns

A model that was fitted on a table file remembers its columns, so any file with those columns will
do, in any order, with text and blank cells; one fitted on arrays takes numbers in their order.
Content decides, not the suffix. Shapes: N items, C channels, H W image, D features.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from depthwise.data.dataset import Dataset, Problem
from depthwise.data.formats import open_tree
from depthwise.data.pictures.images import Unreadable, looks_like_picture, picture_pixels
from depthwise.data.pictures.resize import refit
from depthwise.data.readers import arrays, npz, table, text_tables
from depthwise.data.readers.clips import frame_folders, videos
from depthwise.data.readers.clips.clips import evenly
from depthwise.data.readers.label_column import named_label
from depthwise.data.readers.trees.folder import FolderTree
from depthwise.data.tables.blanks import fill_blanks
from depthwise.data.tables.columns import Column, label_of
from depthwise.data.tables.delimited import cut, decoded
from depthwise.data.tables.numbers import as_number
from depthwise.data.tables.offsets import less_offsets
from depthwise.data.tables.record_files import as_csv, is_records
from depthwise.data.tables.rows import headed
from depthwise.errors import DataError, InputError, reason_of
from depthwise.models.abilities import Predicts
from depthwise.models.estimator import Estimator
from depthwise.models.supervised import Classifier

__all__ = [
    "Files", "Numbers", "Prediction", "Similarity", "Told", "as_the_model_takes", "each_item",
    "numbers", "predictions", "read_inputs", "similarities", "unlike_the_models",
]  # fmt: skip

BLOCK = 256  # pictures decoded before the model is asked about them
Tell = Callable[[str], None]
Files = Sequence[str | InputError]  # as `expanded` gives them
T = TypeVar("T")


@dataclass(frozen=True)
class Told:
    """One item that was asked about: its file, and its row where the file has several."""

    file: str
    row: int | None

    @property
    def name(self) -> str:
        return self.file if self.row is None else f"{self.file}[{self.row}]"

    def where(self) -> dict[str, Any]:
        return {"file": self.file} | ({} if self.row is None else {"row": self.row})


@dataclass(frozen=True)
class Prediction(Told):
    """What the model says of one item: `ranked` pairs of class and probability, likeliest first."""

    ranked: list[tuple[str, float]]

    def to_dict(self) -> dict[str, Any]:
        (label, probability), *_ = self.ranked
        top = [{"class": name, "probability": share} for name, share in self.ranked]
        return {**self.where(), "class": label, "probability": probability, "top": top}


@dataclass(frozen=True)
class Similarity(Told):
    """How alike the two sentences of a pair are, in the model's range."""

    similarity: float

    def to_dict(self) -> dict[str, Any]:
        return {**self.where(), "similarity": self.similarity}


@dataclass(frozen=True)
class Numbers(Told):
    """What the model predicts of one item: `values`, one or several; `called`: what they are."""

    values: list[float]
    called: str

    def to_dict(self) -> dict[str, Any]:
        one = len(self.values) == 1
        return {**self.where(), **({"value": self.values[0]} if one else {"values": self.values})}


def numbers(
    model: Estimator, files: Files, tell: Tell = lambda line: None
) -> Iterator[Numbers | InputError]:
    """One Numbers an item, in the order of `files`; in the place of a bad file, its error."""
    called, predictor = label_of(model.columns_ or []) or "value", _predictor(model)

    def ask(inputs: np.ndarray) -> list[list[float]]:
        answers: list[list[float]] = predictor.predict(inputs).reshape(len(inputs), -1).tolist()
        return answers

    for told in each_item(model, files, ask, tell):
        yield told if isinstance(told, InputError) else Numbers(*told, called)


def similarities(
    model: Estimator,
    files: Files,
    tell: Tell = lambda line: None,
    text_columns: Sequence[str] | None = None,
) -> Iterator[Similarity | InputError]:
    """One Similarity a pair, in the order of `files`; in the place of a bad file, its error."""
    predictor = _predictor(model)

    def ask(pairs: np.ndarray) -> list[float]:
        return list(predictor.predict(pairs).tolist())

    for told in each_item(model, files, ask, tell, text_columns):
        yield told if isinstance(told, InputError) else Similarity(*told)


def _predictor(model: Estimator) -> Predicts:
    """The model, if it predicts. Raises InputError for another."""
    if model.predictor is None:
        raise InputError(f"{model.family} predicts nothing that could be told of each file.")
    return model.predictor


def _of_classes(model: Estimator) -> Classifier:
    """The model, if it predicts classes. Raises InputError for another."""
    if isinstance(model, Classifier) and model.n_outputs:
        return model
    writes = " It writes: depthwise generate." if model.writer else ""
    raise InputError(f"{model.family} predicts no classes.{writes}")


def predictions(
    model: Estimator,
    files: Files,
    top: int = 1,
    tell: Tell = lambda line: None,
    text_columns: Sequence[str] | None = None,
) -> Iterator[Prediction | InputError]:
    """One Prediction an item, in the order of `files`; in the place of a bad file, its error.
    `tell` is told of blank cells and of texts that the model does not know."""
    ask = partial(_ranked, _of_classes(model), top)
    for told in each_item(model, files, ask, tell, text_columns):
        yield told if isinstance(told, InputError) else Prediction(*told)


def each_item(
    model: Estimator,
    files: Files,
    ask: Callable[[np.ndarray], Sequence[T]],
    tell: Tell = lambda line: None,
    text_columns: Sequence[str] | None = None,
) -> Iterator[tuple[str, int | None, T] | InputError]:
    """(file, row or None, answer) of every item, or the error of a bad file in its place; `ask`
    gives an answer an item (N, ...), many at once."""
    for start in range(0, len(files), BLOCK):
        block = [
            (str(file), _read(model, file, tell, text_columns))
            for file in files[start : start + BLOCK]
        ]
        found = [inputs for _, inputs in block if isinstance(inputs, np.ndarray)]
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always", UserWarning)
            answers = iter(ask(np.concatenate(found)) if found else [])
        for text in dict.fromkeys(str(warning.message) for warning in told):
            tell(f"noticed: {text}")
        for file, inputs in block:
            if isinstance(inputs, InputError):
                yield inputs
                continue
            single = len(inputs) == 1 and len(model.input_shape_) >= 3
            for row in range(len(inputs)):
                yield file, None if single else row, next(answers)


def as_the_model_takes(model: Estimator) -> dict[str, Any]:
    """Options of the loader that bring data to the model's (C, H, W), or to its columns, and leave
    labels out where it knows none."""
    labels = {} if model.n_outputs else {"labelled": False}
    if len(model.input_shape_) < 3:
        return {**labels, "columns": model.columns_}
    *frames, channels, height, width = model.input_shape_
    pixels: dict[str, Any] = {
        "image_size": f"{height}x{width}",
        "mode": "L" if channels == 1 else "RGB",
    }
    if model.pixel_range_ is not None:
        pixels["pixel_range"] = model.pixel_range_
    return {**labels, **pixels, **({"frames": frames[0]} if frames else {})}


def unlike_the_models(model: Estimator, data: Dataset) -> str | None:
    """A warning where the test part of `data` may hold items that the model was trained on: if
    neither it nor the training part is that of the model's own split."""
    known, loaded = model.split_, data.split_marks
    if known is None:
        return "the model was fitted on arrays: whether it has seen the test part is not known"
    if loaded.train == known.train or loaded.test == known.test:
        return None
    other = known.seed is not None and known.seed != loaded.seed
    remedy = f": give --seed {known.seed} for the split it was trained on" if other else ""
    return (
        f"the model was not trained on this split; its test part may hold items it has seen{remedy}"
    )


def _read(
    model: Estimator, file: str | InputError, tell: Tell, text_columns: Sequence[str] | None
) -> np.ndarray | InputError:
    if isinstance(file, InputError):
        return file
    try:
        shape, dtype = model.input_shape_, model.input_dtype_
        known, levels = model.columns_, model.pixel_range_
        return read_inputs(Path(file), shape, dtype, known, tell, text_columns, levels)
    except InputError as error:
        return error


def _ranked(model: Classifier, top: int, inputs: np.ndarray) -> list[list[tuple[str, float]]]:
    probabilities = model.predict_proba(inputs)  # (N, K)
    order = np.argsort(-probabilities, axis=1, kind="stable")
    said = model.decide(probabilities)[:, None]  # first, also where it is not the likeliest
    order = np.concatenate([said, order[order != said].reshape(len(said), -1)], axis=1)[:, :top]
    names = [str(name) for name in model.classes_]
    return [
        [(names[k], float(shares[k])) for k in ranked]
        for ranked, shares in zip(order, probabilities)
    ]


def read_inputs(
    path: Path,
    shape: tuple[int, ...],
    dtype: str = "uint8",
    columns: Sequence[Column] | None = None,
    tell: Tell = lambda line: None,
    text_columns: Sequence[str] | None = None,
    levels: tuple[float, float] | None = None,
) -> np.ndarray:
    """The items of one file: uint8 (N, C, H, W) or (N, T, C, H, W), or float32 (N, D), for inputs
    of this `shape`; texts (N,) where the network takes tokens.

    columns: what a table's columns become, if the model remembers; tell: of what was mended;
    text_columns: of a table of texts, by names or numbers; None to look. levels: of a picture of
    more than 8 bits that become 0 and 255, if the model remembers.
    Raises InputError naming the file, what is wrong with it, and what the model takes.
    """
    if len(shape) == 4 and path.is_dir():
        return _clip(partial(frame_folders.clip_of, FolderTree(path)), path, shape)
    try:
        data = path.read_bytes()
    except IsADirectoryError:
        raise DataError(f"{path} is a folder; give its files, such as {path}/*.") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {reason_of(error)}.") from None
    if is_records(path.name) and (dtype == "int64" or len(shape) == 1):
        data = as_csv(path.name, data, str(path))
    how_read = partial(_tell_of, str(path), tell)
    if dtype == "int64" and len(shape) == 2:
        return text_tables.parse_pairs(data, str(path), text_columns, how_read)
    if dtype == "int64":
        found = text_tables.parse_texts(data, str(path), text_columns, how_read)
        texts = np.empty(len(found), object)
        texts[:] = found
        return texts
    if len(shape) >= 3 and dtype != "uint8":
        raise InputError("this model was fitted on float images; predict arrays with it in Python.")
    if len(shape) == 4 and videos.demuxer(data[:512]):
        return _clip(partial(videos.clip_of, data), path, shape)
    if looks_like_picture(data[:16]):
        return _picture(data, path, shape, levels)
    if npz.is_npy(data[:8]):
        return _fitting(npz.parse(data, str(path)), str(path), shape, columns)
    if data[:4] in (b"PK\3\4", b"PK\5\6"):
        return _fitting(_only_array(path), str(path), shape, columns)
    if len(shape) >= 3:
        known = {3: "a picture; this model takes images", 4: "a video; this model takes clips"}
        raise DataError(f"{path} is not {known[len(shape)]} ({_words(shape)}).")
    if columns is not None:
        return _encoded(data, str(path), columns, tell)
    return _fitting(_table(data, str(path), shape[0], tell), str(path), shape)


def _encoded(data: bytes, where: str, columns: Sequence[Column], tell: Tell) -> np.ndarray:
    rows, unknown = table.parse_unlabelled(data, where, columns)
    filled, blanks = fill_blanks(rows, columns)
    for problem in [*unknown, *blanks]:
        _tell_of(where, tell, problem)
    return filled


def _tell_of(where: str, tell: Tell, problem: Problem) -> None:
    tell(f"noticed in {where}: {problem}")


def _picture(
    data: bytes, path: Path, shape: tuple[int, ...], levels: tuple[float, float] | None
) -> np.ndarray:
    if len(shape) == 4:
        raise DataError(
            f"{path} is a picture; this model takes clips, videos or folders of frames."
        )
    if len(shape) != 3:
        raise DataError(f"{path} is a picture; this model takes rows of {shape[0]} numbers.")
    try:
        channels, height, width = shape
        return picture_pixels(data, (channels, height, width), levels)[None]
    except Unreadable as error:
        raise DataError(f"{path} cannot be used: {error}.") from None


def _clip(
    take: Callable[[int, tuple[int, int, int]], np.ndarray], path: Path, shape: tuple[int, ...]
) -> np.ndarray:
    frames, channels, height, width = shape
    try:
        return take(frames, (channels, height, width))[None]
    except Unreadable as error:
        raise DataError(f"{path} cannot be used: {error}.") from None


def _only_array(path: Path) -> np.ndarray:
    tree = open_tree(path)
    found = {}
    for name in tree.sizes:
        if npz.is_npy(tree.head(name)):
            array = npz.parse(tree.read(name), f"{path}/{name}")
            if array.ndim >= 2:
                found[name.removesuffix(".npy")] = array
    if len(found) != 1:
        listed = f"several arrays ({', '.join(found)})" if found else "no array of items"
        raise DataError(f"{path} holds {listed}; save the one to predict as .npy.")
    return next(iter(found.values()))


def _fitting(
    array: np.ndarray,
    where: str,
    shape: tuple[int, ...],
    columns: Sequence[Column] | None = None,
) -> np.ndarray:
    if len(shape) == 1:
        rows = less_offsets(array[None] if array.ndim == 1 else array, columns)
        rows = arrays.as_table(rows, where)
        if rows.shape[1:] != shape:
            raise DataError(
                f"{where} has items of {_words(rows.shape[1:])}, not {shape[0]} numbers."
            )
        return rows
    if len(shape) == 4:
        return _clips(array[None] if array.ndim == 4 else array, where, shape)
    single = array.ndim == 2 or (array.ndim == 3 and shape[0] == 3)
    pixels = arrays.as_images(array[None] if single else array, where)
    return refit(pixels, (shape[1], shape[2]), shape[0])


def _clips(array: np.ndarray, where: str, shape: tuple[int, ...]) -> np.ndarray:
    """Clips (N, T, C, H, W) or (N, T, H, W, C) with the model's frames, channels and size."""
    if array.ndim != 5:
        raise DataError(f"{where} holds {_words(array.shape)}; clips are (N, T, H, W, C).")
    frames = arrays.as_images(array.reshape(-1, *array.shape[2:]), where)
    clips = frames.reshape(*array.shape[:2], *frames.shape[1:])
    clips = clips[:, evenly(clips.shape[1], shape[0])]
    return refit(clips, (shape[2], shape[3]), shape[1])


def _table(data: bytes, where: str, features: int, tell: Tell) -> np.ndarray:
    """Rows of numbers, with or without a line of names; a label column, if there, is left out."""
    text, told = decoded(data, where)
    found = cut(text, where, keep_blank=True)
    rows = headed(found, header=all(as_number(cell) is None for cell in found.rows[0]))
    for problem in [*told, *rows.told]:
        _tell_of(where, tell, problem)
    places = [*range(len(rows.columns))]
    if rows.has_header and len(places) == features + 1:
        label = named_label(rows.columns)
        places.pop(features if label is None else label)
    if len(places) != features:
        raise DataError(
            f"{where}, row {rows.lines[0]}: {len(places)} cells; this model takes rows of "
            f"{features} numbers."
        )
    columns = [_numbers(rows.column(place), where, rows.lines) for place in places]
    return np.column_stack(columns)


def _numbers(cells: Sequence[str], where: str, lines: Sequence[int]) -> np.ndarray:
    """float64 (N,) of a column; raises DataError for a cell that is no finite number."""
    numbers = [as_number(cell) for cell in cells]
    bad = next((i for i, n in enumerate(numbers) if n is None or not math.isfinite(n)), None)
    if bad is not None:
        raise DataError(
            f"{where}, row {lines[bad]}: {cells[bad].strip()!r} is no number; this model takes "
            "numbers only."
        )
    return np.array(numbers, np.float64)


def _words(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))

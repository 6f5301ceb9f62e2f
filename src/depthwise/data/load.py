"""From whatever the user has to a Dataset: recognise, read, check, split.

    a name               "digits", "mnist", "fashion-mnist", "cifar10"
    a folder or archive  class folders of pictures, IDX, CIFAR batches, .npz or .npy, a table;
                         pictures with boxes (VOC, COCO, YOLO, CSV) or masks; clips; people; texts
    a file               the same single: .zip, .tar.gz, IDX, .npz, .npy, .csv, .tsv
    arrays               load(X, y), load((X, y)), load({"x_train": ..., "y_train": ...})
    a data frame         load(df, label="species"), load(df, series), load(df): pandas, polars,
                         Arrow, a list of dicts; encoded as the CSV that it would be written to

Content decides, not the suffix, and says what the task is; `format=` and `task=` override. Labels
are used where they are found; without class folders, a labels file or an array of labels the items
are unlabelled. A table's last column is its label where nothing else says which: `labelled=False`
says that it has none.
"""

import difflib
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from depthwise.data import cache as stores
from depthwise.data import checks, named
from depthwise.data.dataset import Dataset, Problem
from depthwise.data.formats import open_tree, read_tree
from depthwise.data.item_names import compact
from depthwise.data.options import Options
from depthwise.data.pictures.resize import fit
from depthwise.data.quantities import numbered_classes
from depthwise.data.raw import Raw
from depthwise.data.readers import arrays, idx, npz, table, text_tables
from depthwise.data.readers.trees.tree import Tree
from depthwise.data.splits import split
from depthwise.data.strata import missing_classes, parts_by_people, strata
from depthwise.data.tables.blanks import fill_blanks, learnt_from, missing_shares
from depthwise.data.tables.columns import Column
from depthwise.data.tables.frame_tree import FrameTree, may_hold_texts
from depthwise.data.tables.frames import Frame, as_frame, is_frame, is_series, name_of
from depthwise.data.tables.offsets import rebased
from depthwise.errors import DataError, InputError, reason_of
from depthwise.host import cache_folder
from depthwise.task import data_task_named

__all__ = ["load"]


def load(
    source: Any,
    labels: Any = None,
    *,
    format: str | None = None,
    label: str | None = None,
    image_size: int | tuple[int, int] | None = None,
    mode: str | None = None,
    seed: int = 0,
    test_fraction: float = 0.15,
    validation_fraction: float = 0.15,
    columns: Sequence[Column] | None = None,
    labelled: bool | None = None,
    task: str | None = None,
    frames: int | None = None,
    text_columns: str | Sequence[str] | None = None,
    cache: bool = True,
    pixel_range: tuple[float, float] | None = None,
) -> Dataset:
    """Reads data, checks it, and splits it once into train, validation and test.

    source: a name, a path, arrays, (X, y), or a dict of arrays; see the table at the top.
    format: "folder", "idx", "cifar", "npz", "csv"; "voc", "coco", "yolo", "boxes" (CSV); "masks";
        "videos", "frames", "clips" (strips of frames); "captions", where recognising goes wrong.
    label: the label column of a table; "fine" or "coarse" for CIFAR-100.
    image_size: (H, W) or one number for both, in pixels; default: see `decode`.
    mode: "L" (grey, C = 1) or "RGB" (C = 3); default: grey if every picture is.
    seed, test_fraction, validation_fraction: of the split, where the data brings none.
    labels: (N,) for arrays or files that hold none.
    columns: how to encode a table, as a model remembers it (`model.columns_`); default: learnt.
    labelled: True to insist on labels, False to go without them (they still shape the split, where
        there are some), None to see whether there are any.
    task: "classification", "regression", "detection", "segmentation", "video", "faces",
        "captions" or "unlabelled", where recognising goes wrong.
    frames: of a clip, evenly spaced from its first to its last; default: 16.
    text_columns: the columns of texts, "A,B" by names or by numbers from 1: one is a text, two a
        pair (put together with task="text"); default: by looking.
    pixel_range: the levels of pictures of more than 8 bits that become 0 and 255, as a model
        remembers them (`model.pixel_range_`); default: measured, one scale for all.
    cache: keep what was decoded, so that the next start is instant.

    Raises DataError for data that cannot be used and InputError for wrong arguments.
    """
    options = Options.of(
        format, label, image_size, mode, columns, labelled, task, frames, text_columns, pixel_range
    )
    labelled = options.labelled
    _require_fractions(seed, test_fraction, validation_fraction)
    raw, name, where = _read(source, labels, options, cache)
    if labelled and not raw.classes and raw.targets is None:
        raise DataError(
            f"{where} holds no labels; put pictures into a folder for each class, give labels=y, "
            "or look for strange items instead: --task anomaly (labelled=False)."
        )
    indices, origin = _split(raw, seed, test_fraction, validation_fraction)
    if labelled is not False:
        _require_training_items(raw, indices, where)
    table, learnt, strange = _with_training_part(raw, indices["train"], columns)
    inputs, blanks = fill_blanks(table, learnt) if learnt else (table, [])
    dataset = Dataset(
        name,
        raw.kind,
        inputs,
        raw.labels,
        raw.classes,
        indices,
        origin,
        [*raw.problems, *missing_classes(raw, indices), *strange, *blanks],
        where,
        raw.groups,
        learnt,
        seed,
        raw.task,
        raw.targets,
        raw.sizes,
        raw.palette,
        raw.pairs,
        compact(raw.names),
        missing_shares(table, learnt) if learnt else None,
        raw.pixel_range,
    )
    return dataset.without_labels() if labelled is False else dataset


def _split(
    raw: Raw, seed: int, test: float, validation: float
) -> tuple[dict[str, np.ndarray], str]:
    """Indices of the three parts and where they come from; people are never parted."""
    parts = raw.parts
    if parts is None and raw.task_row.asks_about_strangers:
        parts = parts_by_people(raw)
        if parts is not None:
            indices, _ = split(raw.labels, None, parts)
            return indices, "by people: the last fold of pairs for test, the one before to validate"
    if raw.task_row.continues_text:
        return split(raw.labels, None, parts)[0], "as files are named, else cut from their ends"
    labels, groups = strata(raw)
    return split(
        labels, groups, parts, seed=seed, test_fraction=test, validation_fraction=validation
    )


def _with_training_part(
    raw: Raw, train: np.ndarray, known: Sequence[Column] | None
) -> tuple[np.ndarray, list[Column] | None, list[Problem]]:
    """The inputs as the training part has their columns, NaN for a blank cell; the columns, and
    what is strange in the other parts."""
    if raw.columns is None or known is not None:
        if known is None:
            return raw.inputs, None, []
        return rebased(raw.inputs, raw.columns, known), [*known], []
    columns, table, strange = learnt_from(raw.columns, raw.inputs, train)
    return table, columns, strange


def _require_training_items(raw: Raw, indices: dict[str, np.ndarray], where: str) -> None:
    """Raises DataError for a class that is asked about but never shown. People may be strangers,
    and a class of boxes or masks that is missing is only told."""
    if raw.task_row.asks_about_strangers:
        return
    shown = np.unique(raw.labels[indices["train"]])
    for part in ("validation", "test"):
        unseen = np.setdiff1d(raw.labels[indices[part]], shown)
        if len(unseen):
            raise DataError(
                f"{where}: class {raw.classes[unseen[0]]!r} has items for {part} but none for "
                "training; add some there, or take the class out."
            )


def _read(source: Any, labels: Any, options: Options, cache: bool) -> tuple[Raw, str, str]:
    """The items, the data set's name, and where it came from."""
    if isinstance(source, str) and source == "digits":
        return _prepared(named.digits(), options, "digits"), "digits", "scikit-learn"
    if isinstance(source, str | os.PathLike):
        path, name, classes = _locate(source, cache)
        raw = _read_path(path, labels, options, cache)
        if len(classes) == len(raw.classes):
            raw.classes = list(classes)
        return raw, name, str(path)
    if labels is None and isinstance(source, tuple) and len(source) == 2:
        source, labels = source
    if is_frame(source):
        raw = _read_frame(source, labels, options)
        return _prepared(raw, options, "the data frame"), "frame", "a data frame"
    return (
        _prepared(_read_arrays(source, labels, options.task), options, "the data"),
        "arrays",
        "arrays in memory",
    )


def _locate(source: Any, cache: bool) -> tuple[Path, str, list[str]]:
    """The path of a name or a path; a known name wins over a folder so named ("./mnist")."""
    text = os.fspath(source)
    if text in named.NAMED:
        return named.obtain(text, cache_folder()), text, named.NAMED[text].classes
    path = Path(text).expanduser()
    try:
        if path.exists():
            return path, path.name.split(".")[0] or path.resolve().name, []
        beside = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    except (OSError, ValueError) as error:
        raise DataError(f"{text!r} cannot be read ({reason_of(error)}).") from None
    known = list(named.NAMED) if path.parent == Path() else []
    close = difflib.get_close_matches(path.name.lower(), known, 1, 0.6)
    close = close or difflib.get_close_matches(path.name, beside, 1, 0.7)
    hint = f"did you mean {close[0]}?" if close else f"known names are {', '.join(named.NAMED)}."
    raise DataError(f"{text} is neither a file, a folder, nor a known data set; {hint}")


def _read_path(path: Path, labels: Any, options: Options, cache: bool) -> Raw:
    """From the cache if it holds this very source, else read, checked and kept."""
    tree = open_tree(path)
    if labels is not None:
        return _prepared(_read_labelled_by(tree, labels, options.task), options, str(path))
    key = stores.key_of(path.resolve(), tree.stamp(), options)
    if cache and (kept := stores.get(key)):
        return kept
    if not cache:
        return _prepared(read_tree(tree, options), options, str(path))
    draft = stores.Draft(key)
    try:
        raw = _prepared(read_tree(tree, options, draft.allocate), options, str(path))
        if raw.kind != "text":  # which is read as quickly again
            draft.commit(raw)
    finally:
        draft.discard()
    if draft.trouble:
        raw.problems.append(
            Problem("no cache", "", f"{draft.trouble}; the next start decodes anew")
        )
    return raw


def _prepared(raw: Raw, options: Options, where: str) -> Raw:
    """Brought to the size and colours asked for, and checked."""
    _require_task(raw, options.task, where)
    checks.require_usable(raw, where, wanted=options.labelled is not False)
    if raw.kind not in ("table", "text"):
        fit(raw, options)
    checks.examine(raw)
    return raw


def _require_task(raw: Raw, task: str | None, where: str) -> None:
    """Raises DataError for data that say another task than the one asked for."""
    if task is None:
        return
    asked = data_task_named(task)
    if raw.classes and raw.task_row.is_labelled and not raw.task_row.data:
        if asked.from_classes and raw.kind == "images":
            raw.task = asked.name  # arrays of faces with names
        elif asked.predicts_numbers:
            _take_as_numbers(raw, where)
    if raw.task != task:
        raise DataError(
            f"{where} holds data for {raw.task}, not for {task}; leave out task={task!r}."
        )


def _take_as_numbers(raw: Raw, where: str) -> None:
    """Classes that are called by numbers become numbers to predict."""
    numbers = numbered_classes(raw.classes)
    if numbers is None:
        wrong = next(name for name in raw.classes if numbered_classes([name]) is None)
        raise DataError(f"{where}: the class {wrong!r} is no number; leave out task='regression'.")
    raw.task, raw.targets, raw.classes = "regression", numbers[raw.labels], []
    raw.labels = np.zeros_like(raw.labels)


def _read_frame(source: Any, labels: Any, options: Options) -> Raw:
    """A data frame with its label in a column, or beside it: (N,) or a series."""
    frame = as_frame(source)
    if labels is not None:
        if options.label is not None:
            raise InputError(
                f"label={options.label!r} names a column, and labels were given beside the frame; "
                "give one."
            )
        options = replace(options, label=_with_labels(frame, labels))
    of_texts = options.task is not None and data_task_named(options.task).texts_an_item > 0
    asked = options.format or options.text_columns or of_texts
    if asked or (options.columns is None and may_hold_texts(frame)):
        tree = FrameTree(frame)
        if asked or text_tables.has_texts(tree) or text_tables.has_pairs(tree):
            return read_tree(tree, options)
    guess = options.labelled is not False
    return table.of_frame(frame, options.label, options.columns, guess=guess, task=options.task)


def _with_labels(frame: Frame, labels: Any) -> str:
    """The name of a column of these labels, which the frame has from now on."""
    name = name_of(labels) or "label"
    while name in frame.columns:
        name = f"{name} (given)"
    values = labels if is_series(labels) or isinstance(labels, list) else [*labels]
    if len(values) != frame.n_rows:
        raise DataError(
            f"the data frame has {frame.n_rows:,} rows but {len(values):,} labels; give one for "
            "each."
        )
    frame.columns.append(name)
    frame.values.append(values)
    return name


def _read_arrays(source: Any, labels: Any, task: str | None) -> Raw:
    if isinstance(source, dict):
        return npz.read_arrays(source, "the dict", task)
    return arrays.read(source, labels, task=task)


def _read_labelled_by(tree: Tree, labels: Any, task: str | None) -> Raw:
    """One file of items with labels given beside it, as an array or as a path."""
    name = next(iter(tree.sizes), "")
    return arrays.read(_one_array(tree, name), _label_values(labels), tree.where, task)


def _one_array(tree: Tree, name: str) -> np.ndarray:
    head = tree.head(name) if name else b""
    if idx.is_idx(head):
        return idx.parse(tree.read(name), tree.where)
    if npz.is_npy(head):
        return npz.parse(tree.read(name), tree.where)
    raise DataError(f"{tree.where} already holds labels or is no array; leave out labels=.")


def _label_values(labels: Any) -> Any:
    if not isinstance(labels, str | os.PathLike):
        return labels
    path = Path(labels)
    if not path.is_file():
        raise DataError(f"labels is {os.fspath(labels)!r}, which is no file.")
    tree = open_tree(path)
    return _one_array(tree, path.name)


def _require_fractions(seed: int, test: float, validation: float) -> None:
    for name, value in (("test_fraction", test), ("validation_fraction", validation)):
        if not 0 < value < 1:
            raise InputError(f"{name} is {value}; give a fraction between 0 and 1, such as 0.15.")
    if test + validation >= 1:
        raise InputError(
            f"test_fraction {test} and validation_fraction {validation} leave nothing to train on; "
            "their sum must be below 1."
        )
    if not isinstance(seed, int | np.integer) or not 0 <= seed < 2**32:
        raise InputError(f"seed is {seed!r}; give a whole number from 0 to {2**32 - 1}.")

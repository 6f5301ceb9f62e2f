"""Pictures with their labels in a table: a class, or a number to predict, for each.

    labels.csv       id,label               names with suffix or without, with folders or without
                     0a1b,cat
    train.txt        cats/1.jpg 0           without a line of names, apart by white space too
    ground_truth.csv image,MEL,NV,BCC       a column a class, 1 in that of the picture's
    metadata.csv, metadata.jsonl            Hugging Face's: file_name and what else is said
    ages.csv         file,age               numbers are predicted: quantities.py

The column of pictures is the one whose cells name them. The label is the column asked for, else one
that is called label, class, target or the like, else the only other one that could be; of a number
and a name of each class the name. A column split (train, val, test), the table's name or the
picture's folder says the part. Columns that are asked for as "a,b" are numbers, predicted together.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from depthwise.data.options import Options
from depthwise.data.pictures.decode import Allocate
from depthwise.data.problem import Problem
from depthwise.data.quantities import asks_for_classes
from depthwise.data.raw import Raw, encode_labels, part_hinted_at, part_of
from depthwise.data.readers.label_column import are_plain, targets_in, told_of
from depthwise.data.readers.label_sheets import Sheet, sheets_in
from depthwise.data.readers.pictures import (
    decode_all,
    odd_sizes,
    picture_names,
    picture_reader,
    placed,
    require_most,
)
from depthwise.data.readers.trees.path_finder import Asked, PathFinder
from depthwise.data.readers.trees.small_texts import part_in, stem
from depthwise.data.readers.trees.tree import Tree, left_out
from depthwise.data.tables.encoding import Cells
from depthwise.errors import DataError

__all__ = ["has_labels", "read"]

_NEARLY_ALL = 0.9  # of the pictures in class folders must be in a table that says otherwise


@dataclass
class _Said:
    """What a row says of a picture: the cells of its label, and its part."""

    what: str
    asked: Asked
    cells: list[str]
    part: int | None


def has_labels(tree: Tree, options: Options) -> bool:
    """Whether a table names the pictures and says more of them; of pictures in class folders,
    nearly all of them, in a column that is called a label, and not the same."""
    pictures = picture_names(tree)
    sheets = sheets_in(tree, pictures, options.label)
    if not sheets:
        return False
    folders = {item.name: item.class_name for item in placed(pictures)[0]}
    if len(set(folders.values())) < 2:
        return True
    said = _said(sheets)
    found = PathFinder(pictures).find(row.asked for row in said)
    labels = {p: row.cells[0] for row in said if (p := found[row.asked]) is not None}
    covered = len(labels) >= _NEARLY_ALL * len(pictures)
    named = all(sheet.is_named for sheet in sheets)
    return covered and named and any(labels[p] != folders.get(p) for p in labels)


def read(tree: Tree, allocate: Allocate, options: Options) -> Raw:
    """Raises DataError for a picture with two labels, for columns that all may be the label, and
    where no row has its picture."""
    pictures = picture_names(tree)
    sheets = sheets_in(tree, pictures, options.label)
    if not sheets:
        raise DataError(f"{tree.where} holds no table that names its pictures and their labels.")
    rows, problems = _by_picture(_said(sheets), pictures)
    if not rows:
        raise DataError(f"{tree.where}: none of the rows has its picture there.")
    names = list(rows)
    decoded = decode_all(len(names), picture_reader(tree, names), allocate, options)
    require_most(tree, names, decoded.broken)
    broken = [Problem("unreadable picture", names[i], why) for i, why in decoded.broken.items()]
    kept = [names[i] for i in decoded.kept.tolist()]
    raw = Raw("images", decoded.pixels, np.zeros(len(kept), np.int64), [])
    _label(raw, [rows[name] for name in kept], sheets, options)
    raw.names, raw.pixel_range = kept, decoded.levels
    parts = [part_in(p) if rows[p].part is None else rows[p].part for p in kept]
    if any(part is not None for part in parts):
        raw.parts = np.array([part or 0 for part in parts], np.int8)
    raw.problems = [*tree.problems, *problems, *broken, *odd_sizes(decoded), *raw.problems]
    raw.problems.append(_told(sheets))
    return raw


def _told(sheets: Sequence[Sheet]) -> Problem:
    first = sheets[0]
    detail = f"the label is {first.called}"
    if first.others:
        detail += f", not {', '.join(first.others)}; --label NAME (label=) takes another"
    return Problem("labels in a table", ", ".join(sheet.name for sheet in sheets), detail)


def _said(sheets: Sequence[Sheet]) -> list[_Said]:
    """What all rows say."""
    found = []
    for sheet in sheets:
        own = _part_of_name(sheet.name)
        for line, row in zip(sheet.lines, sheet.rows):
            part = own if sheet.split is None else part_of(row[sheet.split])
            asked = Asked(row[sheet.picture], sheet.name, part)
            what = f"{sheet.name}, line {line}"
            found.append(_Said(what, asked, [row[k] for k in sheet.label], part))
    return found


def _part_of_name(name: str) -> int | None:
    part = part_of(stem(name))
    return part_hinted_at(stem(name)) if part is None else part


def _by_picture(
    said: Sequence[_Said], pictures: Sequence[str]
) -> tuple[dict[str, _Said], list[Problem]]:
    """What is said of each picture that is there, and what was left out."""
    found = PathFinder(pictures).find(row.asked for row in said)
    rows: dict[str, _Said] = {}
    blank: list[str] = []
    twice: list[str] = []
    for row in said:
        picture = found[row.asked]
        if picture is None:
            continue
        if not all(row.cells):
            blank.append(row.what)
            continue
        other = rows.setdefault(picture, row)
        if other is not row:
            _require_alike(other, row, picture)
            twice.append(row.what)
    absent = [asked.said for asked, picture in found.items() if picture is None]
    bare = sorted(set(pictures) - set(rows))
    return rows, [
        *left_out("label without picture", absent, "in a row, but there is no such picture"),
        *left_out("row without label", blank, "left out"),
        *left_out("repeated row", twice, "says the same of its picture again, dropped"),
        *left_out("picture without label", bare, "in no row, left out"),
    ]


def _require_alike(first: _Said, second: _Said, picture: str) -> None:
    if first.cells != second.cells or first.part != second.part:
        raise DataError(
            f"{picture} has two labels: {', '.join(first.cells)!r} ({first.what}) and "
            f"{', '.join(second.cells)!r} ({second.what}); a picture has one."
        )


def _label(raw: Raw, rows: Sequence[_Said], sheets: Sequence[Sheet], options: Options) -> None:
    """Fills in labels and classes, or the numbers to predict."""
    first, places = sheets[0], [row.what for row in rows]
    if first.one_hot:
        chosen = [first.one_hot[_hot(row)] for row in rows]
        raw.labels, raw.classes = encode_labels(np.array(chosen), first.name)
        return
    columns = [[row.cells[k] for row in rows] for k in range(len(first.label))]
    task = "regression" if len(columns) > 1 else options.task
    targets = [
        None
        if asks_for_classes(task)
        else targets_in(Cells(texts, first.name, places), first.columns[k], task)
        for k, texts in zip(first.label, columns)
    ]
    if all(numbers is not None for numbers in targets):
        stacked = np.stack([numbers for numbers in targets if numbers is not None], axis=1)
        raw.task, raw.targets = "regression", stacked[:, 0] if len(targets) == 1 else stacked
    else:
        labels = columns[0]
        if are_plain(set(labels)):
            labels = [label.partition(".")[0] for label in labels]
        raw.labels, raw.classes = encode_labels(np.array(labels), first.name)
    raw.problems += told_of(first.name, raw)


def _hot(row: _Said) -> int:
    return next(k for k, cell in enumerate(row.cells) if float(cell) == 1)

"""Items written as a picture, an array or a table, by the name of the file.

    .png          pictures in a grid; of a model of images
    .npy  .npz    the items (N, C, H, W) or (N, D); .npz also the labels that were asked for
    .csv          a row an item; of a table with the columns that it was read with
    no suffix     a folder with a picture an item (reconstructions)

Nothing is written before everything is known to be sound, and what is there already is only
replaced where it is a picture that depthwise drew. Shapes: N items, C channels, H W image, D
features.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from depthwise.checkpoint import write_atomically
from depthwise.data.pictures.images import MAX_PIXELS
from depthwise.data.tables.columns import BOOLEAN, DATE, NUMBER, TEXT, Column, label_of, numbered
from depthwise.data.tables.dates import nearest_date
from depthwise.errors import InputError
from depthwise.host import require_folder
from depthwise.inference import drawing
from depthwise.inference.generating import Seen
from depthwise.inference.input_files import Told
from depthwise.models.estimator import Estimator

__all__ = [
    "place_pictures", "require_drawn", "require_out", "require_room", "write_reconstructions",
    "write_samples",
]  # fmt: skip

SUFFIXES = (".png", ".npy", ".npz", ".csv")


def require_out(out: str, model: Estimator, folder: bool = False) -> Path:
    """That `out` can be written, and says how; before anything is computed. Raises InputError."""
    path = Path(out)
    suffix = path.suffix.lower()
    if folder and (path.is_dir() or not suffix):
        _require_pictures(model, "a folder of pictures")
        require_folder(out)
        return path
    if suffix not in SUFFIXES:
        also = ", or name a folder" if folder else ""
        raise InputError(f"--out must end in {', '.join(SUFFIXES)}{also}; got {out}.")
    if suffix == ".png":
        _require_pictures(model, ".png")
    require_free(path)
    _require_writable_above(path)
    return path


def require_drawn(option: str, out: str, several: bool) -> Path:
    """That a picture of each item can be put there: one .png, or a folder for several items."""
    path = Path(out)
    if path.is_dir() or not path.suffix:
        require_folder(out, option)
        return path
    if path.suffix.lower() != ".png" or several:
        wanted = "name a folder: there are several files" if several else "end in .png"
        raise InputError(f"{option} must {wanted}; got {out}.")
    require_free(path, option)
    _require_writable_above(path, option)
    return path


def _require_writable_above(path: Path, option: str = "--out") -> None:
    above = next(place for place in path.absolute().parents if place.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise InputError(f"{option} {path}: {above} cannot be written; give another place.")


def require_free(path: Path, option: str = "--out") -> None:
    """That nothing is there, or a picture that depthwise drew."""
    if path.is_dir():
        raise InputError(f"{option} {path} is a folder; give a file.")
    if path.exists() and not drawing.is_ours(path):
        raise InputError(f"{option} {path} exists. Delete it, or give another name.")


def _require_pictures(model: Estimator, what: str) -> None:
    shape = tuple(model.input_shape_)
    if not drawing.shows(shape):
        items = " x ".join(map(str, shape))
        raise InputError(
            f"--out: {what} needs a model of images; this one's items are {items} numbers. "
            "Name a .csv, .npy or .npz file."
        )


def require_room(n: int, shape: tuple[int, ...], out: Path) -> None:
    """That n items are not too large a picture in a grid. Raises InputError."""
    if out.suffix.lower() != ".png" or out.is_dir():
        return
    height, width = drawing.grid_size(n, shape)
    if height * width > MAX_PIXELS:
        raise InputError(
            f"{n:,} items make a picture of {width:,} x {height:,} pixels, which is too large. "
            "Ask for fewer, or name an .npy or .npz file."
        )


# -- writing -----------------------------------------------------------------------------------


def write_samples(
    out: Path, items: np.ndarray, model: Estimator, labels: np.ndarray | None
) -> None:
    """New items (N, ...), a column a class in a picture where several were asked for."""
    if out.suffix.lower() == ".png":
        several = 0 if labels is None else len(np.unique(labels))
        columns = several if 1 < several <= 40 else None
        _write(out, drawing.png(drawing.grid(drawing.to_pixels(items), columns)))
        return
    _write(out, as_file(out.suffix.lower(), items, model, labels))


def write_reconstructions(out: Path, seen: Sequence[Seen], model: Estimator) -> None:
    """Items above what the model makes of them, as one picture or a folder of them; or the
    reconstructions alone as rows or arrays."""
    items = np.stack([entry.item for entry in seen])
    made = np.stack([entry.reconstruction for entry in seen])
    suffix = "" if out.is_dir() else out.suffix.lower()
    if suffix and suffix != ".png":
        _write(out, as_file(suffix, made, model, None))
        return
    above, below = drawing.to_pixels(items), drawing.to_pixels(made, like=items)
    if suffix:
        _write(out, drawing.png(drawing.paired(above, below)))
        return
    names = [out / f"{name}.png" for name in _names([entry.verdict for entry in seen])]
    for path in names:
        require_free(path)
    for path, item, reconstruction in zip(names, above, below):
        _write(path, drawing.png(drawing.paired(item[None], reconstruction[None])))


def place_pictures(out: Path, told: Sequence[Told], pictures: Sequence[bytes]) -> None:
    """PNGs, one an item: into one file where there is one item and `out` is no folder."""
    if out.suffix and not out.is_dir():
        if len(pictures) != 1:
            raise InputError(f"{out} is one picture, but there are {len(pictures)}: name a folder.")
        _write(out, pictures[0])
        return
    paths = [out / f"{name}.png" for name in _names(told)]
    for path in paths:
        require_free(path)
    for path, picture in zip(paths, pictures, strict=True):
        _write(path, picture)


def _names(told: Sequence[Told]) -> list[str]:
    """A file name an item: that of its file, its row, and a number where two would be the same."""
    names: dict[str, None] = {}  # in order
    copies: dict[str, int] = {}
    for entry in told:
        name = plain = Path(entry.file).stem + ("" if entry.row is None else f"-{entry.row}")
        while name in names:
            copies[plain] = copies.get(plain, 1) + 1
            name = f"{plain}-copy{copies[plain]}"
        names[name] = None
    return list(names)


def as_file(suffix: str, items: np.ndarray, model: Estimator, labels: np.ndarray | None) -> bytes:
    """Items (N, ...) as the bytes of an .npy, .npz or .csv file."""
    if suffix == ".csv":
        return _rows(items, model.columns_, labels).encode("utf-8")
    buffer = io.BytesIO()
    if suffix == ".npy":
        np.save(buffer, items, allow_pickle=False)
    elif labels is None:
        np.savez(buffer, x=items)
    else:
        np.savez(buffer, x=items, y=labels)
    return buffer.getvalue()


def _rows(items: np.ndarray, columns: Sequence[Column] | None, labels: np.ndarray | None) -> str:
    """A line of names, then one an item: as the table that was learnt from, else x1, x2, ..."""
    flat = items.reshape(len(items), -1)
    if columns is None:
        names = [f"x{k + 1}" for k in range(flat.shape[1])]
        cells = [[f"{value:.7g}" for value in row] for row in flat]
    else:
        names = [column.name for column in columns if column.width]
        cells = [_cells(row, columns) for row in flat]
    if labels is not None:
        names.append((label_of(columns) if columns else None) or "label")
        cells = [[*row, str(label)] for row, label in zip(cells, labels.tolist())]
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    headless = columns is not None and numbered(columns)
    writer.writerows(cells if headless else [names, *cells])
    return out.getvalue()


def _cells(row: np.ndarray, columns: Sequence[Column]) -> list[str]:
    """One item's features (D,) as the cells they were made of; of a text its likeliest value."""
    cells, place = [], 0
    for column in columns:
        part = row[place : place + column.width]
        place += column.width
        if column.kind == NUMBER:
            cells.append(_number(float(part[0]), column))
        elif column.kind == TEXT:
            cells.append(column.values[int(part.argmax())])
        elif column.kind == BOOLEAN:
            cells.append("true" if part[0] >= 0.5 else "false")
        elif column.kind == DATE:
            cells.append(nearest_date(column, part))
    return cells


def _number(feature: float, column: Column) -> str:
    """As the column's cells are written, with what was subtracted."""
    digits = f"{feature + column.offset:.{15 if column.offset else 7}g}"
    return digits.replace(".", ",") if column.decimal == "," else digits


def _write(path: Path, data: bytes) -> None:
    write_atomically(path, lambda scratch: scratch.write_bytes(data))

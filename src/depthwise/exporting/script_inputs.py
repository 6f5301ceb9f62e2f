"""How an exported file's script reads its arguments: photos, rows of a table, or arrays.

The code here is text that goes into the script, so that it runs without depthwise; tests hold it to
what data/pictures/images.py and data/tables/encoding.py do. Where it cannot (texts, clips), the
script takes arrays alone and says so; of dates it reads those with the year first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from depthwise.data.tables.numbers import CURRENCY

__all__ = ["Reading", "reading_of"]


class Reading(NamedTuple):
    """What a script takes, an example of it, what it needs besides, the functions it defines, and
    the expression that gives the items (N, ...) of `argument`."""

    takes: str
    example: str
    needs: tuple[str, ...]
    code: str
    call: str


ARRAYS = "np.load(argument)"

PICTURES = '''

def read(argument):
    """Items of an array, or a picture: upright, alpha on white, squeezed to the model's size."""
    if argument.endswith(".npy"):
        return np.load(argument)
    from PIL import Image
    channels, height, width = about["input_shape"]
    image = Image.open(argument)
    turn = image.getexif().get(0x0112, 1) if "exif" in image.info else 1
    if image.format in ("JPEG", "MPO"):  # let the decoder itself shrink large photographs
        image.draft(image.mode, (height, width) if 5 <= turn <= 8 else (width, height))
    image.load()
    if image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (255,) * 4), image)
    elif image.mode[0] in "IF":  # 16-bit levels, or fractions 0..1
        levels = np.asarray(image)
        if about.get("pixel_range"):  # the scale of the data that were learnt from
            low, high = about["pixel_range"]
            scaled = (levels.astype(float) - low) * (255 / (high - low))
            levels = np.floor(np.clip(scaled, 0, 255) + 0.5)
        elif image.mode == "F":
            scale = 255 if 0 <= levels.min() <= levels.max() <= 1 else 1
            levels = np.rint(np.clip(levels * scale, 0, 255))
        else:
            levels = (np.clip(levels.astype(int), 0, 65535) + 128) // 257
        image = Image.fromarray(levels.astype(np.uint8))
    image = image.convert("L" if channels == 1 else "RGB")
    if 2 <= turn <= 8:  # Image.Transpose: mirrored, turned
        image = image.transpose({2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}[turn])
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=3.0)
    pixels = np.asarray(image)
    return (pixels[None] if channels == 1 else pixels.transpose(2, 0, 1))[None]


'''

ROWS = '''

def read(argument):
    """Items of an array, or the rows of a table, or one row: cells with a separator between."""
    if argument.endswith(".npy"):
        return np.load(argument)
    import csv, io
    text = Path(argument).read_text("utf-8-sig") if Path(argument).is_file() else argument
    columns = about["columns"]
    features = [c for c in columns if c["kind"] in ("number", "boolean", "date", "text")]
    line, marks = text.split("\\n", 1)[0], "\\t,;|"
    if ";" in line and any(c.get("decimal") == "," for c in features):
        marks = ";"
    separator = max(marks, key=line.count)
    rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator) if row]
    if not rows or any(len(row) != len(rows[0]) for row in rows):
        sys.exit(f"{argument}: expected rows of a table, each with as many cells as the first.")
    first = [cell.strip() for cell in rows[0]]
    if all(c["name"] in first for c in features):
        places = [first.index(c["name"]) for c in features]
        rows = rows[1:]
    else:  # without a line of names: all columns, all but the label, or only those that count
        unlabelled = [c for c in columns if c["kind"] != "label"]
        kept = next((k for k in (columns, unlabelled, features) if len(k) == len(first)), None)
        if kept is None:
            names = ", ".join(c["name"] for c in features)
            sys.exit(f"{argument} has {len(first)} columns; the model takes {names}.")
        places = [kept.index(c) for c in features]
    return np.array([encoded(row, features, places) for row in rows], np.float32)


def encoded(row, features, places):
    """A row's cells as numbers: of blanks the training part's median, of texts one of values."""
    values = []
    for column, place in zip(features, places):
        cell = row[place].strip()
        if column["kind"] == "text":
            values += [float(cell == value) for value in column["values"]]
            if cell and cell not in column["values"]:
                print(f"{cell!r} in column {column['name']!r} is none of the known values",
                      file=sys.stderr)
        elif cell.lower() in ("", "na", "n/a", "nan", "null", "none", "?"):
            values += column["medians"] if column["kind"] == "date" else [column["median"]]
        elif column["kind"] == "date":
            values += parts_of(cell, column)
        else:
            truths = {"true": 1.0, "false": 0.0} if column["kind"] == "boolean" else {}
            known = cell.lower() in truths
            number = truths[cell.lower()] if known else number_of(cell, column)
            values.append(number - column.get("offset", 0.0))
    return values


def number_of(cell, column):
    """A number as people write it: 1,234.5 or 1.234,5 by the column's mark, $3, 3 EUR, (3), 45%."""
    import re
    plain = re.sub("[ \\u2019\\u00a0\\u202f\\u2009']", "", cell).replace("\\u2212", "-")
    found = re.fullmatch(FORM, plain)
    digits, mark = found[4] if found else "", column.get("decimal", ".")
    parting = "," if mark == "." else "."
    groups = rf"[1-9]\\d{{0,2}}([{parting}]\\d{{3}})+([{mark}]\\d*)?"
    if parting in digits and re.fullmatch(groups, digits):
        digits = digits.replace(parting, "")
    if not digits or (found[2] and found[3]) or digits.count(".") + digits.count(",") > 1:
        sys.exit(f"{cell!r} in column {column['name']!r} is no number.")
    minus = "-" in (found[2], found[3]) or found[1] == "("
    return float(digits.replace(",", ".")) * (-1 if minus else 1)


def parts_of(cell, column):
    """The parts of a date, 2024-02-29 or 2024-02-29 14:30:05; the time as it is written."""
    from datetime import date, datetime, timedelta
    try:
        when = datetime.fromisoformat(cell.replace("/", "-")).replace(tzinfo=None)
    except ValueError:
        sys.exit(f"{cell!r} in column {column['name']!r} is no date such as 2024-02-29.")
    days = (when.date() - date.fromisoformat(column["earliest"])).days
    midnight = datetime(when.year, when.month, when.day)
    time = float(np.float32((when - midnight) / timedelta(days=1)))
    parts = {"year": when.year, "month": when.month, "weekday": when.weekday(), "hour": when.hour}
    return [{**parts, "elapsed": days + time}[part] for part in column["parts"]]


'''

ROWS += f'FORM = r"(\\(?)([+-]?)(?:{CURRENCY})?([+-]?)'
ROWS += r"([\d.,]*\d[.,]?(?:[eE][+-]?\d+)?)%?"
ROWS += f'(?:{CURRENCY})?\\)?"\n\n'

NUMBERS = '''

def read(argument):
    """Items of an array, or rows of numbers in a file, or one row: "5.1,3.5,1.4"."""
    if argument.endswith(".npy"):
        return np.load(argument)
    text = Path(argument).read_text("utf-8-sig") if Path(argument).is_file() else argument
    separator = max("\\t,;|", key=text.split("\\n", 1)[0].count)
    lines = text.replace("\\r\\n", "\\n").replace("\\r", "\\n").split("\\n")
    rows = [line.split(separator) for line in lines if line.strip()]
    if rows and not rows[0][0].strip().lstrip("+-.").replace(".", "")[:1].isdigit():
        rows = rows[1:]  # a line of names
    wide = about["input_shape"][0]
    if not rows or any(len(row) != wide for row in rows):
        sys.exit(f"{argument}: the model takes rows of {wide} numbers.")
    try:
        return np.array(rows, np.float32)
    except ValueError as error:
        sys.exit(f"{argument}: {error}; the model takes numbers only, and no blank cells.")


'''

KNOWN = ("number", "boolean", "date", "text", "label", "left out")


def reading_of(about: Mapping[str, Any]) -> Reading:
    """How a script for this model reads its arguments."""
    shape, dtype, columns = about["input_shape"], about["input_dtype"], about.get("columns")
    if dtype == "uint8" and len(shape) == 3 and shape[0] in (1, 3):
        return Reading(
            "photos, or raw items", "photo.jpg", ("Pillow for photos",), PICTURES, "read(argument)"
        )
    if dtype == "int64" or len(shape) != 1:
        return Reading("raw items", "items.npy", (), "", ARRAYS)
    if columns is None:
        return Reading("rows of numbers", "rows.csv", (), NUMBERS, "read(argument)")
    odd = [column for column in columns if column["kind"] not in KNOWN]
    if odd:
        column = f"column {odd[0]['name']!r} is a {odd[0]['kind']}".replace('"', "'")
        takes = f"encoded rows ({column}, which only depthwise encodes)"
        return Reading(takes, "items.npy", (), "", ARRAYS)
    return Reading("rows of a table", "rows.csv", (), ROWS, "read(argument)")

"""Files of records that are no CSV: JSON, a JSON object a line, Parquet, Feather, Excel, ARFF.

    [{"a": 1, "label": "x"}, ...]             JSON: a list of records; also {"data": [...]}, and
    {"a": {"0": 1}, ...}                      what pandas writes: by columns, or "split"
    {"a": 1, "label": "x"}                    an object a line (.jsonl, .ndjson)
    .parquet, .feather                        with pyarrow          .xlsx    with openpyxl
    @attribute a numeric ... @data            ARFF, sparse rows too

Each becomes columns of cells, which are what a CSV of them would hold.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from depthwise.data.tables.delimited import decoded, lines_in
from depthwise.data.tables.frames import Frame, as_frame
from depthwise.errors import DataError, MissingExtraError

__all__ = ["KINDS", "as_csv", "columns_in", "is_records", "written"]

EXTRA = 'pip install "depthwise[tables]"'
_LISTS = ("data", "rows", "records", "items", "examples", "train")  # keys of a list of records
_ATTRIBUTE = re.compile(r"(?i)@attribute\s+('(?:[^'\\]|\\.)*'|\"[^\"]*\"|\S+)\s+(.+)")
_CELL = re.compile(r"\s*('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|[^,]*?)\s*,")


def is_records(name: str) -> bool:
    """Whether a file is of one of these kinds, by its name."""
    return PurePosixPath(name.lower()).suffix in KINDS


def columns_in(name: str, data: bytes, where: str) -> tuple[list[str] | None, list[list[str]]]:
    """The names of the columns, or None where the first row may be them, and the rows of cells.

    Raises DataError for a file that is none of its kind, and MissingExtraError.
    """
    return KINDS[PurePosixPath(name.lower()).suffix](data, where)


def written(columns: Sequence[str] | None, rows: Sequence[Sequence[str]]) -> bytes:
    """A CSV file of these, every cell quoted."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n")
    if columns is not None:
        writer.writerow(columns)
    writer.writerows(rows)
    return out.getvalue().encode("utf-8", "replace")


def as_csv(name: str, data: bytes, where: str) -> bytes:
    """A file of records as the CSV that it would be written to. Raises as `columns_in`."""
    return written(*columns_in(name, data, where))


_Rows = tuple[list[str] | None, list[list[str]]]


def _of_frame(frame: Frame) -> _Rows:
    columns = [frame.column(place) for place in range(len(frame.columns))]
    return frame.columns, [list(row) for row in zip(*columns)]


def _json(data: bytes, where: str) -> _Rows:
    text, _ = decoded(data, where)
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError) as error:
        if lines_in(text)[1:]:
            return _json_lines(data, where)
        raise DataError(f"{where} is no sound JSON ({error}).") from None
    return _of_frame(_frame_of_json(whole, where))


def _frame_of_json(whole: Any, where: str) -> Frame:
    if isinstance(whole, Mapping):
        if isinstance(whole.get("columns"), list) and isinstance(whole.get("data"), list):
            return _of_split(whole["columns"], whole["data"], where)
        found = next((whole[k] for k in _LISTS if _are_records(whole.get(k))), None)
        lists = [value for value in whole.values() if _are_records(value)]
        found = lists[0] if found is None and len(lists) == 1 else found
        if found is None and whole and all(isinstance(v, dict | list) for v in whole.values()):
            return _by_columns(whole, where)
        whole = found
    if _are_records(whole):
        return as_frame([*whole], where)
    raise DataError(
        f"{where} holds no list of records; expected one like "
        '[{"text": "so good", "label": "pos"}, ...].'
    )


def _are_records(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, dict) for v in value)


def _of_split(names: Sequence[Any], rows: Sequence[Any], where: str) -> Frame:
    if any(not isinstance(row, list) or len(row) != len(names) for row in rows):
        raise DataError(f"{where}: a row of data has not as many cells as there are columns.")
    return as_frame([dict(zip(map(str, names), row)) for row in rows], where)


def _by_columns(whole: Mapping[str, Any], where: str) -> Frame:
    """{"a": {"0": 1, "1": 2}} or {"a": [1, 2]}."""
    columns = {k: [*v.values()] if isinstance(v, dict) else v for k, v in whole.items()}
    keys = [[*v] for v in whole.values() if isinstance(v, dict)]
    alike = all(k == keys[0] for k in keys) and len({*map(len, columns.values())}) == 1
    if not alike:
        raise DataError(f"{where}: its columns are not of one length; give a list of records.")
    return as_frame([dict(zip(columns, row)) for row in zip(*columns.values())], where)


def _json_lines(data: bytes, where: str) -> _Rows:
    text, _ = decoded(data, where)
    return _of_frame(as_frame([*_objects(text, where)], where))


def _objects(text: str, where: str) -> Iterator[dict[str, Any]]:
    some = False
    for number, line in enumerate(lines_in(text), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where}, line {number} is no sound JSON ({error}).") from None
        if not isinstance(record, dict):
            raise DataError(f"{where}, line {number}: {line[:40]!r} is no object with names.")
        some = True
        yield record
    if not some:
        raise DataError(f"{where} is empty; expected a JSON object a line.")


def _parquet(data: bytes, where: str) -> _Rows:
    try:
        from pyarrow import parquet
    except ImportError:
        raise MissingExtraError(f"{where} is Parquet, which pyarrow reads: {EXTRA}.") from None
    try:
        return _of_frame(as_frame(parquet.read_table(io.BytesIO(data)), where))
    except (OSError, ValueError) as error:  # ArrowInvalid is a ValueError
        raise DataError(f"{where} is no sound Parquet file ({error!s:.80}).") from None


def _feather(data: bytes, where: str) -> _Rows:
    try:
        from pyarrow import feather
    except ImportError:
        raise MissingExtraError(f"{where} is Feather, which pyarrow reads: {EXTRA}.") from None
    try:
        return _of_frame(as_frame(feather.read_table(io.BytesIO(data)), where))
    except (OSError, ValueError) as error:
        raise DataError(f"{where} is no sound Feather file ({error!s:.80}).") from None


def _excel(data: bytes, where: str) -> _Rows:
    """The first sheet that has cells."""
    try:
        import openpyxl
    except ImportError:
        raise MissingExtraError(f"{where} is Excel, which openpyxl reads: {EXTRA}.") from None
    try:
        book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
    except Exception as error:  # zipfile's, KeyError and its own
        raise DataError(f"{where} is no sound .xlsx file ({error!s:.80}).") from None
    for sheet in book.worksheets:
        rows = [[_text(cell) for cell in row] for row in sheet.iter_rows(values_only=True)]
        rows = [row for row in rows if any(row)]
        if rows:
            return None, rows
    raise DataError(f"{where} has no cells in any sheet.")


def _old_excel(data: bytes, where: str) -> _Rows:
    raise DataError(f"{where} is Excel's format of before 2007; save it as .xlsx or .csv.")


def _text(cell: Any) -> str:
    if cell is None:
        return ""
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15:
        return str(int(cell))
    return str(cell).removesuffix(" 00:00:00")


def _arff(data: bytes, where: str) -> _Rows:
    text, _ = decoded(data, where)
    names: list[str] = []
    rows: list[list[str]] = []
    begun = False
    for number, line in enumerate(lines_in(text), 1):
        line = line.strip()
        if not line or line.startswith("%"):
            continue
        if begun:
            rows.append(_arff_row(line, names, f"{where}, line {number}"))
        elif found := _ATTRIBUTE.fullmatch(line):
            names.append(_unquoted(found[1]))
        elif line.lower().startswith("@data"):
            begun = True
        elif not line.lower().startswith("@relation"):
            raise DataError(f"{where}, line {number}: {line[:40]!r} is no part of an ARFF header.")
    if not rows:
        raise DataError(f"{where} has no rows behind @data.")
    return names, rows


def _arff_row(line: str, names: Sequence[str], where: str) -> list[str]:
    """Its cells, ? where one is missing; of a sparse row {1 X, 3 Y} 0 for the others."""
    if line.startswith("{") and line.endswith("}"):
        row = ["0"] * len(names)
        for cell in filter(None, _cells(line[1:-1])):
            place, _, value = cell.partition(" ")
            if not place.isdigit() or int(place) >= len(names):
                raise DataError(f"{where}: {cell[:40]!r} is no attribute's number and value.")
            row[int(place)] = _unquoted(value.strip())
        return row
    row = [_unquoted(cell) for cell in _cells(line)]
    if len(row) != len(names):
        raise DataError(f"{where} has {len(row)} cells, for {len(names)} attributes.")
    return row


def _cells(line: str) -> list[str]:
    return [found[1] for found in _CELL.finditer(line + ",")]


def _unquoted(cell: str) -> str:
    if len(cell) > 1 and cell[0] == cell[-1] and cell[0] in "'\"":
        return re.sub(r"\\(.)", r"\1", cell[1:-1])
    return cell


KINDS: dict[str, Callable[[bytes, str], _Rows]] = {  # the surest first
    ".parquet": _parquet,
    ".pq": _parquet,
    ".feather": _feather,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".xlsx": _excel,
    ".xlsm": _excel,
    ".xls": _old_excel,
    ".arff": _arff,
    ".json": _json,
}

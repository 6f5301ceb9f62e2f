"""What a measured machine's tables must hold, checked before anything is read from them: they come
from a cache, or from a file that somebody else wrote.

    {"tables": {precision: {threads: {"operators": grids and curves, "gains": {...}, "spread": s}}},
     "busy": whether other work held the cores}

A grid is {"widths", "rows", "gflops"}, a curve {"bytes", "seconds"}: calibration.py says of what.
"""

import math
from collections.abc import Mapping
from itertools import product
from typing import Any

from depthwise.errors import InputError

LAYOUTS, MANY = ("first", "last"), ("single", "batched")
CURVES = ("elementwise", "pool", "reduction")


def _roads(convolutions: tuple[str, ...], pointwise: tuple[str, ...]) -> tuple[str, ...]:
    spatial = [f"conv {way}" for way in convolutions] + [f"depthwise {many}" for many in MANY]
    laid_out = [f"{name} {layout}" for name, layout in product(spatial, LAYOUTS)]
    return (*laid_out, *(f"pointwise {way}" for way in pointwise), "linear")


GRIDS: dict[str, tuple[str, ...]] = {
    "fp32": _roads(("native", "library", "batched"), ("native", "batched")),
    "bf16": _roads(("library", "batched"), ("library", "batched")),
    "int8": (
        *(f"{kind} {many}" for kind in ("conv", "pointwise", "depthwise") for many in MANY),
        "linear",
    ),
}


def checked(value: Any, where: str) -> dict[str, Any]:
    """The calibration as it is, if predictions can be made from it. Raises InputError that says
    where it is wrong."""
    if not isinstance(value, Mapping):
        raise InputError(f"{where}: calibration must be a table; got {value!r}.")
    for precision, by_threads in _table(value.get("tables", {}), where, "tables").items():
        if precision not in GRIDS:
            raise InputError(f"{where}: calibration has no precision {precision!r}.")
        for threads, table in _table(by_threads, where, precision).items():
            path = f"{precision}.{threads}"
            if not str(threads).isdigit() or int(threads) < 1:
                raise InputError(f"{where}: calibration {path}: threads must be a number.")
            _check(_table(table, where, path), precision, where, path)
    return dict(value)


def _check(table: Mapping[str, Any], precision: str, where: str, path: str) -> None:
    operators = _table(table.get("operators"), where, f"{path}.operators")
    for name in GRIDS[precision]:
        _check_grid(_table(operators.get(name), where, f"{path}.{name}"), where, f"{path}.{name}")
    for name in (*CURVES, *(("norm",) if precision != "int8" else ())):
        curve = _table(operators.get(name), where, f"{path}.{name}")
        sizes = _rising(curve.get("bytes"), where, f"{path}.{name}.bytes")
        if len(_positive(curve.get("seconds"), where, f"{path}.{name}.seconds")) != len(sizes):
            raise InputError(f"{where}: calibration {path}.{name}: bytes and seconds differ.")
    numbers = [operators.get("view_seconds"), operators.get("run_seconds", 0.0)]
    numbers += [table.get("spread", 1.0)]
    gains = _table(table.get("gains", {}), where, f"{path}.gains")
    for regime in gains:
        numbers += _table(gains[regime], where, f"{path}.gains.{regime}").values()
    if not all(_is_number(n) and n >= 0 for n in numbers) or table.get("spread", 1.0) < 1:
        raise InputError(f"{where}: calibration {path} holds a number that cannot be.")


def _check_grid(grid: Mapping[str, Any], where: str, path: str) -> None:
    widths = _rising(grid.get("widths"), where, f"{path}.widths")
    rows = _rising(grid.get("rows"), where, f"{path}.rows")
    lines = grid.get("gflops")
    if not isinstance(lines, list) or len(lines) != len(widths):
        raise InputError(f"{where}: calibration {path}.gflops must be a line for each width.")
    if any(len(_positive(line, where, f"{path}.gflops")) != len(rows) for line in lines):
        raise InputError(f"{where}: calibration {path}.gflops must be a number for each row.")


def _table(value: Any, where: str, path: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InputError(f"{where}: calibration {path} must be a table.")
    return value


def _positive(value: Any, where: str, path: str) -> list[float]:
    if not isinstance(value, list) or not value or not all(_is_number(n) and n > 0 for n in value):
        raise InputError(f"{where}: calibration {path} must be a list of numbers above 0.")
    return value


def _rising(value: Any, where: str, path: str) -> list[float]:
    numbers = _positive(value, where, path)
    if sorted(set(numbers)) != numbers:
        raise InputError(f"{where}: calibration {path} must rise from number to number.")
    return numbers


def _is_number(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value)

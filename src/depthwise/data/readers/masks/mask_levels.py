"""What the values of grey masks mean where no list of classes says it, or only in part.

    0 1 2 ... [255]       numbers of classes; 255 is ignored where there are others
    0 255                 background and foreground
    0 127 254, 0 128 255  few levels far apart: each a class, 255 too
    0 1 2 3 ... 254 255   mostly black and white, with soft edges: foreground from 128 on
                          (also of few levels, more than three)
    any other             an error: nothing says what they mean

A list of as many classes as there are levels names them in their order. `--format masks:numbers`,
`masks:levels` or `masks:threshold` says which it is.
"""

from collections.abc import Sequence

import numpy as np

from depthwise.data.dataset import IGNORE
from depthwise.data.options import other_reading
from depthwise.data.problem import Problem
from depthwise.data.readers.masks.mask_classes import MaskClasses
from depthwise.errors import DataError

__all__ = ["meaning_of"]

_DENSE = 4  # numbers of classes leave no more than three of four unused,
_SMALL = 32  # or are small
_FEW_LEVELS = 16
_DARK, _BRIGHT = 16, 240  # black is below the one, white above the other,
_SOFT, _SOFT_FEW = 0.2, 0.1  # and no more of the pixels than this between; of few levels
_FOREGROUND = 128
Meaning = tuple[MaskClasses, np.ndarray, list[Problem]]


def meaning_of(
    table: MaskClasses | None, pixels: np.ndarray, names: Sequence[str], asked: Sequence[str] = ()
) -> Meaning:
    """The classes, the code int16 (256,) of each value (-1 of one that means nothing), and what was
    made of the values. pixels: int64 (N, 256), how many of mask i have each value.

    Raises DataError for masks of two kinds, and for values that no reading fits.
    """
    present = np.flatnonzero(pixels.any(axis=0)).tolist()
    asked = [reading for reading in asked if reading in _READINGS]
    if not asked:
        _require_one_kind(pixels, names)
    kind = next(iter(asked), None) or _kind(pixels, present)
    if table is not None and not asked and not _are_levels_of(table, kind, present):
        found: Meaning = table, table.codes(), []
    else:
        if kind == "unknown":
            raise _unknown(present, names)
        found = _READINGS[kind](table, present, bool(asked))
    if not found[0].kept:
        raise DataError("the masks hold no class but what is to be ignored; name some classes.")
    return found


def _are_levels_of(table: MaskClasses, kind: str, present: Sequence[int]) -> bool:
    """Whether a list only names classes in order, and there are as many levels."""
    plain = table.colours is None and table.values == list(range(len(table.values)))
    levels = {"levels": len(present), "threshold": 2}.get(kind)
    return plain and levels == len(table.names)


def _kind(pixels: np.ndarray, present: Sequence[int]) -> str:
    """Which reading fits the values that are present, by the rules at the top."""
    numbers = [value for value in present if value != IGNORE]
    if [*present] == [0, 255]:
        return "levels"
    most = max(numbers, default=0)
    if most < max(_SMALL, min(_DENSE * len(numbers), _BRIGHT)):
        return "numbers"
    share = pixels.sum(axis=0) / pixels.sum()
    between = 1 - share[:_DARK].sum() - share[_BRIGHT:].sum()
    few = len(present) <= _FEW_LEVELS
    black_and_white = share[:_DARK].sum() > 0 and share[_BRIGHT:].sum() > 0
    if black_and_white and len(present) > 3 and between < (_SOFT_FEW if few else _SOFT):
        return "threshold"
    return "levels" if few else "unknown"


def _numbers(table: MaskClasses | None, present: Sequence[int], asked: bool) -> Meaning:
    problems = []
    if table is None:
        most = max((value for value in present if value != IGNORE), default=-1)
        values = list(range(most + 1))
        table = MaskClasses("", values, [str(value) for value in values], None)
        detail = "no classes.txt, so they are called by their numbers"
        problems.append(Problem("no class names", "", detail))
    if IGNORE in present and not asked and IGNORE not in table.values:
        taken = f"{IGNORE} is neither learnt nor scored"
        detail = other_reading(taken, "masks", "levels", "makes it a class")
        problems.append(Problem("values of masks", "", detail))
    return table, table.codes(), problems


def _levels(table: MaskClasses | None, present: Sequence[int], asked: bool) -> Meaning:
    """Each value a class, in order."""
    names = [str(value) for value in present]
    if [*present] == [0, 255]:
        names = ["background", "foreground"]
    if table is not None:
        if len(table.names) != len(present):
            raise DataError(
                f"{table.where} names {len(table.names)} classes, but the masks hold "
                f"{len(present)} levels ({_few(present)}); number the classes in it."
            )
        names = table.names
    made = MaskClasses(table.where if table else "", [*present], [*names], None)
    codes = np.full(256, -1, np.int16)
    codes[255] = IGNORE
    codes[made.values] = IGNORE
    codes[[made.values[k] for k in made.kept]] = np.arange(len(made.kept))
    taken = f"each level ({_few(present)}) is a class"
    if [*present] == [0, 255] or asked:
        detail = taken
    else:
        other = f"takes them as numbers of classes{' and ignores 255' * (IGNORE in present)}"
        detail = other_reading(taken, "masks", "numbers", other)
    return made, codes, [Problem("values of masks", "", detail)]


def _threshold(table: MaskClasses | None, present: Sequence[int], asked: bool) -> Meaning:
    """Foreground from 128 on, whatever lies between."""
    names = table.names if table is not None else ["background", "foreground"]
    if len(names) != 2:
        raise DataError(
            f"{table.where if table else 'masks'}: {len(names)} classes are named, but the masks "
            f"hold {len(present)} levels; threshold them yourself, to one value a class."
        )
    made = MaskClasses(table.where if table else "", [0, 255], [*names], None)
    codes = (np.arange(256) >= _FOREGROUND).astype(np.int16)
    detail = f"{len(present)} levels, as soft edges have: foreground from {_FOREGROUND} on"
    if not asked:
        detail = other_reading(detail, "masks", "levels", "makes each a class")
    return made, codes, [Problem("values of masks", "", detail)]


_READINGS = {"numbers": _numbers, "levels": _levels, "threshold": _threshold}


def _require_one_kind(pixels: np.ndarray, names: Sequence[str]) -> None:
    """Raises DataError where some masks have 0 and 1 and others 0 and 255 for the same."""
    seen = pixels > 0
    only = ~seen[:, 2:255].any(axis=1)
    ones = np.flatnonzero(only & seen[:, 1] & ~seen[:, 255])
    whites = np.flatnonzero(only & seen[:, 255] & ~seen[:, 1])
    both = only & seen[:, 1] & seen[:, 255]
    if len(ones) and len(whites) and only.all() and not both.any():
        raise DataError(
            f"{names[ones[0]]} has the values 0 and 1, {names[whites[0]]} 0 and 255; write all "
            "masks alike, or say --format masks:numbers (255 is ignored) or masks:levels."
        )


def _unknown(present: Sequence[int], names: Sequence[str]) -> DataError:
    return DataError(
        f"the masks ({names[0]} and others) hold {len(present)} values ({_few(present)}), which "
        "are neither numbers of classes nor black and white; add a classes.txt, or say --format "
        "masks:threshold (foreground from 128 on), masks:levels or masks:numbers."
    )


def _few(values: Sequence[int]) -> str:
    shown = ", ".join(map(str, values[:6]))
    return shown + (" ..." if len(values) > 6 else "")

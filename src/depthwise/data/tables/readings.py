"""Options for tables that can be read in two ways, as words after the format:
`--format csv:no-header+keep=id`.

    header, no-header               the first line is names, is a row
    decimal-comma, decimal-point    what 1,234 and 1.234 mean
    na-class                        NA, N/A, null and the like are names of a class
    keep=COLUMN                     learn from it although it looks like row numbers or an id
    leave-out=COLUMN                do not learn from it
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from depthwise.data.tables.numbers import COMMA, POINT

__all__ = ["Readings", "asked"]


@dataclass(frozen=True)
class Readings:
    """header: whether the first line is names, None to look; decimal: "." or ",", None to look;
    na_class: whether NA may be a class; keep, leave_out: names of columns."""

    header: bool | None = None
    decimal: str | None = None
    na_class: bool = False
    keep: tuple[str, ...] = ()
    leave_out: tuple[str, ...] = ()

    @classmethod
    def of(cls, words: Sequence[str]) -> Readings:
        """Of words that are known to be such."""
        marks = {"decimal-comma": COMMA, "decimal-point": POINT}
        header = {"header": True, "no-header": False}
        return cls(
            next((header[word] for word in words if word in header), None),
            next((marks[word] for word in words if word in marks), None),
            "na-class" in words,
            _named(words, "keep="),
            _named(words, "leave-out="),
        )


def asked(word: str, column: str = "") -> str:
    """The option that asks for a reading, as it is typed: --format csv:keep=id."""
    return "--format " + shlex.quote(f"csv:{word}={column}" if column else f"csv:{word}")


def _named(words: Sequence[str], begin: str) -> tuple[str, ...]:
    return tuple(word.removeprefix(begin) for word in words if word.startswith(begin))

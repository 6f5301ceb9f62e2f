"""What the items of a data set are called, compactly: files by their names, rows by their numbers.

A million names are one string of bytes and an array of ends, not a million objects.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np

__all__ = ["ItemNames", "Names", "Rows", "compact", "of_arrays"]


@dataclass(frozen=True)
class Names:
    """The name of item i is `text[ends[i - 1] : ends[i]]`.

    text: uint8, UTF-8; ends: int64 (N,).
    """

    text: np.ndarray
    ends: np.ndarray

    @classmethod
    def of(cls, names: Sequence[str]) -> Names:
        encoded = [name.encode("utf-8", "surrogatepass") for name in names]
        ends = np.cumsum([len(each) for each in encoded], dtype=np.int64)
        return cls(np.frombuffer(b"".join(encoded), np.uint8), ends)

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, i: int) -> str:
        if not 0 <= i < len(self.ends):
            raise IndexError(i)
        begin = self.ends[i - 1] if i else 0
        return self.text[begin : self.ends[i]].tobytes().decode("utf-8", "surrogatepass")

    def __iter__(self) -> Iterator[str]:
        return (self[i] for i in range(len(self)))

    def to_arrays(self) -> dict[str, np.ndarray]:
        return {"text": self.text, "ends": self.ends}


@dataclass(frozen=True)
class Rows:
    """Rows of tables one after another: "row 17", or "test.csv, row 17" where there are several.

    files: of each run of rows its file, "" for a single one; firsts: the line number of its first
    row; counts: its rows.
    """

    files: tuple[str, ...]
    firsts: tuple[int, ...]
    counts: tuple[int, ...]

    @classmethod
    def of_lines(cls, tables: Iterable[tuple[str, Sequence[int]]]) -> Rows:
        """(file, line numbers of its rows, rising), where blank lines may lie between them."""
        files, firsts, counts = list[str](), list[int](), list[int]()
        for file, numbers in tables:
            lines = np.asarray(numbers, np.int64)
            begins = [0, *(1 + np.flatnonzero(np.diff(lines) != 1))] if len(lines) else []
            files += [file] * len(begins)
            firsts += [int(lines[k]) for k in begins]
            counts += np.diff([*begins, len(lines)]).tolist() if begins else []
        return cls(tuple(files), tuple(firsts), tuple(counts))

    @cached_property
    def _ends(self) -> list[int]:
        return list(accumulate(self.counts))

    def __len__(self) -> int:
        return self._ends[-1] if self.counts else 0

    def __getitem__(self, i: int) -> str:
        if not 0 <= i < len(self):
            raise IndexError(i)
        k = bisect_right(self._ends, i)
        row = i - (self._ends[k] - self.counts[k]) + self.firsts[k]
        return f"{self.files[k]}, row {row}" if self.files[k] else f"row {row}"

    def __iter__(self) -> Iterator[str]:
        return (self[i] for i in range(len(self)))

    def to_arrays(self) -> dict[str, np.ndarray]:
        return {"files": np.array(self.files), "firsts": np.array(self.firsts, np.int64),
                "counts": np.array(self.counts, np.int64)}  # fmt: skip


ItemNames = Names | Rows


def compact(names: Any) -> ItemNames | None:
    """Names that a reader gives: None, a list of them, or what is compact already."""
    return names if names is None or isinstance(names, Names | Rows) else Names.of(names)


def of_arrays(arrays: dict[str, np.ndarray]) -> ItemNames | None:
    """What `to_arrays` gave; None of nothing."""
    if "ends" in arrays:
        return Names(arrays["text"], arrays["ends"])
    if "files" not in arrays:
        return None
    return Rows(*(tuple(arrays[key].tolist()) for key in ("files", "firsts", "counts")))

"""A data frame of texts as the CSV that it would be written to."""

from __future__ import annotations

import csv
import io

from depthwise.data.problem import Problem
from depthwise.data.tables.frames import Frame

__all__ = ["FrameTree", "may_hold_texts"]

NAME = "frame.csv"
PROSE, LOOKED_AT = 15, 200  # characters a cell on average; cells that are looked at


def may_hold_texts(frame: Frame) -> bool:
    """Whether a column has cells as long as sentences are."""
    return any(
        frame.numbers(place) is None and _is_long(frame.head(place, LOOKED_AT))
        for place in range(len(frame.columns))
    )


def _is_long(texts: list[str]) -> bool:
    return sum(map(len, texts)) >= PROSE * max(1, len(texts))


class FrameTree:
    """A Tree of one file, which is written when it is first asked for."""

    def __init__(self, frame: Frame):
        self.where, self.problems = frame.where, list[Problem]()
        columns = [frame.column(place) for place in range(len(frame.columns))]
        out = io.StringIO(newline="")
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(frame.columns)
        writer.writerows(zip(*columns))
        self._bytes = out.getvalue().encode("utf-8", "replace")

    @property
    def sizes(self) -> dict[str, int]:
        return {NAME: len(self._bytes)}

    def read(self, name: str) -> bytes:
        return self._bytes

    def head(self, name: str) -> bytes:
        return self._bytes[:512]

    def stamp(self) -> str:
        return str(len(self._bytes))

"""What `inspect` found in a Dataset: one Finding an item or pair, the likeliest faults first.

Shapes: N items.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from depthwise.data.problem import Problem

__all__ = ["FIRST", "Finding", "Findings"]

FIRST = 10
LEAST_RATE = 0.0005  # of wrong labels, from which on it is told


@dataclass(frozen=True)
class Finding:
    """One likely fault.

    kind: "label error", "twin", "leak" (a twin in another part), "outlier" or "drift".
    items: positions in the Dataset; names: what these are called, files or rows.
    evidence: why, in one line; probability: that it is a fault; action: what to do about it;
    certain: whether it is so beyond doubt, as equal bytes are.
    """

    kind: str
    items: tuple[int, ...]
    names: tuple[str, ...]
    evidence: str
    probability: float
    action: str
    certain: bool = False

    def __str__(self) -> str:
        return f"{self.kind}: {' = '.join(self.names)}: {self.evidence}; {self.action}"


@dataclass(frozen=True)
class Findings:
    """What was found. rows: the likeliest first; problems: of reading and checking the data;
    noise_rate: the estimated share of wrong labels, None where it cannot be said; looked_at: by
    which embedding, "" where none was taken; unseen: what was not looked for, and why."""

    rows: list[Finding]
    problems: list[Problem] = field(default_factory=list)
    noise_rate: float | None = None
    looked_at: str = ""
    unseen: list[str] = field(default_factory=list)

    def of_kind(self, *kinds: str) -> list[Finding]:
        """The findings of these kinds, the likeliest first."""
        return [row for row in self.rows if row.kind in kinds]

    def first(self, most: int = FIRST) -> list[Finding]:
        """What to look at first: `most` findings, of every kind some."""
        by_kind = [self.of_kind(kind) for kind in dict.fromkeys(row.kind for row in self.rows)]
        chosen: list[Finding] = []
        for place in range(max(map(len, by_kind), default=0)):
            chosen += [rows[place] for rows in by_kind if place < len(rows)]
        return chosen[:most]

    def counts(self) -> dict[str, int]:
        """How many findings there are of each kind."""
        return {
            kind: len(self.of_kind(kind)) for kind in dict.fromkeys(row.kind for row in self.rows)
        }

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "findings": [asdict(row) for row in self.rows],
            "problems": [asdict(problem) for problem in self.problems],
            "noise_rate": self.noise_rate,
            "embedding": self.looked_at,
            "not_looked_for": self.unseen,
        }

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterable[str]:
        if not self.rows:
            if self.looked_at:
                yield "nothing more was found"
        else:
            found = ", ".join(f"{count:,} x {kind}" for kind, count in self.counts().items())
            yield f"found: {found}"
            yield "look at these first:"
            for row in self.first():
                yield f"  {row.probability:4.0%}  {row}"
        if self.noise_rate is not None:
            seen = f"about {self.noise_rate:.1%} of the labels are wrong"
            seen = seen if self.noise_rate >= LEAST_RATE else "no sign of wrong labels"
            yield (
                f"{seen} (where errors go to any class alike; those towards a class that looks "
                "alike cannot be seen)"
            )
        leaks = {row.items[-1] for row in self.of_kind("leak")}
        if leaks:
            yield f"{len(leaks):,} items of validation or test have a copy in training"
        yield from (f"not looked for: {each}" for each in self.unseen)

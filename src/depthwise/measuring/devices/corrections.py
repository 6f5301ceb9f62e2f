"""What a network takes beyond the sum of its operators timed alone, fitted to a few networks.

    seconds = sum_k gain_k * (sum of the seconds of operators of group k) + start * operators

Inside a network weights come from farther memory, and a call's code has been pushed out of the
nearest cache; so gains lie around 1 to 2. They are fitted for one item and for batches apart, by
non-negative least squares of relative errors (Lawson and Hanson 1974), held near 1 by a ridge:

    min_{g >= 0}  sum_i (g . x_i / t_i - 1)^2  +  PULL^2 sum_k (g_k - 1)^2

The interval: each network is predicted from the others, and the factor either way is that which
holds nine in ten of those errors, with the allowance for few networks of split conformal
prediction (Vovk et al. 2005): the ceil(0.9 (n + 1))-th smallest, the largest where there is none.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from depthwise.measuring.counting import Counts, Operation
from depthwise.measuring.devices import operators

GROUPS = ("conv", "pointwise", "depthwise", "linear", "norm", "move")
START_SECONDS = 1e-6  # the unit of "start"
PULL = 0.2
COVERAGE = 0.9
Gains = dict[str, float]
Table = dict[str, Any]
NEUTRAL: Gains = {**dict.fromkeys(GROUPS, 1.0), "start": 0.0}


@dataclass(frozen=True)
class Measured:
    """A network that was timed: seconds of one run of `batch` items."""

    name: str
    counts: Counts
    batch: int
    seconds: float

    @property
    def regime(self) -> str:
        return regime(self.batch)


def regime(batch: float) -> str:
    return "single" if batch == 1 else "batched"


def group(op: Operation) -> str:
    return op.kind if op.kind in GROUPS else "move"


def by_operator(
    counts: Counts, batch: float, table: Table, precision: str, threads: int
) -> list[float]:
    """Seconds of each operator of a run of `batch` items, corrected by the table's gains."""
    gains = {**NEUTRAL, **table.get("gains", {}).get(regime(batch), {})}
    run = operators.Run(batch, counts.batch, precision, threads, counts.weight_bytes)
    spent = []
    for op in counts.operations:
        alone = operators.seconds(op, run, table["operators"])
        start = START_SECONDS * gains["start"] if _starts(op, precision) else 0.0
        spent.append(gains[group(op)] * alone + start)
    return spent


def run_seconds(counts: Counts, batch: float, table: Table, precision: str, threads: int) -> float:
    """Of a whole run, what calling the runtime takes included."""
    called = float(table["operators"].get("run_seconds", 0.0))
    return called + sum(by_operator(counts, batch, table, precision, threads))


def fit(runs: Sequence[Measured], table: Table, precision: str, threads: int) -> Table:
    """The table with gains fitted to the runs, and the spread that their errors show."""
    bare = {"operators": table["operators"]}
    rows = [_features(run, bare, precision, threads) for run in runs]
    gains = {name: _gains(_chosen(runs, rows, name)) for name in ("single", "batched")}
    errors = [e for name in gains for e in _left_out(runs, rows, name)]
    return {**bare, "gains": gains, "spread": spread(errors)}


def spread(errors: Sequence[float]) -> float:
    """The factor that holds nine in ten of the errors, logarithms of ratios."""
    if not errors:
        return 1.5
    rank = math.ceil(COVERAGE * (len(errors) + 1))
    return math.exp(sorted(map(abs, errors))[min(rank, len(errors)) - 1])


def _features(run: Measured, table: Table, precision: str, threads: int) -> np.ndarray:
    """(G + 1,): seconds by group over the run's, and of starts; gains of 1 would add up to 1."""
    sums = dict.fromkeys((*GROUPS, "start"), 0.0)
    spent = by_operator(run.counts, run.batch, table, precision, threads)
    for op, seconds in zip(run.counts.operations, spent, strict=True):
        sums[group(op)] += seconds
        sums["start"] += START_SECONDS if _starts(op, precision) else 0.0
    called = float(table["operators"].get("run_seconds", 0.0))
    return np.array([*sums.values()]) / max(run.seconds - called, 0.1 * run.seconds)


def _chosen(runs: Sequence[Measured], rows: Sequence[np.ndarray], name: str) -> list[np.ndarray]:
    return [row for run, row in zip(runs, rows, strict=True) if run.regime == name]


def _gains(rows: Sequence[np.ndarray]) -> Gains:
    from scipy.optimize import nnls

    pull = PULL * np.eye(len(NEUTRAL))
    target = np.concatenate([np.ones(len(rows)), pull @ np.array([*NEUTRAL.values()])])
    found, _ = nnls(np.vstack([*rows, pull]), target)
    return dict(zip(NEUTRAL, found.tolist(), strict=True))


def _left_out(runs: Sequence[Measured], rows: Sequence[np.ndarray], name: str) -> list[float]:
    """log(predicted / measured) of each run by the gains of the other networks."""
    errors = []
    inside = [(run, row) for run, row in zip(runs, rows, strict=True) if run.regime == name]
    for run, row in inside:
        others = [r for other, r in inside if other.name != run.name]
        errors.append(math.log(max(1e-3, float(row @ np.array([*_gains(others).values()])))))
    return errors


def _starts(op: Operation, precision: str) -> bool:
    return op.kind != "view" and not operators.is_fused(op, precision)

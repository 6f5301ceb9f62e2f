"""How good predicted numbers are, in the units of what was predicted, with 95% intervals.

    e_i = p_i - y_i
    RMSE = sqrt(mean e_i^2)     MAE = mean |e_i|     R2 = 1 - sum e_i^2 / sum (y_i - mean y)^2

R2 is the share of the variance that is explained: 1 is perfect, 0 is what the mean of these very
items would get, below 0 is worse than that. Of several targets each figure is the mean of theirs,
as scikit-learn's `r2_score` has it. The intervals are those of DRAWS samples of the items with
replacement (Efron 1979), drawn once for all figures.

Shapes: N items, T targets, R draws.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["mae", "r2", "regression_report", "rmse"]

DRAWS, FEWEST_DRAWS = 1000, 200
AT_ONCE = 1 << 22  # numbers of a block of draws
ENDS = (2.5, 97.5)  # percentiles


def r2(truth: np.ndarray, predicted: np.ndarray) -> float:
    """The share of the variance that is explained, mean over targets: (N, T), (N, T) -> float.
    Of a target that does not vary it is 1 where all is right, else 0."""
    truth, predicted = _columns(truth), _columns(predicted)
    errors = ((predicted - truth) ** 2).sum(axis=0)
    return float(_explained(errors, ((truth - truth.mean(axis=0)) ** 2).sum(axis=0)).mean())


def rmse(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Root of the mean squared error, mean over targets: (N, T), (N, T) -> float."""
    return float(np.sqrt(((_columns(predicted) - _columns(truth)) ** 2).mean(axis=0)).mean())


def mae(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Mean absolute error, mean over targets: (N, T), (N, T) -> float, in the targets' units."""
    return float(np.abs(_columns(predicted) - _columns(truth)).mean(axis=0).mean())


def regression_report(truth: np.ndarray, predicted: np.ndarray, seed: int = 0) -> dict[str, Any]:
    """R2 as {"value", "low", "high"}, "rmse" and "mae" likewise within, "items", and where there
    are several targets "per_target", a dict each. (N,) or (N, T) each."""
    truth, predicted = _columns(truth), _columns(predicted)
    names = ("r2", "rmse", "mae")
    whole = dict(zip(names, _figures(np.ones((1, len(truth))), truth, predicted)))  # (1, T) each
    drawn = dict(zip(names, _drawn(truth, predicted, seed)))  # (R, T) each
    known = {n: _with_interval(whole[n].mean(axis=1), drawn[n].mean(axis=1)) for n in names}
    report = {**known.pop("r2"), "metric": "r2", **known, "items": len(truth)}
    if truth.shape[1] > 1:
        report["per_target"] = [
            {n: _with_interval(whole[n][:, t], drawn[n][:, t]) for n in names}
            for t in range(truth.shape[1])
        ]
    return report


def _columns(numbers: np.ndarray) -> np.ndarray:
    """(N,) or (N, T) -> float64 (N, T)."""
    values = np.asarray(numbers, dtype=np.float64)
    return values.reshape(len(values), -1)


def _explained(errors: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """1 - errors / spread, of any shape; where nothing varies 1 if there is no error, else 0."""
    flat = spread <= 0
    share = 1 - errors / np.where(flat, 1, spread)
    return np.where(flat, np.where(errors > 0, 0.0, 1.0), share)


def _figures(
    weights: np.ndarray, truth: np.ndarray, predicted: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """R2, RMSE and MAE (R, T) of items counted `weights` (R, N) times."""
    wrong, centred = predicted - truth, truth - truth.mean(axis=0)
    items = weights.sum(axis=1, keepdims=True)
    squares, sizes, sums, powers = (
        weights @ column for column in (wrong**2, abs(wrong), centred, centred**2)
    )
    rounding = 1e-12 * powers
    spread = powers - sums**2 / items
    spread = np.where(spread > rounding, spread, 0)
    return _explained(squares, spread), np.sqrt(squares / items), sizes / items


def _drawn(truth: np.ndarray, predicted: np.ndarray, seed: int) -> tuple[np.ndarray, ...]:
    """The figures (R, T) of as many samples of the items, drawn in blocks."""
    items = len(truth)
    draws = int(np.clip(AT_ONCE * 5 // items, FEWEST_DRAWS, DRAWS))
    step = max(1, AT_ONCE // items)
    random, even = np.random.default_rng(seed), np.full(items, 1 / items)
    blocks = [
        _figures(
            random.multinomial(items, even, size=min(step, draws - done)).astype(np.float64),
            truth,
            predicted,
        )
        for done in range(0, draws, step)
    ]
    return tuple(np.concatenate(parts) for parts in zip(*blocks))


def _with_interval(value: np.ndarray, drawn: np.ndarray) -> dict[str, float]:
    low, high = np.percentile(drawn, ENDS)
    return {"value": float(value[0]), "low": float(low), "high": float(high)}

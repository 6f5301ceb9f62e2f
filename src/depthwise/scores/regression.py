"""Regression metrics, in the targets' units, with 95% confidence intervals.

    e_i = p_i - y_i
    RMSE = sqrt(mean e_i^2)     MAE = mean |e_i|     R2 = 1 - sum e_i^2 / sum (y_i - mean y)^2

R2 is the share of the variance that is explained: 1 is perfect, 0 is what the mean of these very
items would get, below 0 is worse than that. Of several targets each figure is the mean of theirs,
as scikit-learn's `r2_score` has it. The intervals are those of DRAWS samples of the items with
replacement (Efron 1979), the same for all figures. Each is one function of truth, answers and
weights w (R, N), one row a resample.

A custom metric is any function where greater is better: metric(y_true, y_pred), or a scorer as
scikit-learn's make_scorer makes them.

Shapes: N items, T targets, R resamples.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin

from depthwise.errors import InputError
from depthwise.scores.custom import name_of

__all__ = [
    "ALIASES", "NUMBER_SCORES", "NumberScore", "mae", "number_score", "r2", "regression_report",
    "rmse",
]  # fmt: skip

DRAWS, FEWEST_DRAWS, CUSTOM_DRAWS = 1000, 200, 200
AT_ONCE = 1 << 22  # weights of a block of resamples
ENDS = (2.5, 97.5)  # percentiles
ALIASES = {
    "neg_root_mean_squared_error": "rmse",
    "root_mean_squared_error": "rmse",
    "neg_mean_absolute_error": "mae",
    "mean_absolute_error": "mae",
}
Of = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class NumberScore:
    """One row: `label` as people write it, `unit` of its Metric, what it is of (truth (N, T),
    answers (N, T), weights (R, N)) -> (R, T), and by what candidates are ranked: `sign` -1 where
    less is better."""

    name: str
    label: str
    unit: str
    of: Of
    sign: int = 1
    draws: int = DRAWS


def _explained_of(truth: np.ndarray, predicted: np.ndarray, w: np.ndarray) -> np.ndarray:
    centred = truth - truth.mean(axis=0)
    sums, powers = w @ centred, w @ centred**2
    spread = powers - sums**2 / w.sum(axis=1, keepdims=True)
    errors = w @ (predicted - truth) ** 2
    return _explained(errors, np.where(spread > 1e-12 * powers, spread, 0))


def _rmse_of(truth: np.ndarray, predicted: np.ndarray, w: np.ndarray) -> np.ndarray:
    return np.sqrt(w @ (predicted - truth) ** 2 / w.sum(axis=1, keepdims=True))


def _mae_of(truth: np.ndarray, predicted: np.ndarray, w: np.ndarray) -> np.ndarray:
    return np.asarray(w @ abs(predicted - truth) / w.sum(axis=1, keepdims=True))


NUMBER_SCORES = {
    "r2": NumberScore("r2", "R2", "R2", _explained_of),
    "rmse": NumberScore("rmse", "RMSE", "-RMSE", _rmse_of, sign=-1),
    "mae": NumberScore("mae", "MAE", "-mean error", _mae_of, sign=-1),
}


def r2(truth: np.ndarray, predicted: np.ndarray) -> float:
    """The share of the variance that is explained, mean over targets: (N, T), (N, T) -> float.
    Of a target that does not vary it is 1 where all is right, else 0."""
    return _value("r2", truth, predicted)


def rmse(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Root of the mean squared error, mean over targets: (N, T), (N, T) -> float."""
    return _value("rmse", truth, predicted)


def mae(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Mean absolute error, mean over targets: (N, T), (N, T) -> float, in the targets' units."""
    return _value("mae", truth, predicted)


def number_score(metric: str | Callable[..., Any] | None) -> NumberScore:
    """The row of a score by its name, or one made of a function; None: R2.

    Raises InputError for an unknown name, and for a function that takes no two arguments.
    """
    if metric is None:
        return NUMBER_SCORES["r2"]
    if callable(metric):
        return _made_of(metric)
    name = str(metric).lower().replace("-", "_").replace(" ", "_")
    name = ALIASES.get(name, name)
    if name not in NUMBER_SCORES:
        raise InputError(f"metric must be one of {', '.join(NUMBER_SCORES)}; got {metric!r}.")
    return NUMBER_SCORES[name]


def regression_report(
    truth: np.ndarray, predicted: np.ndarray, metric: Any = None, seed: int = 0
) -> dict[str, Any]:
    """ "value", "low" and "high" of `metric` (None: R2), its name as "metric", "items", "scores":
    R2, RMSE and MAE by name, each with its interval, and of several targets "per_target", a dict
    of these each. (N,) or (N, T) each."""
    asked = number_score(metric)
    truth, predicted = _columns(truth), _columns(predicted)
    found = {name: _scored(row, truth, predicted, seed) for name, row in NUMBER_SCORES.items()}
    whole, drawn = found.get(asked.name) or _scored(asked, truth, predicted, seed)
    report = {**_with_interval(whole.mean(axis=1), drawn.mean(axis=1)), "metric": asked.name}
    report |= {"items": len(truth), "scores": {n: _told(n, *rows) for n, rows in found.items()}}
    if truth.shape[1] > 1:
        report["per_target"] = [
            {n: _told(n, w[:, t : t + 1], d[:, t : t + 1]) for n, (w, d) in found.items()}
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


def _value(name: str, truth: np.ndarray, predicted: np.ndarray) -> float:
    truth, predicted = _columns(truth), _columns(predicted)
    return float(NUMBER_SCORES[name].of(truth, predicted, np.ones((1, len(truth)))).mean())


def _scored(
    row: NumberScore, truth: np.ndarray, predicted: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """(1, T) of the items, and (R, T) of as many samples of them, drawn in blocks."""
    items = len(truth)
    draws = int(np.clip(5 * AT_ONCE // items, FEWEST_DRAWS, row.draws))
    step = max(1, AT_ONCE // items)
    random, even = np.random.default_rng(seed), np.full(items, 1 / items)
    blocks = []
    for done in range(0, draws, step):
        weights = random.multinomial(items, even, size=min(step, draws - done))
        blocks.append(row.of(truth, predicted, weights.astype(np.float64)))
    return row.of(truth, predicted, np.ones((1, items))), np.concatenate(blocks)


def _told(name: str, whole: np.ndarray, drawn: np.ndarray) -> dict[str, Any]:
    label = {"name": NUMBER_SCORES[name].label}
    return label | _with_interval(whole.mean(axis=1), drawn.mean(axis=1))


def _with_interval(value: np.ndarray, drawn: np.ndarray) -> dict[str, float]:
    low, high = np.percentile(drawn, ENDS)
    return {"value": float(value[0]), "low": float(low), "high": float(high)}


# -- a score of one's own -------------------------------------------------------------------------


class _Answered(RegressorMixin, BaseEstimator):
    """A scikit-learn regressor that returns stored predictions: X holds the predictions."""

    def predict(self, X: np.ndarray) -> np.ndarray:
        return X


def _made_of(metric: Callable[..., Any]) -> NumberScore:
    name = name_of(metric)
    scorer = _takes_three(metric, name)

    def one(truth: np.ndarray, predicted: np.ndarray) -> float:
        y, p = (part[:, 0] if part.shape[1] == 1 else part for part in (truth, predicted))
        value = metric(_Answered(), p, y) if scorer else metric(y, p)
        try:
            return float(value)
        except (TypeError, ValueError):
            raise InputError(
                f"metric {name} must give one number; got {type(value).__name__}."
            ) from None

    def of(truth: np.ndarray, predicted: np.ndarray, w: np.ndarray) -> np.ndarray:
        places = [np.repeat(np.arange(len(row)), row.astype(np.int64)) for row in w]
        return np.array([[one(truth[chosen], predicted[chosen])] for chosen in places])

    return NumberScore(name, name, name, of, draws=CUSTOM_DRAWS)


def _takes_three(metric: Callable[..., Any], name: str) -> bool:
    """Whether the function is a scorer (estimator, X, y_true). Raises InputError for a function
    that takes fewer than two arguments."""
    try:
        known = list(inspect.signature(metric).parameters.values())
    except (TypeError, ValueError):
        known = []
    positional = [p for p in known if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if len(positional) < 2:
        raise InputError(
            f"metric {name} must take (y_true, y_pred) or, as a scorer of scikit-learn, "
            "(estimator, X, y_true)."
        )
    required = [p for p in positional if p.default is p.empty]
    return len(required) >= 3 or known[0].name == "estimator"

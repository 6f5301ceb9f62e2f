"""How much is lost by shipping the cheapest of those that validation items cannot tell from the
best, and how much is gained: simulated candidates of known error, the cheaper the worse.

    python benchmarks/promises/selecting.py [--repeats 400]

An item is as hard for all candidates with a chance of --shared, else hard for each by itself. Told
are the mean loss (points of accuracy over the best candidate's own) and the mean rung of the
winner, 0 the cheapest.
"""

from __future__ import annotations

import argparse

import numpy as np

from depthwise.choosing.paired import mcnemar_p
from depthwise.choosing.selecting import CLOSE, LEVEL

LADDERS = {
    "6% to 2% wrong": np.linspace(0.06, 0.02, 12),
    "8% to 2%, level from the fifth on": np.array([0.08, 0.05, 0.03, 0.021] + [0.02] * 8),
    "25% to 18% wrong": np.linspace(0.25, 0.18, 12),
    "all 20% wrong": np.full(12, 0.2),
}
RULES = {"highest": (1.0, 0.0), "test": (LEVEL, 1.0), "test and close": (LEVEL, CLOSE)}


def winner(right: np.ndarray, level: float, close: float) -> int:
    """right (M, N) of candidates, the cheapest first."""
    share = right.mean(axis=1)
    best = int(share.argmax())
    if level >= 1:
        return best
    equal = (
        j
        for j in range(len(right))
        if j == best
        or (share[best] - share[j] <= close + 1e-9 and mcnemar_p(right[best], right[j]) > level)
    )
    return min(equal)


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--repeats", type=int, default=400)
    asked.add_argument("--shared", type=float, default=0.8)
    options = asked.parse_args()
    print(f"{'candidates':<36}{'items':>6}" + "".join(f"{rule:>18}" for rule in RULES))
    for name, wrong in LADDERS.items():
        for items in (100, 350, 2000):
            random, found = np.random.default_rng(1), {rule: [] for rule in RULES}
            for _ in range(options.repeats):
                own = random.random((len(wrong), items))
                same = random.random((len(wrong), items)) < options.shared
                right = np.where(same, random.random(items), own) > wrong[:, None]
                for rule, (level, close) in RULES.items():
                    found[rule].append(winner(right, level, close))
            cells = [
                f"{100 * (wrong[won] - wrong.min()).mean():6.2f} at {np.mean(won):4.1f}"
                for won in found.values()
            ]
            print(f"{name:<36}{items:>6}" + "".join(f"{cell:>18}" for cell in cells))


if __name__ == "__main__":
    main()

"""Which candidates nobody beats on every count."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["pareto_front"]


def pareto_front(points: Sequence[Sequence[float]]) -> list[bool]:
    """For each point (every coordinate: less is better), whether no other point dominates it:
    at most as much in each coordinate and less in one. N points of any dimension, O(N^2)."""

    def dominates(a: Sequence[float], b: Sequence[float]) -> bool:
        return all(x <= y for x, y in zip(a, b)) and any(x < y for x, y in zip(a, b))

    return [not any(dominates(other, point) for other in points) for point in points]

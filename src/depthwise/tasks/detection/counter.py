"""The counter: how many of each class there are in a picture.

    model = Counter(size="s").fit(data)            a Dataset with boxes
    model.predict(X)                               int64 (N, K)
    model.predict(X, count=False)                  the boxes that were counted
    model.assess(X, boxes)                         mean absolute error, by class

It is a detector whose passes over the data are compared by how well they count: by the mean over
classes of the absolute error, at the thresholds that are best for it (counts.py).

Shapes: N pictures, K classes.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from torch import nn

from depthwise.tasks.detection.counts import best_thresholds, counted, true_counts
from depthwise.tasks.detection.detector import FLOOR, Detector
from depthwise.tasks.detection.targets import table_of

__all__ = ["Counter"]


class Counter(Detector):
    """Counts objects in images (N, C, H, W). Parameters and attributes are those of `Detector`."""

    family: ClassVar[str] = "counter"
    tasks: ClassVar[tuple[str, ...]] = ("counting",)
    counts_objects: ClassVar[bool] = True

    def predict(self, X: Any, *, count: bool = True, threshold: float | None = None) -> Any:
        """How many there are of each class, int64 (N, K); without `count` the boxes of them, as
        `Detector.predict`."""
        return super().predict(X, count=count, threshold=threshold)

    def _validation_scores(
        self, inputs: np.ndarray, targets: Any, network: nn.Module
    ) -> tuple[float, ...]:
        """(minus the mean absolute error,) at the thresholds that are best for these images."""
        found, truth = self._found(inputs, self._lows(FLOOR), network), table_of(targets)
        counts = counted(found, self.classes_, best_thresholds(found, truth, self.classes_))
        errors = abs(counts - true_counts(truth, self.n_outputs))
        return (-float(errors.mean()),)

    def _assessed(self, images: np.ndarray, targets: np.ndarray) -> dict[str, Any]:
        """{"value": minus the mean absolute error over classes, "low", "high", "items",
        "per_class": the error of each class, in objects an image}."""
        return self._count_report(images, targets)

"""Items unlike all others, by the distance to their nearest neighbours in an embedding.

    d_i = mean Euclidean distance to the NEAREST nearest items, along the leading components
    score_i = d_i / median d

Ramaswamy, Rastogi and Shim 2000, "Efficient algorithms for mining outliers from large data sets"
(there the distance to the k-th neighbour; the mean varies less).

Shapes: N items, A leading components.
"""

from __future__ import annotations

import numpy as np
import torch

from depthwise.compute import Compute
from depthwise.host import available_cores

__all__ = ["outlier_scores"]

NEAREST = 5
_BLOCK = 1024


def outlier_scores(components: np.ndarray) -> np.ndarray:
    """(N,): how many times as far as is typical each item lies from its neighbours, of the leading
    components (N, A) of an embedding."""
    points = torch.from_numpy(components)
    nearest = min(NEAREST, len(points) - 1)
    distances = []
    with torch.inference_mode(), Compute(threads=available_cores()).active():
        for start in range(0, len(points), _BLOCK):
            apart = torch.cdist(points[start : start + _BLOCK], points)
            near = apart.topk(nearest + 1, dim=1, largest=False).values[:, 1:]
            distances.append(near.mean(dim=1))
    mean = torch.cat(distances).numpy()
    typical = float(np.median(mean))
    return np.asarray(mean / typical if typical > 0 else np.zeros(len(mean)))

"""Features of pictures without pretrained weights: whitened patches and their nearest centres.

    x       patches of P x P pixels, each less its mean and divided by its deviation + 10 levels
    w       = (x - m) U (diag(s) + e)^(-1/2) U',    covariance U diag(s) U'          ZCA whitening
    d_k     = |w - c_k|                             c: CENTRES centres of k-means
    f_k     = max(0, mean_j d_j - d_k),             summed over each quarter of the picture

Coates, Ng and Lee 2011, "An Analysis of Single-Layer Networks in Unsupervised Feature Learning".

Shapes: N pictures, C channels, H W image, K centres, F = 4 K features.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from depthwise.compute import Compute
from depthwise.data.inputs import as_tensor
from depthwise.host import available_cores

__all__ = ["patch_features"]

PATCH, CENTRES, SIDE = 6, 256, 32  # pixels a side of a patch, centres, pixels a side of a picture
SAMPLE, ROUNDS, BATCH = 40_000, 10, 64
LEVELS, EPSILON = 10.0, 0.1


def patch_features(images_u8: np.ndarray, seed: int = 0) -> np.ndarray:
    """uint8 (N, C, H, W) -> float32 (N, F)."""
    generator = torch.Generator().manual_seed(seed)
    with torch.inference_mode(), Compute(threads=available_cores()).active():
        mean, whiten, centres = _learn(images_u8, generator)
        parts = [
            _activations(_reduced(images_u8[i : i + BATCH]), mean, whiten, centres)
            for i in range(0, len(images_u8), BATCH)
        ]
    return torch.cat(parts).numpy()


def _reduced(images_u8: np.ndarray) -> Tensor:
    """Floats 0..255 (B, C, h, w), h and w at most SIDE and at least PATCH + 1."""
    x = as_tensor(images_u8).float()
    sides = [min(max(side, PATCH + 1), SIDE) for side in x.shape[-2:]]
    if list(x.shape[-2:]) == sides:
        return x
    return functional.interpolate(x, sides, mode="bilinear", antialias=True)


def _patches(x: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, L, C P P) normalised patches."""
    rows = functional.unfold(x, PATCH).transpose(1, 2)
    rows = rows - rows.mean(dim=2, keepdim=True)
    return rows / (rows.square().mean(dim=2, keepdim=True) + LEVELS).sqrt()


def _learn(images_u8: np.ndarray, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, whitening matrix and centres, from patches at random places of random pictures."""
    pictures = torch.randperm(len(images_u8), generator=generator)[:2000].sort().values.numpy()
    found = []
    for start in range(0, len(pictures), BATCH):
        rows = _patches(_reduced(images_u8[pictures[start : start + BATCH]])).flatten(0, 1)
        take = max(1, SAMPLE * BATCH // max(len(pictures), BATCH))
        found.append(rows[torch.randint(len(rows), (take,), generator=generator)])
    rows = torch.cat(found)
    mean = rows.mean(dim=0)
    values, vectors = torch.linalg.eigh((rows - mean).T @ (rows - mean) / len(rows))
    whiten = (vectors * (values.clamp(min=0) + EPSILON).rsqrt()) @ vectors.T
    return mean, whiten, _centres((rows - mean) @ whiten, generator)


def _centres(rows: Tensor, generator: torch.Generator) -> Tensor:
    """(K, D) by k-means; a centre that nothing is nearest to is drawn again."""
    centres = rows[torch.randint(len(rows), (CENTRES,), generator=generator)].clone()
    for _ in range(ROUNDS):
        nearest = torch.cdist(rows, centres).argmin(dim=1)
        counts = torch.bincount(nearest, minlength=CENTRES)
        sums = torch.zeros_like(centres).index_add_(0, nearest, rows)
        drawn = rows[torch.randint(len(rows), (CENTRES,), generator=generator)]
        centres = torch.where(counts[:, None] > 0, sums / counts.clamp(min=1)[:, None], drawn)
    return centres


def _activations(x: Tensor, mean: Tensor, whiten: Tensor, centres: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, 4 K)."""
    rows, places = x.shape[-2] - PATCH + 1, x.shape[-1] - PATCH + 1
    apart = torch.cdist((_patches(x) - mean) @ whiten, centres)
    active = (apart.mean(dim=2, keepdim=True) - apart).clamp(min=0)
    maps = active.transpose(1, 2).reshape(len(x), len(centres), rows, places)
    return functional.adaptive_avg_pool2d(maps, 2).flatten(1)

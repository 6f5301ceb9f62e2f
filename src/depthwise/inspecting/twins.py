"""Pictures that are one picture saved, cut, mirrored or shifted otherwise: near duplicates.

Candidates are the NEAREST others of each picture, by the cosine of the leading components of
their embeddings. Each candidate pair is aligned: with x the inner part of one picture and y a
window of the other,

    rho = max over mirror, zoom and shift of  <x - mean x, y - mean y> / (|x - mean x| |y - mean y|)

over pixels and channels, windows at every shift of up to 3 pixels, on at most 32 x 32 pixels. Twins
have

    1 - rho < d,      d = min(MOST, SHARE * median over pictures of 1 - rho of their best candidate)

so that in data where all is alike, as pictures of 8 x 8 pixels are, nothing is called a twin; and
rho above DETAIL once each picture's local mean (5 x 5) is taken away: skies and shores are alike in
all but their detail. A look at 16 x 16 pixels without zoom leaves out pairs with 1 - rho > 2 d.
What is flat correlates with anything flat: pictures whose deviation is below FLAT levels are left
out.

Shapes: N pictures, C channels, H W image, P pairs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from depthwise.compute import Compute
from depthwise.data.inputs import as_tensor
from depthwise.host import available_cores

__all__ = ["aligned_correlation", "find_twins", "nearest_pairs"]

NEAREST, LEAST = 5, 0.6  # cosine
FLAT, MOST, SHARE, DETAIL = 4.0, 0.1, 0.25, 0.55
SAMPLE = 300  # pictures whose best candidates say what is typical
_BLOCK, _PAIRS = 1024, 128


class Alignment(NamedTuple):
    """Largest side of the pictures, largest shift, zooms that are tried, and whether local means
    are taken away first."""

    side: int
    shift: int
    zooms: tuple[float, ...]
    is_detail: bool = False


LOOK = Alignment(16, 2, (1.0,))
FULL = Alignment(32, 3, (1.0, 1.08, 1 / 1.08))
FINE = FULL._replace(is_detail=True)


def find_twins(images_u8: np.ndarray, components: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """uint8 (N, C, H, W) and the leading components (N, A) of their embedding -> pairs
    (P, 2), i < j, and rho (P,)."""
    pairs = nearest_pairs(components)
    apart = min(MOST, SHARE * _typical_distance(images_u8, pairs))
    pairs = pairs[aligned_correlation(images_u8, pairs, LOOK) > 1 - 2 * apart]
    rho = aligned_correlation(images_u8, pairs, FULL)
    pairs, rho = pairs[rho > 1 - apart], rho[rho > 1 - apart]
    same = aligned_correlation(images_u8, pairs, FINE) > DETAIL
    return pairs[same], rho[same]


def _typical_distance(images_u8: np.ndarray, pairs: np.ndarray) -> float:
    """The median over some pictures of 1 - rho of their best candidate."""
    asked = np.random.default_rng(0).permutation(len(images_u8))[:SAMPLE]
    chosen = pairs[np.isin(pairs, asked).any(axis=1)]
    best, rho = np.full(len(images_u8), -1.0), aligned_correlation(images_u8, chosen, FULL)
    for side in chosen.T:
        np.maximum.at(best, side, rho)
    return float(np.median(1 - best[asked]))


def nearest_pairs(components: np.ndarray) -> np.ndarray:
    """int64 (P, 2), i < j: each item with its nearest others, of a cosine of LEAST and more."""
    length = np.linalg.norm(components, axis=1, keepdims=True)
    unit = torch.from_numpy(components / np.maximum(length, 1e-12))
    nearest = min(NEAREST, len(unit) - 1)
    if nearest < 1:
        return np.zeros((0, 2), np.int64)
    found = []
    with torch.inference_mode(), Compute(threads=available_cores()).active():
        for start in range(0, len(unit), _BLOCK):
            cosines = unit[start : start + _BLOCK] @ unit.T
            own = torch.arange(start, start + len(cosines))
            cosines[torch.arange(len(cosines)), own] = -2
            values, places = cosines.topk(nearest, dim=1)
            close = values >= LEAST
            found.append(torch.stack([own[:, None].expand_as(places)[close], places[close]], dim=1))
    pairs = np.sort(torch.cat(found).numpy(), axis=1)
    return np.unique(pairs, axis=0)


def aligned_correlation(
    images_u8: np.ndarray, pairs: np.ndarray, how: Alignment = FULL
) -> np.ndarray:
    """rho (P,) of pairs (P, 2) of pictures (N, C, H, W); -1 where one of them is flat."""
    rho = np.empty(len(pairs), np.float32)
    with torch.inference_mode(), Compute(threads=available_cores()).active():
        for start in range(0, len(pairs), _PAIRS):
            first, second = pairs[start : start + _PAIRS].T
            x, y = _reduced(images_u8[first], how), _reduced(images_u8[second], how)
            rho[start : start + _PAIRS] = _aligned(x, y, how).numpy()
    return rho


def _reduced(images_u8: np.ndarray, how: Alignment) -> Tensor:
    """Floats (B, C, h, w), h and w at most how.side and at least 2 how.shift + 2."""
    x = as_tensor(images_u8).float()
    sides = [min(max(side, 2 * how.shift + 2), how.side) for side in x.shape[-2:]]
    if list(x.shape[-2:]) == sides:
        return x
    return functional.interpolate(x, sides, mode="bilinear", antialias=True)


def _aligned(x: Tensor, y: Tensor, how: Alignment) -> Tensor:
    """rho (B,) of pictures (B, C, h, w)."""
    edge = slice(how.shift, -how.shift)
    flat = torch.minimum(_deviation(x), _deviation(y)) < FLAT
    if how.is_detail:
        x, y = _detail(x), _detail(y)
    inner = x[..., edge, edge]
    best = torch.full((len(x),), -1.0)
    for zoom in how.zooms:
        zoomed = _zoomed(y, zoom)
        for turned in (zoomed, zoomed.flip(-1)):
            best = torch.maximum(best, _shifted_correlation(inner, turned).amax(dim=(1, 2)))
    return torch.where(flat, -1.0, best)


def _shifted_correlation(inner: Tensor, y: Tensor) -> Tensor:
    """(B, C, h, w), (B, C, h + 2 S, w + 2 S) -> (B, 2 S + 1, 2 S + 1): the correlation with each
    window."""
    pixels = inner[0].numel()
    x = inner - inner.mean(dim=(1, 2, 3), keepdim=True)
    products = functional.conv2d(y.reshape(1, -1, *y.shape[2:]), x, groups=len(x))[0]
    window = inner.shape[-2:]
    sums = functional.avg_pool2d(y, window, 1).mean(dim=1)
    squares = functional.avg_pool2d(y.square(), window, 1).mean(dim=1)
    spread = ((squares - sums.square()).clamp(min=1e-6) * pixels).sqrt()
    length = x.flatten(1).norm(dim=1).clamp(min=1e-6)[:, None, None]
    return products / (spread * length)


def _zoomed(y: Tensor, zoom: float) -> Tensor:
    """The middle of y enlarged by `zoom`, or y reduced and its edges repeated."""
    if zoom == 1:
        return y
    scale = torch.tensor([[1 / zoom, 0, 0], [0, 1 / zoom, 0]]).expand(len(y), 2, 3)
    grid = functional.affine_grid(scale, list(y.shape), align_corners=False)
    return functional.grid_sample(y, grid, padding_mode="border", align_corners=False)


def _detail(x: Tensor) -> Tensor:
    """x less the mean of the 5 x 5 pixels around each."""
    return x - functional.avg_pool2d(functional.pad(x, (2, 2, 2, 2), mode="replicate"), 5, 1)


def _deviation(x: Tensor) -> Tensor:
    return x.flatten(1).std(dim=1)

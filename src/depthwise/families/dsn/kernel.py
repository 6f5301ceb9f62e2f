"""The kernel module: Gaussian kernel ridge regression, through random features.

    k(z, z') = exp(-gamma |z - z'|^2)
    P = sqrt(2 / L) cos(Z W + 1 b')       W ~ N(0, 2 gamma), b ~ uniform on [0, 2 pi)
    E[P P'] = k,   Y = P U + 1 c'

(Deng, Tur, He and Hakkani-Tur 2012, the K-DCN, whose module solves (K + ridge I) a = T with the
N x N kernel matrix K; random features by Rahimi and Recht 2007 make that the ridge regression of
gram.py on L columns, whatever N, with an error of order 1 / sqrt(L).) The features are drawn once
and stay: a kernel module has no lower weights to learn.

Shapes: B batch, D inputs of the module, L features, K targets.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from depthwise.families.dsn.module import ConvexModule

__all__ = ["KernelModule"]


class KernelModule(ConvexModule):
    """L random features of the kernel; `set_width` scales them to a gamma, 1 at first."""

    weight: Tensor
    bias: Tensor

    def __init__(self, n_inputs: int, n_features: int, n_targets: int):
        super().__init__(n_features, n_targets)
        self.register_buffer("weight", math.sqrt(2) * torch.randn(n_inputs, n_features))
        self.register_buffer("bias", 2 * math.pi * torch.rand(n_features))

    def set_width(self, gamma: float) -> None:
        """Scale the features of gamma = 1 to another gamma > 0; to be called once."""
        self.weight.mul_(math.sqrt(gamma))

    def features(self, z: Tensor) -> Tensor:
        scale = math.sqrt(2 / self.n_features)
        return scale * torch.cos(torch.addmm(self.bias, z, self.weight))

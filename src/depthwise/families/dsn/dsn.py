"""Deep stacking network: convex modules on the inputs and all predictions made below (Deng and Yu
2011; Deng, Yu and Platt 2012).

    z_1 = v,  z_{m+1} = [z_m, y_m],   y_m = features_m(z_m) U_m + c_m

    variant "dsn"      features s(z W + b)                        SigmoidModule (DSN, 2011)
    variant "tensor"   all products of two such layers' units     TensorModule (T-DSN, 2013)
    variant "kernel"   random features of a Gaussian kernel       KernelModule (K-DCN, 2012)

U, c: ridge regression on targets, from Gram matrices gathered in shards (gram.py, row_blocks.py);
W: gradient descent through that closed form in large batches (update.py); how the stack grows:
learning.py. Nothing of size N x L is held, and inputs in a memmap are read block by block.

Shapes: N items, B batch, D features, L features of a module, K classes or targets.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from torch import nn

from depthwise.families.dsn.estimator import DeepStacking
from depthwise.families.dsn.row_blocks import Rows
from depthwise.layers import Rescaled
from depthwise.models.supervised import Classifier, Regressor
from depthwise.settings import settings

__all__ = ["DSN", "DSNRegressor"]


@settings
class DSN(DeepStacking, Classifier):
    """Deep stacking classifier for tables (N, D) and images (N, C, H, W), in memory or a memmap.

    `validation` chooses the best epoch of fine-tuning and the number of modules. `sample_weight`
    is that of weighted least squares: an item of weight 2 is one that is there twice (to
    fine-tuning in more than one batch, nearly so).

    `transform(X, layer=m)` gives the features of module m (N, L): hidden units, their products in
    "tensor", cosines in "kernel". `history_["epochs"]` ends with one record a module: its J
    ("loss") and squared error an item, ridge, and held-out score.
    """

    family: ClassVar[str] = "dsn"


class DSNRegressor(DeepStacking, Regressor):
    """Deep stacking regressor: y (N,) or (N, T), learnt standardised. Settings as DSN's."""

    family: ClassVar[str] = "dsn_regressor"

    def _new_network(
        self, inputs: np.ndarray, targets: np.ndarray, weights: np.ndarray | None = None
    ) -> nn.Module:
        network = super()._new_network(inputs, targets, weights)
        self._set_scale(network, targets, weights)
        return network

    def _as_rows(
        self,
        inputs: np.ndarray,
        targets: np.ndarray,
        device: str,
        weights: np.ndarray | None = None,
    ) -> Rows:
        network = self.network_
        assert isinstance(network, Rescaled)
        standard = (targets - network.mean.cpu().numpy()) / network.scale.cpu().numpy()
        return super()._as_rows(inputs, standard.astype(np.float32), device, weights)

    def _check_settings(self) -> None:
        super()._check_settings()
        self._require("softmax", not self.softmax, "False: numbers have no softmax")

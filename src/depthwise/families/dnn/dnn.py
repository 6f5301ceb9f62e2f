"""Deep neural network: fully connected layers, with or without generative pretraining.

    pretrain=None           all layers at once, from random weights: rectifiers, normalisation
    pretrain="dbn"          first each layer as a restricted Boltzmann machine, bottom up (Hinton
                            and Salakhutdinov 2006), then all together with a softmax on top
    pretrain="autoencoder"  first each layer as a denoising autoencoder (Vincent et al. 2010)

The network and its mathematics are in network.py, pretraining in pretraining.py, the last
stage in finetuning.py. Pretraining needs no labels: `fit(X, y, unlabelled=more)` pretrains on
X and more together and fine-tunes on X, y; with `agreement` above 0 the last stage learns from the
unlabelled items too.

Shapes: N items, B batch, C channels, H W image, D features, K classes, T targets.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from depthwise.families.dnn.estimator import Layers
from depthwise.families.dnn.network import DNNNetwork
from depthwise.models.supervised import Classifier, Regressor
from depthwise.settings import settings

__all__ = ["DNN", "DNNNetwork", "DNNRegressor"]


@settings
class DNN(Layers, Classifier):
    """Fully connected classifier for tables (N, D) and images (N, C, H, W)."""

    family: ClassVar[str] = "dnn"

    @staticmethod
    def _answer(outputs: Tensor) -> Tensor:
        """Logits (B, K) as class probabilities."""
        return torch.softmax(outputs, dim=1)


class DNNRegressor(Layers, Regressor):
    """Fully connected regressor for tables (N, D) and images (N, C, H, W), y (N,) or (N, T).

    It minimises the squared error of the standardised targets. Parameters: as in `DNN`;
    `label_smoothing` has no meaning here.
    """

    family: ClassVar[str] = "dnn_regressor"

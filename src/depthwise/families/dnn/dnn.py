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
    """Fully connected classifier for tables (N, D) and images (N, C, H, W).

    Parameters
    ----------
    size : a rung of the ladder, "xxs" (one layer of 16 units) .. "xl" (2048, 1024, 1024).
    hidden : units of each hidden layer, (500, 500) or 64 for a single one, in place of `size`.
    activation, normalise : "relu" with batch normalisation, or "logistic" without; "auto" is the
        first, and the second where layers are pretrained.
    dropout, input_dropout : share of hidden units and of inputs silenced in training, 0 .. 0.5.
    max_norm : largest length of a hidden unit's incoming weights, 1 .. 5; None leaves them alone.
    pretrain : None, "dbn" or "autoencoder": see pretraining.py.
    pretrain_epochs : passes over the data a layer; "auto" is about 6,000 steps.
    pretrain_lr : "auto" is 0.05 for "dbn" and 1e-3 for "autoencoder".
    masking : share of values hidden from a denoising autoencoder, 0.1 .. 0.5.
    layer_rate : the learning rate of the hidden layers as a share of the head's, 0 .. 1.
    head_first : share of the run in which only the head learns, 0 .. 0.3.
    agreement : weight of what unlabelled items say in the last stage of `fit`, 0 .. 2.
    quality : "fast", or "paper" for schedules as long as published figures took.
    epochs : passes over the data; "auto" is about 1,500 steps, within 12 .. 25 passes; at quality
        "paper" 3,000, within 12 .. 100.
    batch_size : items a step; "auto" is 128, less for small data.
    lr : peak learning rate, 3e-4 .. 1e-2 with "adamw".
    optimizer, schedule, weight_decay, clip_norm, average, patience : see `training.step.Recipe`.
    label_smoothing : 0 .. 0.2.
    augment : for images, see `data.augment.augmenter`; None by default.
    validation_fraction : share of the training data held out to choose the best epoch; 0 .. 0.3.
    warm_start : fit goes on from the present weights.
    class_weight, metric : of rare classes; see `models.supervised.Classifier`.
    random_state : seed; the same one gives the same network (same machine, same threads).
    device, precision, threads : "auto" measures; or e.g. "cpu", "bfloat16", 2.
    verbose : show progress on stderr.
    """

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

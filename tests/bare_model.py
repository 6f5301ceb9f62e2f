"""Models that have learnt nothing, for tests of what is done with a model: a network, the shape of
its items, and what a test gives them besides.

    Bare(network, (3, 8, 8))
    BareClassifier(network, (3,), classes=["a", "b", "c"])
    class Normal(BareDensity): ...
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from depthwise.models.estimator import Estimator
from depthwise.models.generative import Generative
from depthwise.models.supervised import Classifier
from depthwise.training.run import Run
from depthwise.training.stages import Stages
from depthwise.training.training_data import TrainingData

__all__ = ["Bare", "BareClassifier", "BareDensity"]


class Bare(Estimator):
    """Of no family."""

    family = "bare"
    tasks: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self, network: nn.Module | None, shape: tuple[int, ...], dtype: str = "float32"
    ) -> None:
        if network is not None:
            self.network_ = network.eval()
        self.input_shape_, self.input_dtype_ = shape, dtype

    def build(self, input_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
        raise NotImplementedError

    def _training_data(self, X: Any, y: Any, sample_weight: Any, validation: Any) -> TrainingData:
        raise NotImplementedError

    def _train(self, data: TrainingData, run: Run) -> None:
        raise NotImplementedError


class BareClassifier(Bare, Classifier):
    """Its probabilities are the softmax of its network's answers."""

    tasks: ClassVar[tuple[str, ...]] = ("classification",)

    def __init__(
        self,
        network: nn.Module | None,
        shape: tuple[int, ...],
        dtype: str = "float32",
        *,
        classes: Any,
    ) -> None:
        super().__init__(network, shape, dtype)
        self.classes_ = np.array(classes)

    def predict_proba(self, X: Any) -> np.ndarray:
        with torch.inference_mode():
            return self.network_(torch.as_tensor(X)).softmax(1).numpy()


class BareDensity(Generative):
    """A density of rows, of which a test gives `anomaly_score` and `score_samples`."""

    family = "bare density"
    visible_ = "gaussian"

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.network_ = nn.Linear(shape[0], 1)
        self.input_shape_, self.input_dtype_ = shape, "float32"

    def build(self, input_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
        raise NotImplementedError

    def _learn(self, stages: Stages) -> None:
        raise NotImplementedError

    def _sample(self, n: int, labels: Tensor | None) -> Tensor:
        raise NotImplementedError

    def _log_likelihood(self, v: Tensor) -> Tensor:
        raise NotImplementedError

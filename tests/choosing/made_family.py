"""A family small enough to see through: Gaussian columns, learnt in closed form, by size blurred.

It can do all that a generative family can and takes next to no time; its likelihood and what it
finds strange have the normal distribution of scikit-learn as their referee.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from depthwise.errors import DivergedError
from depthwise.layers import Standardise
from depthwise.models.generative import Generative


class BlurNetwork(nn.Module):
    def __init__(self, input_shape: tuple[int, ...], units: int):
        super().__init__()
        self.input_shape = input_shape
        self.standardise = Standardise(input_shape[0], image=len(input_shape) == 3)
        d = int(np.prod(input_shape))
        self.mean, self.root = nn.Parameter(torch.zeros(d)), nn.Parameter(torch.eye(d))
        self.ballast = nn.Parameter(torch.zeros(units))

    def visible(self, x: torch.Tensor) -> torch.Tensor:
        return torch.flatten(self.standardise(x), 1)

    def raw(self, v: torch.Tensor) -> torch.Tensor:
        shaped = v.reshape(-1, *self.input_shape)
        return shaped / self.standardise.inverse_std + self.standardise.mean

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.reconstruct(x)

    def reconstruct(self, x: torch.Tensor) -> torch.Tensor:
        return self.mean + (self.visible(x) - self.mean) @ self.root / self.root.norm()

    def representations(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [self.visible(x)]


class Blur(Generative):
    """`blur` is added to the covariance: the sharper, the better."""

    family: ClassVar[str] = "blur"
    tasks: ClassVar[tuple[str, ...]] = ("generate", "anomaly")
    sizes: ClassVar[dict[str, Any]] = {"s": 2.0, "m": 0.5, "l": 0.05}
    seconds: ClassVar[dict[str, float]] = {}
    fails: ClassVar[dict[str, Exception]] = {}
    begun: ClassVar[list[str]] = []

    def __init__(
        self,
        *,
        size: str = "s",
        visible: str = "gaussian",
        false_alarms: float = 0.05,
        random_state: Any = 0,
        device: str = "cpu",
        precision: str = "float32",
        threads: int | str = 1,
        verbose: bool = False,
    ):
        self.size, self.visible, self.false_alarms = size, visible, false_alarms
        self.random_state, self.device, self.precision = random_state, device, precision
        self.threads, self.verbose = threads, verbose

    def build(self, input_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
        return BlurNetwork(tuple(input_shape), 1000 * (1 + list(self.sizes).index(self.size)))

    def _learns_labels(self) -> bool:
        return False

    def _learn(self, stages: Any) -> None:
        self.begun.append(self.size)
        if self.size in self.fails:
            raise self.fails[self.size]
        with torch.no_grad():
            v = self.network_.visible(stages.inputs)
            spread = torch.cov(v.T) + self.sizes[self.size] * torch.eye(v.shape[1])
            self.network_.mean.copy_(v.mean(0))
            self.network_.root.copy_(torch.linalg.cholesky(torch.linalg.inv(spread)))
        self.took = min(self.seconds.get(self.size, 0.01), stages.seconds_limit or 1e9)

    def fit(self, X: Any, y: Any = None, **options: Any) -> Any:
        super().fit(X, y, **options)
        records = [{"epoch": 10.0, "seconds": self.took, "score": None, "loss": 0.0}]
        self.history_ = {"epochs": records, "stopped": "finished", "seconds": self.took, "steps": 1}
        return self

    def _sample(self, n: int, labels: torch.Tensor | None) -> torch.Tensor:
        return self.network_.mean.expand(n, -1)

    def _log_likelihood(self, v: torch.Tensor) -> torch.Tensor:
        root = self.network_.root
        z = (v - self.network_.mean) @ root
        log_det = torch.diagonal(root).abs().log().sum()
        return log_det - (z**2).sum(1) / 2 - v.shape[1] * np.log(2 * np.pi) / 2


def diverged() -> DivergedError:
    return DivergedError("the loss is not a number; lower lr")

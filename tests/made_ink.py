"""A generative family whose every answer can be told by hand, learnt in two stages.

rate (K, D)      mean of each pixel, of each class (K = 1 without labels)
sample           the rates of the class asked for, or of the first
reconstruct      the negative: 1 - v
strangeness      the sum of v: how much ink there is
log p(v)         of independent pixels
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from depthwise.layers import VisibleUnits
from depthwise.models.generative import Generative
from depthwise.training.stages import Stages
from depthwise.training.step import Recipe


class InkNetwork(VisibleUnits):
    def __init__(self, input_shape: tuple[int, ...], n_classes: int):
        super().__init__(input_shape)
        self.n_classes = n_classes
        self.rate = nn.Parameter(torch.full((max(1, n_classes), self.n_visible), 0.5))

    def evidence(self, v: Tensor) -> Tensor:
        rate = self.rate.clamp(0.01, 0.99)
        return v @ rate.log().t() + (1 - v) @ (1 - rate).log().t()  # (B, K)

    def reconstruct(self, x: Tensor) -> Tensor:
        return 1 - self.visible(x)

    def representations(self, x: Tensor) -> list[Tensor]:
        return [self.evidence(self.visible(x))]

    def forward(self, x: Tensor) -> Tensor:
        return self.evidence(self.visible(x)) if self.n_classes else self.reconstruct(x)


class Towards:
    """Rates go a tenth of the way to the batch's means, and tremble."""

    def __init__(self, network: InkNetwork):
        self.network = network

    @torch.no_grad()
    def __call__(self, inputs: Tensor, targets: Tensor, progress: float) -> Tensor:
        v = self.network.visible(inputs)
        for k, rate in enumerate(self.network.rate):
            if (targets == k).any():
                rate += 0.1 * (v[targets == k].mean(dim=0) - rate)
        self.network.rate += 1e-4 * torch.randn(self.network.rate.shape)
        return (v - self.network.rate[0]).square().mean()

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        assert not state


class Ink(Generative):
    family: ClassVar[str] = "ink"
    network_: InkNetwork

    def __init__(
        self,
        *,
        epochs: float = 3,
        batch_size: int = 32,
        widths: tuple[int, ...] | None = None,
        visible: str = "auto",
        false_alarms: float = 0.1,
        random_state: Any = 0,
        device: str = "cpu",
        precision: str = "auto",
        threads: int | str = 1,
        verbose: bool = False,
    ):
        self.epochs = epochs
        self.batch_size = batch_size
        self.widths = widths
        self.visible = visible
        self.false_alarms = false_alarms
        self.random_state = random_state
        self.device = device
        self.precision = precision
        self.threads = threads
        self.verbose = verbose

    def build(self, input_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
        return InkNetwork(tuple(input_shape), n_outputs)

    def _check_settings(self, inputs: Any) -> None:
        super()._check_settings(inputs)
        self._require("epochs", self.epochs > 0, "above 0")

    def _learn(self, stages: Stages) -> None:
        recipe = Recipe(self.epochs, self.batch_size, 0.1, average=0, seed=stages.seed)
        stages.plan({"first": 1.0, "second": 1.0})
        for name in ("first", "second"):
            stages.run(name, Towards(self.network_), recipe)

    def _sample(self, n: int, labels: Tensor | None) -> Tensor:
        rows = torch.zeros(n, dtype=torch.int64) if labels is None else labels
        means = self.network_.rate[rows].clamp(0, 1)
        return (means + 0.02 * torch.rand(means.shape)).clamp(0, 1)

    def _log_likelihood(self, v: Tensor) -> Tensor:
        return self.network_.evidence(v).logsumexp(dim=1)

    def _strangeness(self, v: Tensor) -> Tensor:
        return v.sum(dim=1)

"""The associative memory on top of a deep belief network: a restricted Boltzmann machine whose
visible units are the states below and a softmax group of labels.

It learns the joint likelihood by contrastive divergence and, `discriminative` times as strongly,
the conditional one, whose gradient is exact (Larochelle and Bengio 2008: the hybrid machine):

    log p(y | v) = -F(v, y) - log sum_k exp(-F(v, k))          r_k = [y = k] - p(k | v)
    dW = v' sum_k r_k s(x + u_k)     dU_k = r_k s(x + u_k)     db = sum_k r_k s(x + u_k)     dd = r

with x = b + v'W. A joint likelihood in hundreds of units cares little for the one group of labels:
its own gradient takes hundreds of passes to reach what this reaches in ten. 0 leaves it out, as in
Hinton, Osindero and Teh (2006). Here v are not the states that were drawn, but their means: what a
label is told from when the network is used.

Our names: u_k a row of label_weight, d label_bias, r residual. Shapes: B batch, H hidden, K labels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softplus

from depthwise.families.boltzmann.contrastive import ContrastiveUpdate, Phases
from depthwise.families.boltzmann.network import RBMNetwork
from depthwise.training.step import Recipe

__all__ = ["MemoryUpdate"]


class MemoryUpdate(ContrastiveUpdate):
    """One step of the memory; `end` keeps the visible states that its sweeps ended in.

    `discriminative`: weight of log p(y | v) beside log p(v, y), 0 .. 10. `features`: raw batch ->
    (B, D), the means that `prepare` draws from; without it `means_below` may be set before a step,
    or the drawn states serve. The others as in ContrastiveUpdate.
    """

    end: Tensor

    def __init__(
        self,
        rbm: RBMNetwork,
        recipe: Recipe,
        *,
        discriminative: float = 0.0,
        features: Callable[[Tensor], Tensor] | None = None,
        **options: Any,
    ):
        super().__init__(rbm, recipe, use_labels=rbm.n_labels > 0, **options)
        self.discriminative, self.features = discriminative, features
        self.means_below: Tensor | None = None

    def _step(self, inputs: Tensor, targets: Tensor, progress: float) -> Tensor:
        if self.features is not None and self.use_labels and self.discriminative:
            self.means_below = self.features(inputs)
        return super()._step(inputs, targets, progress)

    def _learn(self, phases: Phases, rate: float) -> None:
        n = phases.items
        self.end = phases.v[n:]
        steps = {}
        if self.discriminative and phases.labels is not None:
            v, means = phases.v[:n], self.means_below
            v = v if means is None else self.rbm.statistic(means).to(v.dtype)
            steps = self.conditional_gradient(v, phases.labels[:n])
        super()._learn(phases, rate)
        for name, gradient in steps.items():
            self._add(name, gradient, self.discriminative * rate)

    def conditional_gradient(self, v: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Of the mean of log p(y | v), by parameter: statistics (B, D), one-hot labels (B, K)."""
        rbm = self.rbm
        x = self.products.up(v, out=labels.new_empty(len(v), rbm.n_hidden))
        evidence = [softplus(x + row).sum(dim=1) for row in rbm.label_weight]
        residual = labels - torch.softmax(torch.stack(evidence, dim=1) + rbm.label_bias, dim=1)
        residual /= len(v)
        total, by_label = torch.zeros_like(x), torch.empty_like(rbm.label_weight)
        for k, row in enumerate(rbm.label_weight):
            hidden = (x + row).sigmoid_().mul_(residual[:, k : k + 1])
            by_label[k] = hidden.sum(dim=0)
            total += hidden
        return {
            "weight": torch.mm(v.t(), total.to(v.dtype)).to(x.dtype),
            "hidden_bias": total.sum(dim=0),
            "label_weight": by_label,
            "label_bias": residual.sum(dim=0),
        }

    def _add(self, name: str, gradient: Tensor, rate: float) -> None:
        getattr(self.rbm, name).add_(gradient, alpha=rate)
        if self.momentum:
            self._velocity(name).add_(gradient, alpha=rate)

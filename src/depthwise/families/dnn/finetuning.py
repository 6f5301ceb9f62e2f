"""Discriminative fine-tuning: gradient descent that is gentle with layers learnt beforehand.

    rate of the head             eta(t)
    rate of the layers below     0 for the first `head_first` of the run, then `layer_rate` eta(t)
    after each step              |w_j| <= max_norm for the incoming weights of every hidden unit

With few labels a head that is still random would send its noise down into good layers; it learns
first. Rates of layers: Howard and Ruder 2018; max-norm: Srivastava et al. 2014.

Agreement (pseudo-ensembles, Bachman, Alsharif and Precup 2014; mean teacher, Tarvainen and Valpola
2017): on items u without labels the network with dropout is to answer as its average does without,

    L = loss(z(x), y) + w(t) loss(z(u), answer(z_average(u)))

where w(t) rises to its full height in half the run, and z_average has an exponential average of the
weights over the last steps.

Shapes: B batch, M items without labels, K classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from depthwise.compute import Compute
from depthwise.families.dnn.network import DNNNetwork, limit_norms
from depthwise.training.step import GradientUpdate, Recipe, WeightAverage, set_apart

__all__ = ["POOL_SHARE", "FineTuning"]

POOL_SHARE = 5  # items without labels for each one with
TEACHER_STEPS = 100  # that the average which teaches looks back on
RISE = 0.5  # share of the run in which the agreement's weight rises


class FineTuning(GradientUpdate):
    """One step of fine-tuning; the hidden layers are those of `core`, which `network` holds."""

    def __init__(
        self,
        network: nn.Module,
        core: DNNNetwork,
        loss: Callable[[Tensor, Tensor], Tensor],
        recipe: Recipe,
        compute: Compute,
        augment: Callable[[Tensor], Tensor] | None = None,
        *,
        layer_rate: float = 1.0,
        head_first: float = 0.0,
        max_norm: float | None = None,
    ):
        super().__init__(network, loss, recipe, compute, augment)
        self.core, self.max_norm = core, max_norm
        self.layer_rate, self.head_first = layer_rate, head_first
        self.agreement: Agreement | None = None
        if layer_rate != 1 or head_first:
            set_apart(self.optimizer, core.hidden, {"hidden": True}, {"hidden": False})

    def agree_on(self, items: Tensor, weight: float, answer: Callable[[Tensor], Tensor]) -> None:
        """Ask for agreement on raw `items` (M, ...); `answer` makes targets of the average's
        outputs (B, K)."""
        self.agreement = Agreement(items, weight, answer, self.network)

    def after_step(self) -> None:
        if self.max_norm is not None:
            limit_norms(self.core.linears, self.max_norm)
        if self.agreement is not None:
            self.agreement.follow()

    def objective(self, inputs: Tensor, targets: Tensor, progress: float) -> Tensor:
        if self.agreement is None:
            return super().objective(inputs, targets, progress)
        x = self.compute.place_batch(self.augment(inputs))
        u = self.compute.place_batch(self.augment(self.agreement.draw(POOL_SHARE * len(x))))
        with self.compute.autocast():
            wanted = self.agreement.answers(u)
            outputs = self.network(torch.cat([x, u]))
            disagreement = self.loss(outputs[len(x) :], wanted)
            weight = self.agreement.weight * min(1.0, progress / RISE)
            return self.loss(outputs[: len(x)], targets) + weight * disagreement

    def rate(self, group: dict[str, Any], progress: float) -> float:
        rate = super().rate(group, progress)
        if not group.get("hidden"):
            return rate
        return 0.0 if progress < self.head_first else self.layer_rate * rate

    def state_dict(self) -> dict[str, Any]:
        if self.agreement is None:
            return super().state_dict()
        return {"optimizer": super().state_dict(), "teacher": self.agreement.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self.agreement is None:
            super().load_state_dict(state)
            return
        super().load_state_dict(state["optimizer"])
        self.agreement.load_state_dict(state["teacher"])


class Agreement:
    """Items without labels and the averaged network that says what they are."""

    def __init__(
        self,
        items: Tensor,
        weight: float,
        answer: Callable[[Tensor], Tensor],
        network: nn.Module,
    ):
        self.items, self.weight, self.answer = items, weight, answer
        self.teacher, self.steps = WeightAverage(network, TEACHER_STEPS), 0

    def draw(self, n: int) -> Tensor:
        """n items, from torch's default generator: (n, ...)."""
        return self.items[torch.randint(len(self.items), (n,))]

    @torch.no_grad()
    def answers(self, x: Tensor) -> Tensor:
        return self.answer(self.teacher.network(x).float())

    def follow(self) -> None:
        self.teacher.update(self.steps)
        self.steps += 1

    def state_dict(self) -> dict[str, Any]:
        return {"network": self.teacher.network.state_dict(), "steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.teacher.network.load_state_dict(state["network"])
        self.steps = int(state["steps"])

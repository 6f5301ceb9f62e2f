"""One step of learning: how long and how boldly (Recipe), the step itself (GradientUpdate), and the
average of the weights it passes through (WeightAverage). The loop around them is loop.py.

Shapes: B batch.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from depthwise.compute import Compute

__all__ = [
    "BackboneUpdate",
    "GradientUpdate",
    "Recipe",
    "Update",
    "WeightAverage",
    "lr_factor",
    "set_rate",
]


@dataclass(frozen=True)
class Recipe:
    """How long and how boldly to train.

    | field          | unit, sensible range                                               |
    | -------------- | ------------------------------------------------------------------ |
    | `epochs`       | passes over the data, > 0; fractions allowed                       |
    | `batch_size`   | items a step, 8 .. 1024                                            |
    | `lr`           | peak learning rate; AdamW 1e-3 .. 1e-2, SGD 1e-2 .. 1              |
    | `optimizer`    | "adamw" or "sgd" (Nesterov momentum 0.9)                           |
    | `schedule`     | "onecycle", "cosine" (short warm-up) or "constant"                 |
    | `weight_decay` | 0 .. 0.1 for AdamW, 0 .. 1e-3 for SGD; never on biases or norms    |
    | `clip_norm`    | largest gradient norm, 0.5 .. 5; None leaves gradients alone       |
    | `average`      | share of the run the weight average looks back over, 0 .. 0.1      |
    | `patience`     | epochs without a better validation score before stopping; or None  |
    | `seed`         | any integer                                                        |
    | `enough`       | (passes, loss): once the loss of pass p is below `loss`, the run   |
    |                | ends after `passes`, or 2p where these are more; or None           |
    """

    epochs: float = 12
    batch_size: int = 128
    lr: float = 3e-3
    optimizer: str = "adamw"
    schedule: str = "onecycle"
    weight_decay: float = 0.02
    clip_norm: float | None = 2.0
    average: float = 0.02
    patience: int | None = None
    seed: int = 0
    enough: tuple[float, float] | None = None

    @classmethod
    def of(cls, model: object, **others: Any) -> Recipe:
        """An estimator's settings, with `others`."""
        own = {name: value for name, value in vars(model).items() if name in cls.__annotations__}
        return cls(**{**own, **others})


WARM_UP = {"onecycle": 0.25, "cosine": 0.05, "constant": 0.0}


def lr_factor(schedule: str, progress: float) -> float:
    """The learning rate as a share of its peak at `progress` in [0, 1] of the run.

    A cosine ramp up over the warm-up share, then a cosine fall to zero; "constant" stays at 1.
    One-cycle: Smith and Topin 2017; cosine: Loshchilov and Hutter 2017.
    """
    warm_up = WARM_UP[schedule]
    if progress < warm_up:
        return 0.04 + 0.96 * (1 - math.cos(math.pi * progress / warm_up)) / 2
    if schedule == "constant":
        return 1.0
    return (1 + math.cos(math.pi * (progress - warm_up) / (1 - warm_up))) / 2


class Update(Protocol):
    """One step of learning. `progress` in [0, 1) is how much of the run lies behind."""

    def __call__(self, inputs: Tensor, targets: Any, progress: float) -> Tensor: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> None: ...


def set_apart(
    optimizer: torch.optim.Optimizer, part: nn.Module, of_part: dict[str, Any], rest: dict[str, Any]
) -> None:
    """Each group of weights becomes two, those of `part` and the rest, with these marks."""
    inside = {id(weight) for weight in part.parameters()}
    groups = [
        {**group, "params": [p for p in group["params"] if (id(p) in inside) is here], **marks}
        for group in optimizer.param_groups
        for here, marks in ((True, of_part), (False, rest))
    ]
    optimizer.param_groups[:] = [group for group in groups if group["params"]]


def set_rate(group: dict[str, Any], rate: float) -> None:
    """Of a group of weights; in place where a recorded step reads it (graphs.py)."""
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(rate)
    else:
        group["lr"] = rate


class GradientUpdate:
    """Forward, loss, backward, clip, step."""

    def __init__(
        self,
        network: nn.Module,
        loss: Callable[[Tensor, Tensor], Tensor],
        recipe: Recipe,
        compute: Compute,
        augment: Callable[[Tensor], Tensor] | None = None,
    ):
        self.network, self.loss, self.recipe, self.compute = network, loss, recipe, compute
        self.augment = augment or (lambda batch: batch)
        if compute.channels_last:
            _keep_gradients_channels_last(network)
        self.optimizer = _optimizer(network, recipe)
        self.weights = [p for p in network.parameters() if p.requires_grad]

    def __call__(self, inputs: Tensor, targets: Any, progress: float) -> Tensor:
        for group in self.optimizer.param_groups:
            set_rate(group, self.rate(group, progress))
        loss = self.descend(inputs, targets, progress)
        self.after_step()
        return loss

    def after_step(self) -> None:
        """What else is done to the weights once a step is made."""

    def descend(self, inputs: Tensor, targets: Any, progress: float) -> Tensor:
        """The step itself, at the rates as they are set."""
        loss = self.objective(inputs, targets, progress)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self.recipe.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.weights, self.recipe.clip_norm)
        self.optimizer.step()
        return loss.detach()

    def objective(self, inputs: Tensor, targets: Any, progress: float) -> Tensor:
        """The loss of a batch, a scalar with its graph; `targets` as the loss takes them: (B, ...)
        or `losses.Weighted`."""
        inputs = self.compute.place_batch(self.augment(inputs))
        with self.compute.autocast():
            return self.loss(self.network(inputs), targets)

    def rate(self, group: dict[str, Any], progress: float) -> float:
        """The learning rate of one group of weights."""
        return self.recipe.lr * lr_factor(self.recipe.schedule, progress)

    def state_dict(self) -> dict[str, Any]:
        return self.optimizer.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The moments in the memory order of their weights: a fused step goes through both as they
        lie, and takes those of other places where the orders differ."""
        self.optimizer.load_state_dict(state)
        if self.compute.channels_last:
            _order_moments(self.optimizer)


class BackboneUpdate(GradientUpdate):
    """Gradient descent that is gentler with a backbone, `below`, than with all else.

        rate of the rest        eta(t)
        rate of the backbone    share * eta(t)

    What has been learnt on a million pictures should be adapted, not unlearnt; what is new must be
    learnt. Discriminative rates: Howard and Ruder 2018, section 3.2.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: Callable[[Tensor, Tensor], Tensor],
        recipe: Recipe,
        compute: Compute,
        augment: Callable[[Tensor], Tensor] | None = None,
        *,
        below: nn.Module,
        share: float = 0.1,
    ):
        super().__init__(network, loss, recipe, compute, augment)
        set_apart(self.optimizer, below, {"share": share}, {"share": 1.0})

    def rate(self, group: dict[str, Any], progress: float) -> float:
        return float(group["share"]) * super().rate(group, progress)


def _keep_gradients_channels_last(network: nn.Module) -> None:
    """A flattening behind a max-pool hands it an NCHW gradient, and torch then copies three large
    arrays from one order to the other and back: a tenth of a small network's step."""
    for module in network.modules():
        if (
            isinstance(module, nn.MaxPool2d)
            and _order_gradient not in module._forward_hooks.values()
        ):
            module.register_forward_hook(_order_gradient)


def _order_moments(optimizer: torch.optim.Optimizer) -> None:
    for weight, own in optimizer.state.items():
        for name, value in own.items():
            if isinstance(value, Tensor) and value.shape == weight.shape:
                own[name] = torch.empty_like(weight, dtype=value.dtype).copy_(value)


def _order_gradient(module: nn.Module, inputs: Any, output: Tensor) -> None:
    if output.requires_grad:
        output.register_hook(_as_channels_last)


def _as_channels_last(gradient: Tensor) -> Tensor:
    return gradient.contiguous(memory_format=torch.channels_last)


def _optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    weights = [p for p in network.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in weights if p.dim() > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in weights if p.dim() <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, recipe.lr, momentum=0.9, nesterov=True, fused=True)
    return torch.optim.AdamW(groups, recipe.lr, betas=(0.9, 0.99), fused=True)


class WeightAverage:
    """a <- k a + (1 - k) w after every step: an exponential average that looks back over `horizon`
    steps, less in the first ones, when there is little to look back on (k = min(1 - 1/horizon,
    (1 + t) / (10 + t))). Polyak and Juditsky 1992. `network` holds the average; with a horizon of 0
    it is the learning network itself, and nothing is copied."""

    def __init__(self, network: nn.Module, horizon: float):
        self.is_live = horizon <= 0
        self.network = network if self.is_live else copy.deepcopy(network).eval()
        self.decay = 1 - 1 / max(1.0, horizon)
        self.averages, self.weights = _float_tensors(self.network), _float_tensors(network)

    @torch.no_grad()
    def update(self, step: int) -> None:
        if self.is_live:
            return
        keep = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.averages, self.weights, 1 - keep)


def _float_tensors(network: nn.Module) -> list[Tensor]:
    return [t for t in (*network.parameters(), *network.buffers()) if t.is_floating_point()]

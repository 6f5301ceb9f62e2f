"""Batch-mode fine-tuning of one module's lower weights, its upper weights in closed form.

A step takes a large batch (thousands of items):

    features of the batch -> its Gram -> U, c by ridge regression -> dJ/dW through them -> W moves

`memory` = 0 is the paper's batch mode: U is the best for this batch, the gradient is exact.
`memory` = m > 0 lets earlier batches' Grams count m, m^2, ..: smaller batches will do, at the price
of a U that lags behind W. `noise` hides that share of the inputs, anew at every step (the rest is
scaled up), and `dropout` does the same to hidden units, in closed form (gram.py); both are ways not
to learn the training items by heart.

Shapes: B batch, D inputs of the module, L features, K targets.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from depthwise.compute import Compute
from depthwise.families.dsn.gram import Gram, fast_products
from depthwise.families.dsn.module import ConvexModule, feature_gradient
from depthwise.training.step import Recipe, lr_factor

__all__ = ["ClosedFormUpdate"]

Batch = Callable[[Tensor], tuple[Tensor, Tensor, Tensor | None]]


class ClosedFormUpdate:
    """One step on one module; its loss is the squared error and ridge, per item of the batch.

    `batch`: what the loop hands over -> the module's inputs (B, D), targets (B, K) and weights
    (B,), None where all count once; `n_items`: how many the `ridge` is meant for: a batch takes its
    share of it.
    """

    def __init__(
        self,
        module: ConvexModule,
        batch: Batch,
        recipe: Recipe,
        *,
        n_items: float,
        ridge: float,
        dropout: float = 0.0,
        noise: float = 0.0,
        memory: float = 0.0,
        compute: Compute | None = None,
    ):
        self.module, self.batch, self.recipe, self.n_items = module, batch, recipe, n_items
        self.ridge, self.dropout, self.noise, self.memory = ridge, dropout, noise, memory
        self.compute = compute or Compute()
        self.gram = Gram(*module.upper.shape, device=module.upper.device)
        self.optimizer = _optimizer(module, recipe)

    @torch.no_grad()
    def __call__(self, inputs: Tensor, targets: Tensor, progress: float) -> Tensor:
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.lr * lr_factor(self.recipe.schedule, progress)
        z, t, weights = self.batch(inputs)
        with fast_products(self.compute):
            objective = self.set_gradient(self._hide(z), t, weights)
        self.optimizer.step()
        return objective

    @torch.no_grad()
    def set_gradient(self, z: Tensor, t: Tensor, weights: Tensor | None = None) -> Tensor:
        """Solve for the upper weights, set the lower ones' `.grad`; returns J / B, B the sum of
        the weights."""
        features = self.module.features(z)
        self.gram.fade(self.memory).add(features, t, weights)
        ridge = self.ridge / self.n_items
        upper, bias = self.gram.solve(ridge * self.gram.items, self.dropout)
        self.module.set_upper(upper, bias)
        residual = torch.addmm(self.module.upper_bias, features, self.module.upper) - t
        gradient = feature_gradient(features, residual, self.module.upper, self.dropout)
        squares, items = residual.square().sum(dim=1), float(len(z))
        if weights is not None:
            w = weights.to(gradient.dtype)
            gradient.mul_(w[:, None])
            squares, items = squares * w, float(w.sum())
        self.module.pull_back(z, features, gradient.div_(items))
        return squares.sum() / items + ridge * self.module.upper.square().sum()

    def _hide(self, z: Tensor) -> Tensor:
        return torch.nn.functional.dropout(z, self.noise) if self.noise else z

    def state_dict(self) -> dict[str, Any]:
        kept = self.gram.state_dict() if self.memory else {}
        return {"optimizer": self.optimizer.state_dict(), "gram": kept}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.optimizer.load_state_dict(state["optimizer"])
        if state["gram"]:
            self.gram.load_state_dict(state["gram"])


def _optimizer(module: ConvexModule, recipe: Recipe) -> torch.optim.Optimizer:
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(module.lower(), recipe.lr, momentum=0.9, nesterov=True)
    settings: dict[str, Any] = {"betas": (0.9, 0.99), "weight_decay": recipe.weight_decay}
    return torch.optim.AdamW(module.lower(), recipe.lr, **settings)

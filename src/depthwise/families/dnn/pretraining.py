"""Generative pretraining of a DNN: each hidden layer first learns to model what the one below it
makes of the data, without labels, bottom up.

"dbn": layer l is the restricted Boltzmann machine of weights W and hidden biases b, learnt by
contrastive divergence on the means of the layer below (Hinton, Osindero and Teh 2006):

    p(h_j = 1 | v) = s(b_j + (v'W)_j)           v the layer below, in [0, 1]; or Gaussian at l = 1

"autoencoder": layer l is the encoder of a denoising autoencoder (Vincent et al. 2010, JMLR
11:3371), whose decoder is thrown away. Some values of v are masked, and v itself is to come back:

    v~ = v * mask,   h = f(W'v~ + b),   t = V'h + c
    L  = sum_i softplus(t_i) - v_i t_i  for v in [0, 1],   sum_i (v_i - t_i)^2  otherwise

Then W and b are copied up (where the visible units are Gaussian of variance s^2, W / s^2), and the
head begins near zero, so that fine-tuning starts from what the layers know.

Shapes: N items, B batch, D units below, H units of the layer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from depthwise.compute import Compute, own_randomness
from depthwise.families.boltzmann.contrastive import ContrastiveUpdate
from depthwise.families.boltzmann.network import RBMNetwork
from depthwise.families.dnn.network import DNNNetwork
from depthwise.training.stages import Stages
from depthwise.training.step import GradientUpdate, Recipe, Update

__all__ = ["DenoisingLayer", "Pretraining", "pretrain", "stage_names"]

HEAD_SPREAD = 0.01  # standard deviation of the head's first weights
GAUSSIAN_SHARE = 0.02  # of the learning rate, where visible units have no bounds
MOMENTUM = 0.9  # of machines
LOOKED_AT = 10_000  # items that visible biases are set from, at most
NAMES = {"dbn": "rbm", "autoencoder": "autoencoder"}


@dataclass(frozen=True)
class Pretraining:
    """How the layers are pretrained.

    | field          | unit, sensible range                                                  |
    | -------------- | --------------------------------------------------------------------- |
    | `kind`         | "dbn" or "autoencoder"                                                |
    | `gaussian`     | whether the inputs are standardised columns, rather than in [0, 1]    |
    | `epochs`       | passes over the data, a layer; 5 .. 50                                |
    | `lr`           | "dbn": 0.01 .. 0.1; "autoencoder": 3e-4 .. 3e-3                       |
    | `weight_decay` | of machines, 0 .. 1e-3                                                |
    | `masking`      | share of values masked by "autoencoder", 0.1 .. 0.5                   |
    | `batch_size`   | items a step, 10 .. 200                                               |
    | `seed`         | any integer                                                           |
    """

    kind: str
    gaussian: bool = False
    epochs: float = 10
    lr: float = 0.05
    weight_decay: float = 2e-4
    masking: float = 0.25
    batch_size: int = 100
    seed: int = 0

    def recipe(self, layer: int) -> Recipe:
        machine = self.kind == "dbn"
        return Recipe(
            epochs=self.epochs,
            batch_size=self.batch_size,
            lr=self.lr * (GAUSSIAN_SHARE if machine and self.gaussian and layer == 1 else 1.0),
            schedule="cosine",
            weight_decay=0.0,
            clip_norm=None if machine else 10.0,
            average=0.0,
            seed=self.seed + layer,
        )


class DenoisingLayer(nn.Module):
    """One layer of a denoising autoencoder; visible values (B, D) -> its loss, a scalar."""

    def __init__(self, below: int, units: int, activation: nn.Module, masking: float, unit: bool):
        super().__init__()
        self.encoder, self.activation = nn.Linear(below, units), activation
        self.decoder = nn.Linear(units, below)
        self.masking, self.unit = masking, unit

    def encode(self, v: Tensor) -> Tensor:
        """(B, D) -> (B, H)."""
        h: Tensor = self.activation(self.encoder(v))
        return h

    def reconstruction(self, v: Tensor, seen: Tensor) -> Tensor:
        """L of v (B, D), given what the encoder sees of it (B, D): (B,)."""
        t = self.decoder(self.encode(seen)).float()
        if self.unit:
            return (nn.functional.softplus(t) - v * t).sum(dim=1)
        return (v - t).square().sum(dim=1)

    def forward(self, v: Tensor) -> Tensor:
        return self.reconstruction(v, v * (torch.rand_like(v) >= self.masking)).mean()


class Below:
    """What the layers below layer l make of raw items: (B, ...) -> (B, H_{l-1})."""

    def __init__(self, network: DNNNetwork, layer: int, compute: Compute):
        self.network, self.layer, self.compute = network, layer, compute

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        network = self.network.eval()
        if self.layer == 1:
            return network.visible(x)
        with self.compute.autocast():
            return network.representations(x, self.layer - 1)[-1].float()


def stage_names(kind: str, layers: int) -> list[str]:
    return [f"{NAMES[kind]}-{layer}" for layer in range(1, layers + 1)]


def pretrain(network: DNNNetwork, inputs: Tensor, stages: Stages, how: Pretraining) -> None:
    """Pretrain every hidden layer of `network` in place on raw `inputs` (N, ...), one stage a
    layer; the head begins near zero."""
    with torch.no_grad(), own_randomness(how.seed, stages.compute.device):
        network.output.weight.normal_(std=HEAD_SPREAD)
        network.output.bias.zero_()
    learn = _learn_machine if how.kind == "dbn" else _learn_denoising
    names = stage_names(how.kind, len(network.linears))
    for layer, (name, linear) in enumerate(zip(names, network.linears), 1):
        below = Below(network, layer, stages.compute)
        learn(name, layer, linear, below, inputs, stages, how)


def _learn_machine(
    name: str,
    layer: int,
    linear: nn.Linear,
    below: Below,
    inputs: Tensor,
    stages: Stages,
    how: Pretraining,
) -> None:
    gaussian, recipe = how.gaussian and layer == 1, how.recipe(layer)
    with own_randomness(recipe.seed):
        kind = "gaussian" if gaussian else "bernoulli"
        machine = RBMNetwork(linear.in_features, linear.out_features, visible=kind)
    mean = _mean(below, inputs, stages.compute.device)
    bias = mean if gaussian else torch.logit(mean.clamp(0.01, 0.99))
    with torch.no_grad():
        machine.visible_bias.copy_(bias)
    machine.to(stages.compute.device)
    update = ContrastiveUpdate(
        machine,
        recipe,
        momentum=MOMENTUM,
        weight_decay=how.weight_decay,
        prepare=below,
        compute=stages.compute,
    )
    stages.run(name, update, recipe, network=machine, inputs=inputs)
    with torch.no_grad():
        linear.weight.copy_(machine.statistic(machine.weight.T))
        linear.bias.copy_(machine.hidden_bias)


def _learn_denoising(
    name: str,
    layer: int,
    linear: nn.Linear,
    below: Below,
    inputs: Tensor,
    stages: Stages,
    how: Pretraining,
) -> None:
    recipe = how.recipe(layer)
    activation = below.network.activation()
    within_unit = not how.gaussian if layer == 1 else isinstance(activation, nn.Sigmoid)
    with own_randomness(recipe.seed):
        sizes = (linear.in_features, linear.out_features)
        learner = DenoisingLayer(*sizes, activation, how.masking, within_unit)
    mean = _mean(below, inputs, stages.compute.device)
    with torch.no_grad():
        learner.encoder.load_state_dict(linear.state_dict())
        learner.decoder.weight.copy_(linear.weight.T)
        learner.decoder.bias.copy_(torch.logit(mean.clamp(0.01, 0.99)) if within_unit else mean)
    stages.compute.place(learner)
    update: Update = GradientUpdate(learner, _as_it_is, recipe, stages.compute, below)
    stages.run(name, update, recipe, network=learner, inputs=inputs)
    linear.load_state_dict(learner.encoder.state_dict())


def _as_it_is(loss: Tensor, targets: Tensor) -> Tensor:
    return loss


def _mean(below: Callable[[Tensor], Tensor], inputs: Tensor, device: str) -> Tensor:
    """Mean activations of the layer below (D,), over the first items."""
    parts = inputs[:LOOKED_AT].split(1000)
    total = torch.stack([below(part.to(device)).sum(dim=0) for part in parts]).sum(dim=0)
    return (total / min(len(inputs), LOOKED_AT)).cpu()

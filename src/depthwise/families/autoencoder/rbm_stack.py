"""Greedy pretraining of a deep autoencoder: a stack of restricted Boltzmann machines, unrolled.

Hinton and Salakhutdinov 2006 (Science 313:504). Machine l learns from the hidden probabilities of
the machine below. All have logistic hidden units but the topmost, the code, whose hidden units are
linear with Gaussian noise of variance 1 (Welling, Rosen-Zvi and Hinton 2005):

    E(v, h) = -a'v - v'W h + |h - b|^2 / 2
    h | v ~ N(b + W'v, I)        p(v_i = 1 | h) = s(a_i + (W h)_i)
    F(v)    = -a'v - |x|^2 / 2 + |b|^2 / 2 - (H / 2) log 2 pi,     x = b + W'v

Its learning rate must be ten to a hundred times below the others', since nothing bounds h.
Contrastive divergence, CD-1:

    dW = <v h'>data - <v h'>reconstruction,  da, db likewise;  h by its mean, driving v by a draw

Unrolled, the encoder's layer l has W_l' and b_l, the decoder's mirror of it W_l and a_l: the same
function as passing up and down the stack by means. From there on the two are trained apart.

Shapes: B batch, D visible units, H hidden units.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from depthwise.compute import Compute, own_randomness
from depthwise.families.autoencoder.network import AutoencoderNetwork, Centre
from depthwise.families.boltzmann.contrastive import ContrastiveUpdate
from depthwise.families.boltzmann.network import RBMNetwork
from depthwise.training.stages import Stages
from depthwise.training.step import Recipe, Update, lr_factor

__all__ = ["CodeRBM", "CodeUpdate", "activations", "pretrain_stack", "stack_machines", "unroll"]

MOMENTUM = 0.9
SETTLED = 0.1  # share of the run after which the code's momentum rises from 0.5


class CodeRBM(RBMNetwork):
    """A machine whose hidden units are linear with unit Gaussian noise."""

    def hidden_mean_of(self, x: Tensor) -> Tensor:
        return x

    def sample_hidden_of(self, x: Tensor) -> Tensor:
        return x + torch.randn_like(x)

    def hidden_evidence(self, x: Tensor) -> Tensor:
        """The log of the integral over all hidden states, at total inputs x. (B, H) -> (B,)."""
        constant = 0.5 * x.shape[1] * math.log(2 * math.pi)
        return 0.5 * (x.square() - self.hidden_bias.square()).sum(dim=1) + constant


class CodeUpdate:
    """One CD-1 step on a CodeRBM. Its reported loss is the squared reconstruction error."""

    def __init__(
        self,
        rbm: CodeRBM,
        recipe: Recipe,
        prepare: Callable[[Tensor], Tensor],
        compute: Compute,
    ):
        self.rbm, self.recipe, self.prepare, self.compute = rbm, recipe, prepare, compute
        self.velocity = {name: torch.zeros_like(p) for name, p in rbm.named_parameters()}

    @torch.no_grad()
    def __call__(self, inputs: Tensor, targets: Tensor, progress: float) -> Tensor:
        rate = self.recipe.lr * lr_factor(self.recipe.schedule, progress)
        momentum = MOMENTUM if progress >= SETTLED else 0.5
        v = self.prepare(inputs)
        gradients, error = self.contrast(v)
        for name, weight in self.rbm.named_parameters():
            if name not in gradients:
                continue  # log-variances stay as they are
            decay = self.recipe.weight_decay if weight.dim() > 1 else 0.0
            step = gradients[name] - decay * weight
            weight.add_(self.velocity[name].mul_(momentum).add_(step, alpha=rate))
        return error

    def contrast(self, v: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """The CD-1 gradient at v (B, D), and the squared error of the reconstruction."""
        rbm = self.rbm
        with self.compute.autocast():
            up = rbm.hidden_mean(v).to(v.dtype)
            back = rbm.visible_mean(rbm.sample_hidden_of(up)).to(v.dtype)
            again = rbm.hidden_mean(back).to(v.dtype)
            seen, made = rbm.statistic(v), rbm.statistic(back)
            weight = seen.T @ up - made.T @ again
        sums = {
            "weight": weight.to(v.dtype),
            "visible_bias": (seen - made).sum(dim=0),
            "hidden_bias": (up - again).sum(dim=0),
        }
        error = (v - back).square().sum(dim=1).mean()
        return {name: total / len(v) for name, total in sums.items()}, error

    def state_dict(self) -> dict[str, Any]:
        return dict(self.velocity)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            self.velocity[name].copy_(value)


def stack_machines(widths: Sequence[int], visible: str, code: str) -> list[RBMNetwork]:
    """Fresh machines between the widths (D, H_1, .., Z); `code` "linear" or "logistic"."""
    machines = []
    for i, (below, above) in enumerate(itertools.pairwise(widths)):
        top = i == len(widths) - 2
        kind = CodeRBM if top and code == "linear" else RBMNetwork
        machines.append(kind(below, above, visible=visible if i == 0 else "bernoulli"))
    return machines


def activations(machines: Sequence[RBMNetwork], v: Tensor) -> Tensor:
    """The hidden means of the topmost of `machines`, each fed with the one below. (B, D)."""
    for machine in machines:
        v = machine.hidden_mean(v)
    return v


def pretrain_stack(
    stages: Stages, network: AutoencoderNetwork, widths: Sequence[int], code: str, recipe: Recipe
) -> list[RBMNetwork]:
    """Machines between the widths, learnt one after the other from `stages.inputs`: CD-1, the lower
    ones fixed and passing up their means. Stages "rbm-1", "rbm-2", ..; `recipe.lr` is that of
    logistic units; a code has a tenth of it, Gaussian visible units a hundredth."""
    visible = "bernoulli" if network.bernoulli else "gaussian"
    with own_randomness(recipe.seed):
        machines = stack_machines(widths, visible, code)
    below: list[RBMNetwork] = []
    for i, machine in enumerate(machines):
        stages.compute.place(machine)
        if i == 0:
            begin_at_the_output(machine, network)
        prepare = partial(_as_seen, network, tuple(below))
        slower = 100 if machine.gaussian else 10 if isinstance(machine, CodeRBM) else 1
        at = replace(recipe, lr=recipe.lr / slower)
        stages.run(f"rbm-{i + 1}", _update(machine, at, prepare, stages), at, network=machine)
        below.append(machine)
    return machines


def _update(
    machine: RBMNetwork, recipe: Recipe, prepare: Callable[[Tensor], Tensor], stages: Stages
) -> Update:
    if isinstance(machine, CodeRBM):
        return CodeUpdate(machine, recipe, prepare, stages.compute)
    decay = recipe.weight_decay
    return ContrastiveUpdate(
        machine,
        recipe,
        momentum=MOMENTUM,
        weight_decay=decay,
        prepare=prepare,
        compute=stages.compute,
    )


def _as_seen(network: AutoencoderNetwork, below: Sequence[RBMNetwork], x: Tensor) -> Tensor:
    """Raw items as the hidden means of the machines below, or the visible values."""
    return activations(below, network.visible(x))


@torch.no_grad()
def begin_at_the_output(machine: RBMNetwork, network: AutoencoderNetwork) -> None:
    """The lowest machine's visible biases are those that the data gave the output units."""
    machine.visible_bias.copy_(_linears(network.decoder)[-1].bias)


@torch.no_grad()
def unroll(network: AutoencoderNetwork, machines: Sequence[RBMNetwork]) -> None:
    """Give `network`, dense and logistic, the machines' weights: up in the encoder, down in the
    decoder. Where a layer is given h - 1/2, its bias takes W'1/2 in."""
    for machine, up, down in zip(machines, network.encoder, list(network.decoder)[::-1]):
        # what multiplies W is v / s^2 where the visible units are Gaussian
        _set_layer(up, machine.statistic(machine.weight.T), machine.hidden_bias)
        _set_layer(down, machine.weight, machine.visible_bias)


def _set_layer(layer: nn.Module, weight: Tensor, bias: Tensor) -> None:
    (linear,) = _linears(layer)
    linear.weight.copy_(weight)
    centred = any(isinstance(part, Centre) for part in layer.modules())
    linear.bias.copy_(bias + 0.5 * weight.sum(dim=1) if centred else bias)


def _linears(stack: nn.Module) -> list[nn.Linear]:
    return [module for module in stack.modules() if isinstance(module, nn.Linear)]

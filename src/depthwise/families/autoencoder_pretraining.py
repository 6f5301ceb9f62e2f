"""Greedy pretraining of a deep autoencoder: a stack of restricted Boltzmann machines, unrolled.

Hinton and Salakhutdinov 2006 (Science 313:504). Machine l learns from the hidden probabilities of
the machine below. All have logistic hidden units but the topmost, the code, whose hidden units are
linear with Gaussian noise of variance 1 (Welling, Rosen-Zvi and Hinton 2005):

    E(v, h) = -a'v - v'W h + |h - b|^2 / 2
    h | v ~ N(b + W'v, I)        p(v_i = 1 | h) = s(a_i + (W h)_i)
    F(v)    = -a'v - |x|^2 / 2 + |b|^2 / 2 - (H / 2) log 2 pi,     x = b + W'v

Its noise bounds how large W may grow before the code is all signal; its learning rate must be ten
to a hundred times below the others', since nothing bounds h. Contrastive divergence, CD-1:

    dW = <v h'>data - <v h'>reconstruction      da, db likewise,   h by its mean, driving v by a draw

Unrolled, the encoder's layer l has W_l' and b_l, the decoder's mirror of it W_l and a_l: the same
function as passing up and down the stack by means. From there on the two are trained apart.

Shapes: B batch, D visible units, H hidden units.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from depthwise.compute import Compute
from depthwise.families.autoencoder_network import AutoencoderNetwork
from depthwise.families.rbm_network import RBMNetwork
from depthwise.updates import Recipe, lr_factor

__all__ = ["CodeRBM", "CodeUpdate", "activations", "stack_machines", "unroll"]

SETTLED = 0.1  # share of the run after which momentum rises from 0.5 to 0.9


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
    """One CD-1 step on a CodeRBM. The loss it tells is the squared error of the reconstruction."""

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
        momentum = 0.9 if progress >= SETTLED else 0.5
        v = self.prepare(inputs)
        gradients, error = self.contrast(v)
        for name, weight in self.rbm.named_parameters():
            if name not in gradients:
                continue  # log-variances stay as they are
            decay = self.recipe.weight_decay if weight.dim() > 1 else 0.0
            step = gradients[name] - decay * weight
            weight += self.velocity[name].mul_(momentum).add_(step, alpha=rate)
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
    for i, (below, above) in enumerate(zip(widths[:-1], widths[1:])):
        top = i == len(widths) - 2
        kind = CodeRBM if top and code == "linear" else RBMNetwork
        machines.append(kind(below, above, visible=visible if i == 0 else "bernoulli"))
    return machines


def activations(machines: Sequence[RBMNetwork], v: Tensor) -> Tensor:
    """The hidden means of the topmost of `machines`, each fed with the one below. (B, D)."""
    for machine in machines:
        v = machine.hidden_mean(v)
    return v


@torch.no_grad()
def unroll(network: AutoencoderNetwork, machines: Sequence[RBMNetwork]) -> None:
    """Give `network`, dense and logistic, the machines' weights: up in the encoder, down in the
    decoder."""
    up, down = _linears(network.encoder), _linears(network.decoder)[::-1]
    for machine, encoding, decoding in zip(machines, up, down, strict=True):
        # what multiplies W is v / s^2 where the visible units are Gaussian
        encoding.weight.copy_(machine.statistic(machine.weight.T))
        encoding.bias.copy_(machine.hidden_bias)
        decoding.weight.copy_(machine.weight)
        decoding.bias.copy_(machine.visible_bias)


def _linears(stack: nn.Module) -> list[nn.Linear]:
    return [module for module in stack.modules() if isinstance(module, nn.Linear)]

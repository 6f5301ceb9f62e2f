"""The deep Boltzmann machine (Salakhutdinov and Hinton 2009): layers h0 = v, h1, ..., hL of units,
each connected to the next one and to no other.

    E(h0, ..., hL) = - sum_l b_l'h_l - sum_l h_{l-1}'W_l h_l          p = exp(-E) / Z
    p(h_l = 1 | neighbours) = s(b_l + W_l'h_{l-1} + W_{l+1} h_{l+1})  s the logistic function

Unlike a deep belief network it has undirected connections all the way: what is inferred for a layer
depends on the layer above as well. Gaussian visible units have variance 1 (columns come in
standardised): E gains |v|^2 / 2, and v | h1 ~ N(b_0 + W_1 h1, 1).

Odd layers are independent given the even ones, and the reverse. So two half-sweeps update every
unit: of Gibbs sampling, and of mean-field inference, which maximises over q(h) = prod q_j the bound

    log p(v) >= sum_q q(h) log p*(v, h) + H(q) - log Z,     p* = exp(-E)

by the fixed point q_l = s(b_l + W_l'q_{l-1} + W_{l+1} q_{l+1}), q_0 = v. It starts from one pass
bottom-up with doubled weights, which make up for the absent layer above.

Our names: W_l weights[l - 1] (H_{l-1}, H_l), b_l biases[l], L depth, q means, log Z log_z[0].
Shapes: B batch, D visible units, H_l units of layer l (H_0 = D), M chains.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from depthwise.errors import InputError
from depthwise.families.boltzmann.sampling import sample_bernoulli
from depthwise.families.dbm.classifier import MeanFieldClassifier, features
from depthwise.layers import VisibleUnits

__all__ = ["DBMNetwork", "entropy"]


class DBMNetwork(VisibleUnits):
    """One machine: its energy, its conditionals, inference and sampling.

    `hidden`: units of each hidden layer, bottom up, two layers or more. `steps`: most mean-field
    steps an inference takes. `chains`: persistent Gibbs chains kept with the weights; their states
    are what learning left them at, and the start of every sample. `n_classes`: of the classifier on
    top (classifier.py), which has `dropout` and `input_dropout` and whose logits (B, K) are the
    network's answer; with 0 there is none, and the answer is the mean-field reconstruction (B, D).
    """

    log_z: Tensor  # (2,): log Z and its standard error, nan where unknown
    chains: Tensor  # (M, H_1 + H_3 + ...) uint8: the odd layers say all about a chain

    def __init__(
        self,
        input_shape: tuple[int, ...],
        hidden: Sequence[int],
        *,
        visible: str = "bernoulli",
        steps: int = 30,
        chains: int = 100,
        n_classes: int = 0,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
    ):
        super().__init__(input_shape)
        if len(hidden) < 2:
            raise InputError(f"hidden must name 2 layers or more; got {tuple(hidden)}. Use RBM.")
        self.sizes = (self.n_visible, *hidden)
        self.depth, self.gaussian, self.steps = len(hidden), visible == "gaussian", steps
        pairs = itertools.pairwise(self.sizes)
        self.weights = nn.ParameterList(torch.randn(below, h) * 0.01 for below, h in pairs)
        self.biases = nn.ParameterList(torch.zeros(size) for size in self.sizes)
        self.register_buffer("log_z", torch.full((2,), math.nan))
        odd_units = sum(self.sizes[1::2])
        self.register_buffer("chains", torch.zeros(chains, odd_units, dtype=torch.uint8))
        self.classifier: MeanFieldClassifier | None = None
        if n_classes:
            self.classifier = MeanFieldClassifier(
                self.sizes, n_classes, dropout=dropout, input_dropout=input_dropout
            )

    # -- one layer ------------------------------------------------------------------------------

    def layer_input(self, layer: int, states: Sequence[Tensor]) -> Tensor:
        """b_l + W_l'h_{l-1} + W_{l+1} h_{l+1}: what a layer's neighbours say to it. (B, H_l)."""
        x = self.biases[layer]
        if layer > 0:
            x = torch.addmm(x, states[layer - 1], self.weights[layer - 1])
        if layer < self.depth:
            x = torch.addmm(x, states[layer + 1], self.weights[layer].t())
        return x

    def mean_of(self, layer: int, x: Tensor) -> Tensor:
        """The mean of a layer's units at total inputs x."""
        return x if self.gaussian and layer == 0 else torch.sigmoid(x)

    def sample_of(self, layer: int, x: Tensor) -> Tensor:
        """A draw of a layer's units at total inputs x, from torch's default generator."""
        if self.gaussian and layer == 0:
            return x + torch.randn_like(x)
        return sample_bernoulli(torch.sigmoid(x))

    def log_sum_of(self, layer: int, x: Tensor) -> Tensor:
        """The log of the sum (or integral) over a layer's states at total inputs. (B,) float64."""
        if self.gaussian and layer == 0:
            return 0.5 * (x**2 + math.log(2 * math.pi)).sum(dim=1, dtype=torch.float64)
        return softplus(x).sum(dim=1, dtype=torch.float64)

    # -- inference ------------------------------------------------------------------------------

    def bottom_up(self, v: Tensor) -> list[Tensor]:
        """The start of mean-field: [v, q_1, ..., q_L], the weights below the top layer doubled."""
        means = [v]
        for layer in range(1, self.depth + 1):
            doubling = 1 if layer == self.depth else 2
            bias, weight = self.biases[layer], self.weights[layer - 1]
            means.append(torch.sigmoid(torch.addmm(bias, means[-1], weight, alpha=doubling)))
        return means

    def mean_field(
        self, v: Tensor, *, steps: int | None = None, tolerance: float | None = None
    ) -> list[Tensor]:
        """[v, q_1, ..., q_L] of v (B, D) after `steps` steps (default: the network's), fewer where
        no mean moves by more than `tolerance` any more."""
        means = self.bottom_up(v)
        drive = torch.addmm(self.biases[1], v, self.weights[0])  # v stays: its say is computed once
        for _ in range(self.steps if steps is None else steps):
            before = means[1]
            for layer in (*range(1, self.depth + 1, 2), *range(2, self.depth + 1, 2)):
                if layer == 1:
                    x = torch.addmm(drive, means[2], self.weights[1].t())
                else:
                    x = self.layer_input(layer, means)
                means[layer] = torch.sigmoid(x)
            if tolerance is not None and _distance(before, means[1]) <= tolerance:
                break
        return means

    def bound(self, v: Tensor, means: Sequence[Tensor]) -> Tensor:
        """The bound on log p(v) + log Z that the means (of layers 0 .. L) give. (B,), nats."""
        total = -self.energy([v, *means[1:]])
        for mean in means[1:]:
            total = total + entropy(mean).sum(dim=1)
        return total

    def energy(self, states: Sequence[Tensor]) -> Tensor:
        """E of states (or, since it is linear in each layer, its mean under q). (B,)."""
        total = 0.5 * (states[0] ** 2).sum(dim=1) if self.gaussian else states[0].new_zeros(())
        for layer, state in enumerate(states):
            field = self.biases[layer]
            if layer > 0:
                field = torch.addmm(field, states[layer - 1], self.weights[layer - 1])
            total = total - (state * field).sum(dim=1)
        return total

    # -- sampling -------------------------------------------------------------------------------

    def gibbs(self, states: Sequence[Tensor], sweeps: int) -> list[Tensor]:
        """States (B, H_l) of layers 0 .. L after block Gibbs sweeps: odd layers, then even ones."""
        current = list(states)
        for _ in range(sweeps):
            for parity in (1, 0):
                for layer in range(parity, self.depth + 1, 2):
                    current[layer] = self.sample_of(layer, self.layer_input(layer, current))
        return current

    def chain_states(self) -> list[Tensor]:
        """The persistent chains' states of layers 0 .. L, the even ones drawn anew."""
        return self.completed(self.chains.to(self.biases[0].dtype))

    def completed(self, odd: Tensor) -> list[Tensor]:
        """All layers' states, the odd ones given side by side (B, H_1 + H_3 + ...), the even ones
        drawn from their conditionals."""
        states = [odd] * (self.depth + 1)
        states[1::2] = odd.split(self.sizes[1::2], dim=1)
        for layer in range(0, self.depth + 1, 2):
            states[layer] = self.sample_of(layer, self.layer_input(layer, states))
        return states

    # -- what users see -------------------------------------------------------------------------

    def reconstruct(self, x: Tensor) -> Tensor:
        """Raw items -> means of the visible units given the mean-field means of layer 1. (B, D)."""
        means = self.mean_field(self.visible(x))
        return self.mean_of(0, self.layer_input(0, means))

    def representations(self, x: Tensor) -> list[Tensor]:
        """Mean-field means (B, H_l) of every hidden layer, bottom up."""
        return self.mean_field(self.visible(x))[1:]

    def forward(self, x: Tensor) -> Tensor:
        if self.classifier is None:
            return self.reconstruct(x)
        logits: Tensor = self.classifier(self.features(x))
        return logits

    def features(self, x: Tensor) -> Tensor:
        """Raw items -> what the classifier takes in: v, q_2, ..., q_L side by side (B, F)."""
        return features(self.mean_field(self.visible(x)))


def entropy(q: Tensor) -> Tensor:
    """- q log q - (1 - q) log(1 - q), nats, of each unit; 0 at 0 and at 1."""
    return torch.special.entr(q) + torch.special.entr(1 - q)


def _distance(before: Tensor, after: Tensor) -> float:
    return float((after - before).abs().max())

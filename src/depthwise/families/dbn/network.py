"""The deep belief network: directed layers below, a restricted Boltzmann machine on top.

    p(v, h_1 .. h_L) = p(v | h_1) p(h_1 | h_2) .. p(h_{L-2} | h_{L-1}) p_top(h_{L-1}, h_L, y)

Layer l is drawn from the layer above it with its generative weights G, guessed from the layer below
it with its recognition weights R (h_0 = v; s is the logistic function):

    p(h_{l-1} = 1 | h_l) = s(c + G h_l)          q(h_l = 1 | h_{l-1}) = s(r + h_{l-1}'R)

After greedy learning R = G = the weights of machine l; up-down learning unties them (updown.py).
Gaussian visible units are drawn from N(c + G h_1, s^2).

Likelihood. With F the top machine's free energy, a lower bound that is tight where q is exact:

    log p(v) >= E_q[ sum_l log p(h_{l-1} | h_l) - log q(h_l | h_{l-1}) - F(h_{L-1}) ] - log Z

(Hinton, Osindero and Teh 2006; Salakhutdinov and Murray 2008). The expectation is an average over
states drawn upwards, with log q taken at the same draws: an exact q leaves no noise at all. The
same uniform numbers serve every item, so that an item's bound does not depend on its neighbours,
and they form a Latin hypercube: each unit's are spread evenly.

Classes. p(y | h_{L-1}) is the softmax of -F(h_{L-1}, y), every label clamped in turn.

Shapes: B batch, D units below, H units above, K labels, S draws, M chains.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from depthwise.families.boltzmann.network import RBMNetwork
from depthwise.families.boltzmann.sampling import sample_bernoulli
from depthwise.families.boltzmann.tempering import Base
from depthwise.layers import Standardise

__all__ = ["FANTASIES", "DBNNetwork", "DirectedLayer"]

FANTASIES = 64  # kept to begin sampling from: from noise it may end where no training ever led


class DirectedLayer(nn.Module):
    """One layer, upwards by recognition weights and downwards by generative ones, both (D, H)."""

    log_variance: Tensor

    def __init__(self, below: int, above: int, *, visible: str = "bernoulli"):
        super().__init__()
        self.gaussian = visible == "gaussian"
        self.recognition_weight = nn.Parameter(torch.randn(below, above) * 0.01)
        self.recognition_bias = nn.Parameter(torch.zeros(above))
        self.generative_weight = nn.Parameter(self.recognition_weight.detach().clone())
        self.generative_bias = nn.Parameter(torch.zeros(below))
        if self.gaussian:
            self.register_buffer("log_variance", torch.zeros(below))

    @torch.no_grad()
    def copy_machine(self, rbm: RBMNetwork) -> None:
        """Both directions become those of a trained machine."""
        self.generative_weight.copy_(rbm.weight)
        self.generative_bias.copy_(rbm.visible_bias)
        self.recognition_weight.copy_(rbm.statistic(rbm.weight.t()).t())
        self.recognition_bias.copy_(rbm.hidden_bias)
        if self.gaussian:
            self.log_variance.copy_(rbm.log_variance)

    @torch.no_grad()
    def give_to(self, rbm: RBMNetwork) -> None:
        """Copy the layer's generative weights into a machine, which goes on from them."""
        rbm.weight.copy_(self.generative_weight)
        rbm.visible_bias.copy_(self.generative_bias)
        rbm.hidden_bias.copy_(self.recognition_bias)
        if self.gaussian:
            rbm.log_variance.copy_(self.log_variance)

    @property
    def is_one(self) -> bool:
        """Whether both directions are still those of one machine."""
        scale = torch.exp(-self.log_variance)[:, None] if self.gaussian else 1.0
        return torch.equal(self.recognition_weight, self.generative_weight * scale)

    def up_input(self, x: Tensor) -> Tensor:
        """Total inputs r + x'R. (B, D) -> (B, H)."""
        return torch.addmm(self.recognition_bias, x, self.recognition_weight)

    def up_mean(self, x: Tensor) -> Tensor:
        """q(h = 1 | x). (B, D) -> (B, H)."""
        return torch.sigmoid(self.up_input(x))

    def down_input(self, h: Tensor) -> Tensor:
        """Total inputs c + G h. (B, H) -> (B, D)."""
        return torch.addmm(self.generative_bias, h, self.generative_weight.t())

    def down_mean(self, h: Tensor) -> Tensor:
        """The mean of p(x | h). (B, H) -> (B, D)."""
        x = self.down_input(h)
        return x if self.gaussian else torch.sigmoid(x)

    def sample_down(self, h: Tensor) -> Tensor:
        """A draw from p(x | h). (B, H) -> (B, D)."""
        mean = self.down_mean(h)
        if self.gaussian:
            return mean + torch.randn_like(mean) * torch.exp(0.5 * self.log_variance)
        return sample_bernoulli(mean)

    def log_likelihood(self, x: Tensor, h: Tensor) -> Tensor:
        """log p(x | h), nats. (B, D), (B, H) -> (B,)."""
        t = self.down_input(h)
        if not self.gaussian:
            return log_bernoulli(x, t)
        squares = (x - t) ** 2 * torch.exp(-self.log_variance)
        return -0.5 * (squares + self.log_variance + math.log(2 * math.pi)).sum(dim=1)


class DBNNetwork(nn.Module):
    """Raw items (B, D) or (B, C, H, W) -> logits (B, K), or the items as seen by the model (B, D)
    where there are no labels.

    `hidden`: units of each layer, bottom up; the last two layers are the top machine. `visible`:
    "bernoulli" or "gaussian"; `n_labels`: classes, 0 for none.
    """

    log_z: Tensor  # of the top machine, and its standard error; NaN: unknown
    fantasies: Tensor  # of the top machine's visible units: states that it came to by itself
    top_mean: Tensor  # of the top machine's visible units, over the training data

    def __init__(
        self,
        input_shape: tuple[int, ...],
        hidden: tuple[int, ...],
        *,
        n_labels: int = 0,
        visible: str = "bernoulli",
    ):
        super().__init__()
        self.input_shape, self.n_labels = tuple(input_shape), n_labels
        widths = (math.prod(input_shape), *hidden)
        kinds = (visible, *["bernoulli"] * (len(hidden) - 1))
        self.standardise = Standardise(input_shape[0], image=len(input_shape) == 3)
        self.layers = nn.ModuleList(
            DirectedLayer(below, above, visible=kind)
            for below, above, kind in zip(widths, widths[1:-1], kinds)
        )
        self.top = RBMNetwork(widths[-2], widths[-1], visible=kinds[-1], n_labels=n_labels)
        self.register_buffer("log_z", torch.full((2,), math.nan, dtype=torch.float64))
        self.register_buffer("fantasies", torch.zeros(FANTASIES, widths[-2]))
        self.register_buffer("top_mean", torch.full((widths[-2],), 0.5))

    @property
    def directed(self) -> list[DirectedLayer]:
        """The layers below the top machine, bottom up."""
        layers: list[Any] = list(self.layers)
        return layers

    @property
    def is_greedy(self) -> bool:
        """Whether no up-down learning has parted the two directions of any layer yet."""
        return all(layer.is_one for layer in self.directed)

    # -- raw items and visible units ------------------------------------------------------------

    def visible(self, x: Tensor) -> Tensor:
        """Raw items -> visible units (B, D)."""
        return torch.flatten(self.standardise(x), 1)

    def draw_visible(self, x: Tensor) -> Tensor:
        """The same, Bernoulli units drawn from the values in [0, 1]: what is learnt from."""
        v = self.visible(x)
        gaussian = self.directed[0].gaussian if self.directed else self.top.gaussian
        return v if gaussian else sample_bernoulli(v)

    def raw(self, v: Tensor) -> Tensor:
        """Visible units (B, D) -> items (B, *input_shape) in raw units."""
        inputs = v.reshape(-1, *self.input_shape)
        return inputs / self.standardise.inverse_std + self.standardise.mean

    # -- upwards --------------------------------------------------------------------------------

    def features(self, v: Tensor) -> Tensor:
        """Means of the top machine's visible units, every layer's means taken for its states:
        (B, D) -> (B, H_{L-1})."""
        for layer in self.directed:
            v = layer.up_mean(v)
        return v

    def representations(self, x: Tensor) -> list[Tensor]:
        """Means of every hidden layer, bottom up, the labels unknown: (B, H_l) each."""
        means = [self.visible(x)]
        for layer in self.directed:
            means.append(layer.up_mean(means[-1]))
        return [*means[1:], self.top.hidden_mean(means[-1])]

    def forward(self, x: Tensor) -> Tensor:
        if not self.n_labels:
            return self.reconstruct(x)
        return -self.top.class_energies(self.features(self.visible(x)))

    # -- downwards ------------------------------------------------------------------------------

    def down(self, h: Tensor) -> Tensor:
        """Means of the visible units below states of the top machine's: (B, H_{L-1}) -> (B, D)."""
        for layer in reversed(self.directed[1:]):
            h = layer.sample_down(h)
        return self.directed[0].down_mean(h) if self.directed else h

    def reconstruct(self, x: Tensor) -> Tensor:
        """Up and down again by means alone. Raw items -> visible units (B, D)."""
        h = self.top.visible_mean(self.top.hidden_mean(self.features(self.visible(x))))
        for layer in reversed(self.directed):
            h = layer.down_mean(h)
        return h

    @torch.no_grad()
    def gibbs(self, v: Tensor, labels: Tensor | None, sweeps: int) -> Tensor:
        """The top machine's visible states (B, H_{L-1}) after `sweeps`, labels (B,) clamped, or
        drawn where None."""
        top = self.top
        h = top.sample_hidden(v, labels)
        for _ in range(sweeps):
            drawn = top.sample_labels(h) if self.n_labels and labels is None else labels
            v = top.sample_visible(h)
            h = top.sample_hidden(v, drawn)
        return v

    @torch.no_grad()
    def sample(self, n: int, labels: Tensor | None = None, *, sweeps: int = 500) -> Tensor:
        """Means of the visible units of n items (n, D): Gibbs sampling in the top machine from its
        fantasies, whatever their class, labels (n,) clamped if given; then one pass down."""
        start = self.fantasies[torch.randint(FANTASIES, (n,), device=self.fantasies.device)]
        v = self.gibbs(start, None if labels is None else self.top.one_hot(labels), sweeps)
        return self.down(v) if self.directed else self.top.visible_mean(self.top.sample_hidden(v))

    # -- likelihood -----------------------------------------------------------------------------

    @torch.no_grad()
    def bound(self, v: Tensor, labels: Tensor | None = None, *, draws: int = 16) -> Tensor:
        """The lower bound of log p(v) in nats, without the top's -log Z; of log p(v, y) if labels
        (B,) are given. (B, D) -> (B,). The draws' uniform numbers are torch's default
        generator's."""
        total = v.new_zeros(len(v))
        uniform = [latin_hypercube(draws, layer.recognition_bias) for layer in self.directed]
        for s in range(draws):
            h, evidence = v, v.new_zeros(len(v))
            for layer, u in zip(self.directed, uniform):
                x = layer.up_input(h)
                above = (torch.sigmoid(x) > u[s]).to(v.dtype)
                evidence += layer.log_likelihood(h, above) - log_bernoulli(above, x)
                h = above
            total += evidence - self.top.free_energy(h, labels)
            if not self.directed:
                return total
        return total / draws

    def base(self) -> Base:
        """Independent units with the training data's rates, for the top machine's log Z."""
        labels = self.top_mean.new_zeros(self.n_labels) if self.n_labels else None
        if self.top.gaussian:  # standardised
            return Base(self.top_mean, torch.zeros_like(self.top_mean), labels)
        return Base(torch.logit(0.95 * self.top_mean + 0.025), None, labels)

    @torch.no_grad()
    def strangeness(self, v: Tensor) -> Tensor:
        """The bound's opposite, without log Z, means taken for states: (B, D) -> (B,), nats."""
        evidence, h = v.new_zeros(len(v)), v
        for layer in self.directed:
            x = layer.up_input(h)
            above = torch.sigmoid(x)
            evidence += layer.log_likelihood(h, above) + entropy(x)
            h = above
        return self.top.free_energy(h) - evidence


def log_bernoulli(h: Tensor, x: Tensor) -> Tensor:
    """log probability of states h (B, H) of Bernoulli units at total inputs x. -> (B,)."""
    return (h * x - softplus(x)).sum(dim=1)


def entropy(x: Tensor) -> Tensor:
    """Of independent Bernoulli units at total inputs x: softplus(x) - x s(x), summed. -> (B,)."""
    return (softplus(x) - x * torch.sigmoid(x)).sum(dim=1)


def latin_hypercube(draws: int, like: Tensor) -> Tensor:
    """Uniform numbers (S, H): of each unit, one in every S-th part of [0, 1), in random order."""
    order = torch.rand(draws, len(like), device=like.device).argsort(dim=0)
    jitter = torch.rand(draws, len(like), dtype=like.dtype, device=like.device)
    return (order + jitter) / draws

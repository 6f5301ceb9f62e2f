"""The restricted Boltzmann machine: two layers of units, no connections within a layer.

Bernoulli visible units, v in {0, 1}^D (Smolensky 1986; Hinton 2002):

    E(v, h) = -a'v - b'h - v'W h        p(h_j = 1 | v) = s(b_j + (v'W)_j),  s the logistic function
    F(v)    = -a'v - sum_j softplus(b_j + (v'W)_j)         p(v_i = 1 | h) = s(a_i + (W h)_i)

    p(v) = exp(-F(v)) / Z               Z is the business of partition.py

Gaussian visible units, v in R^D, with learnt log-variances z = log s^2 (Cho, Ilin and Raiko 2011;
not Krizhevsky's form, whose mean is a + s W h):

    E(v, h) = sum_i (v_i - a_i)^2 / (2 s_i^2) - b'h - sum_ij (v_i / s_i^2) W_ij h_j
    p(h_j = 1 | v) = s(b_j + sum_i W_ij v_i / s_i^2)              v | h ~ N(a + W h, s^2)

Labels: a softmax group of K units among the visibles (Hinton 2006), one of which is on. It adds
-d'y - y'U h to the energy: p(y | h) = softmax(d + U h), and p(y | v) compares K free energies.

Rectified hidden units (Nair and Hinton 2010) stand for endlessly many binary copies of a unit with
biases shifted by -1/2, -3/2, ...: sampled as max(0, x + N(0, s(x))), x the total input. The free
energy is that of the copies, -sum_j sum_i softplus(x_j + 1/2 - i).

Our names: a visible_bias, b hidden_bias, W weight, z log_variance, d label_bias, U label_weight.
Shapes: B batch, D visible units, H hidden units, K labels.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot, softplus

from depthwise.errors import InputError
from depthwise.families.boltzmann.sampling import sample_bernoulli, sample_categories

__all__ = ["RBMNetwork"]


class RBMNetwork(nn.Module):
    """Energies, conditionals and samples of one machine; visible values (B, D) come in.

    `visible`: "bernoulli" (values in [0, 1]) or "gaussian"; `hidden`: "bernoulli" or "relu";
    `n_labels`: units of the softmax group, 0 for none. Labels are given as (B,) int64 or as one-hot
    rows (B, K); None leaves them out of a hidden unit's input, and sums them out of free energies.
    """

    log_variance: Tensor

    def __init__(
        self,
        n_visible: int,
        n_hidden: int,
        *,
        visible: str = "bernoulli",
        hidden: str = "bernoulli",
        n_labels: int = 0,
    ):
        super().__init__()
        if visible not in ("bernoulli", "gaussian"):
            raise InputError(f'visible must be "bernoulli" or "gaussian"; got {visible!r}.')
        if hidden not in ("bernoulli", "relu"):
            raise InputError(f'hidden must be "bernoulli" or "relu"; got {hidden!r}.')
        self.n_visible, self.n_hidden, self.n_labels = n_visible, n_hidden, n_labels
        self.gaussian, self.rectified = visible == "gaussian", hidden == "relu"
        # small weights between Gaussian units of the data's variance: a saddle that holds long
        scale = (n_visible + n_hidden) ** -0.5 if self.gaussian else 0.01
        self.weight = nn.Parameter(torch.randn(n_visible, n_hidden) * scale)
        self.visible_bias = nn.Parameter(torch.zeros(n_visible))
        self.hidden_bias = nn.Parameter(torch.zeros(n_hidden))
        if self.gaussian:
            self.log_variance = nn.Parameter(torch.zeros(n_visible))
        if n_labels:
            self.label_weight = nn.Parameter(torch.randn(n_labels, n_hidden) * 0.01)
            self.label_bias = nn.Parameter(torch.zeros(n_labels))

    # -- hidden units ---------------------------------------------------------------------------

    def statistic(self, v: Tensor) -> Tensor:
        """What multiplies the weights: v, or v / s^2 of Gaussian units. (B, D) -> (B, D)."""
        return v * torch.exp(-self.log_variance) if self.gaussian else v

    def hidden_input(self, v: Tensor, labels: Tensor | None = None) -> Tensor:
        """Total inputs b + v'W + y'U. (B, D) -> (B, H)."""
        x = torch.addmm(self.hidden_bias, self.statistic(v), self.weight)
        return x if labels is None else x + self.one_hot(labels) @ self.label_weight

    def hidden_mean(self, v: Tensor, labels: Tensor | None = None) -> Tensor:
        """p(h = 1 | v), or the mean of a rectified unit. (B, D) -> (B, H)."""
        return self.hidden_mean_of(self.hidden_input(v, labels))

    def hidden_mean_of(self, x: Tensor) -> Tensor:
        """The mean at total inputs x (B, H); of max(0, N(x, s(x))) where rectified."""
        if not self.rectified:
            return torch.sigmoid(x)
        deviation = torch.sigmoid(x).sqrt()
        z = x / deviation
        density = torch.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
        return x * torch.special.ndtr(z) + deviation * density

    def sample_hidden(self, v: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.sample_hidden_of(self.hidden_input(v, labels))

    def sample_hidden_of(self, x: Tensor) -> Tensor:
        """A draw at total inputs x (B, H)."""
        if not self.rectified:
            return sample_bernoulli(torch.sigmoid(x))
        return (x + torch.randn_like(x) * torch.sigmoid(x).sqrt()).clamp_(min=0)

    # -- visible units --------------------------------------------------------------------------

    def visible_input(self, h: Tensor) -> Tensor:
        """Total inputs a + W h. (B, H) -> (B, D)."""
        return torch.addmm(self.visible_bias, h, self.weight.t())

    def visible_mean(self, h: Tensor) -> Tensor:
        x = self.visible_input(h)
        return x if self.gaussian else torch.sigmoid(x)

    def sample_visible(self, h: Tensor) -> Tensor:
        return self.sample_visible_of(self.visible_input(h))

    def sample_visible_of(self, x: Tensor) -> Tensor:
        """A draw at total inputs x (B, D), Gaussian noise included."""
        if self.gaussian:
            return x + torch.randn_like(x) * torch.exp(0.5 * self.log_variance)
        return sample_bernoulli(torch.sigmoid(x))

    def label_input(self, h: Tensor) -> Tensor:
        """Total inputs d + U h. (B, H) -> (B, K)."""
        return torch.addmm(self.label_bias, h, self.label_weight.t())

    def label_mean(self, h: Tensor) -> Tensor:
        """p(y | h). (B, H) -> (B, K)."""
        return torch.softmax(self.label_input(h), dim=1)

    def sample_labels(self, h: Tensor) -> Tensor:
        """One-hot rows drawn from p(y | h). (B, H) -> (B, K)."""
        return sample_categories(self.label_input(h))

    def one_hot(self, labels: Tensor) -> Tensor:
        """(B,) int64 -> (B, K); rows (B, K) are passed on."""
        if labels.dim() == 2:
            return labels.to(self.weight.dtype)
        return one_hot(labels, self.n_labels).to(self.weight.dtype)

    # -- energies -------------------------------------------------------------------------------

    def free_energy(self, v: Tensor, labels: Tensor | None = None) -> Tensor:
        """F(v, y), or F(v) with the labels summed out. (B, D) -> (B,), nats."""
        if self.n_labels and labels is None:
            return -torch.logsumexp(-self.class_energies(v), dim=1)
        energy = self.visible_energy(v) - self.hidden_evidence(self.hidden_input(v, labels))
        return energy if labels is None else energy - self.one_hot(labels) @ self.label_bias

    def class_energies(self, v: Tensor) -> Tensor:
        """F(v, y) of every label y. (B, D) -> (B, K), nats; p(y | v) = softmax(-F)."""
        x = self.hidden_input(v)
        by_label = [
            self.visible_energy(v) - self.hidden_evidence(x + row) - bias
            for row, bias in zip(self.label_weight, self.label_bias)
        ]
        return torch.stack(by_label, dim=1)

    def visible_energy(self, v: Tensor) -> Tensor:
        """The part of the energy that needs no hidden unit. (B, D) -> (B,)."""
        if self.gaussian:
            return 0.5 * ((v - self.visible_bias) ** 2 * torch.exp(-self.log_variance)).sum(dim=1)
        return -(v @ self.visible_bias)

    def hidden_evidence(self, x: Tensor) -> Tensor:
        """The log of the sum over all hidden states, at total inputs x. (B, H) -> (B,)."""
        if not self.rectified:
            return softplus(x).sum(dim=1)
        copies = max(1, math.ceil(float(x.detach().max())) + 20)  # beyond: softplus(-20) each
        return torch.stack([softplus(x + 0.5 - i).sum(dim=1) for i in range(1, copies + 1)]).sum(0)

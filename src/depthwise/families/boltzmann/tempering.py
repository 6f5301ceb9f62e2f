"""A path of machines from independent units to a restricted Boltzmann machine.

    f_beta(v) = f_0(v)^(1 - beta) g(v)^beta  prod_j (1 + exp(beta x_j)),  x = b + v'W

is the unnormalised probability at inverse temperature beta, hidden units summed out. At beta = 1 it
is the machine's (g its visible units alone), at 0 that of independent visible units with the base
rates f_0 of the data, whose states are easy to draw (Salakhutdinov and Murray 2008). Annealed
importance sampling walks along the path (partition.py); parallel tempering keeps chains all along
it, and lets neighbours exchange states with the probability (Geyer 1991)

    min(1, f_i(v_j) f_j(v_i) / (f_i(v_i) f_j(v_j))),

which leaves every chain's distribution as it was.

Shapes: R rows, T temperatures, M chains, D visible units, H hidden units, K labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softplus

from depthwise.families.boltzmann.network import RBMNetwork
from depthwise.families.boltzmann.sampling import sample_bernoulli, sample_categories

__all__ = ["Base", "Path", "exchange"]


@dataclass
class Base:
    """Independent visible units: log-odds (D,), or means (D,) and log-variances (D,) of Gaussian
    ones; log-odds of the labels (K,) where there are any."""

    visible_bias: Tensor
    log_variance: Tensor | None = None
    label_bias: Tensor | None = None


class Path:
    """Conditionals and weights along the way from `base` to `rbm`; beta is a number or (R, 1)."""

    def __init__(self, rbm: RBMNetwork, base: Base):
        self.rbm, self.base = rbm, base

    def gain(self, v: Tensor, labels: Tensor | None) -> Tensor:
        """log g(v) - log f_0(v): what the visible part of log f gains per unit of beta. (R,)."""
        rbm, base = self.rbm, self.base
        if rbm.gaussian:
            assert base.log_variance is not None
            squares = (v - base.visible_bias) ** 2 * torch.exp(-base.log_variance)
            gain = 0.5 * squares.sum(dim=1) - rbm.visible_energy(v)
        else:
            gain = v @ (rbm.visible_bias - base.visible_bias)
        if labels is None:
            return gain
        assert base.label_bias is not None
        return gain + labels @ (rbm.label_bias - base.label_bias)

    def sample_visible(self, x: Tensor, beta: Tensor | float) -> Tensor:
        """v given the machine's own visible inputs x = a + W h (R, D)."""
        rbm, base = self.rbm, self.base
        if not rbm.gaussian:
            return sample_bernoulli(torch.sigmoid(base.visible_bias * (1 - beta) + x * beta))
        assert base.log_variance is not None
        old = torch.exp(-base.log_variance) * (1 - beta)  # precisions
        new = torch.exp(-rbm.log_variance) * beta
        mean = (base.visible_bias * old + x * new) / (old + new)
        return mean + torch.randn_like(mean) / torch.sqrt(old + new)

    def sample_labels(self, h: Tensor, beta: Tensor | float) -> Tensor:
        """One-hot rows (R, K)."""
        assert self.base.label_bias is not None
        return sample_categories(self.base.label_bias * (1 - beta) + self.rbm.label_input(h) * beta)


def exchange(
    path: Path, betas: Tensor, v: Tensor, x: Tensor, labels: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """One round of exchanges between neighbouring temperatures: even pairs or odd ones, by lot.

    betas (T,); rows in blocks of M chains a temperature: v (T M, D), hidden inputs x (T M, H),
    labels (T M, K) or None. Returns the three with their rows exchanged.
    """
    chains = len(v) // len(betas)
    first = int(torch.randint(2, (1,)))
    lower = torch.arange(first, len(betas) - 1, 2, device=v.device)
    if len(lower) == 0:
        return v, x, labels
    rows = torch.arange(len(v), device=v.device).reshape(len(betas), chains)
    i, j = rows[lower].flatten(), rows[lower + 1].flatten()
    beta_i = betas[lower].repeat_interleave(chains)
    beta_j = betas[lower + 1].repeat_interleave(chains)
    gain = path.gain(v, labels)

    def evidence(row: Tensor, beta: Tensor) -> Tensor:
        return softplus(beta[:, None] * x[row]).sum(dim=1)

    log_ratio = (beta_i - beta_j) * (gain[j] - gain[i])
    log_ratio += evidence(j, beta_i) + evidence(i, beta_j) - evidence(i, beta_i)
    log_ratio -= evidence(j, beta_j)
    accepted = torch.log(torch.rand_like(log_ratio)) < log_ratio
    order = torch.arange(len(v), device=v.device)
    order[i], order[j] = torch.where(accepted, j, i), torch.where(accepted, i, j)
    return v[order], x[order], None if labels is None else labels[order]

"""New items from a restricted Boltzmann machine, and the missing part of given ones.

Samples are annealed: chains start from independent units with the data's base rates and are carried
along rbm_tempering.Path to the machine itself, so that they reach modes that a chain started
anywhere would hardly leave. Missing units are filled by Gibbs sweeps in which the known ones are
put back after every sweep; the answer is the mean of p(v_missing | h) over the later sweeps.

Shapes: n samples, B batch, D visible units, H hidden units, K labels.
"""

from __future__ import annotations

import torch
from torch import Tensor

from depthwise.families.boltzmann.network import RBMNetwork
from depthwise.families.boltzmann.partition import inverse_temperatures
from depthwise.families.boltzmann.sampling import sample_bernoulli
from depthwise.families.boltzmann.tempering import Base, Path

__all__ = ["draw_hidden", "draw_items", "fill_missing"]


def draw_items(
    rbm: RBMNetwork, base: Base, n: int, sweeps: int, labels: Tensor | None = None
) -> Tensor:
    """Means of the visible units (n, D) given hidden states at the end of an annealed chain."""
    return rbm.visible_mean(draw_hidden(rbm, base, n, sweeps, labels))


@torch.no_grad()
def draw_hidden(
    rbm: RBMNetwork, base: Base, n: int, sweeps: int, labels: Tensor | None = None
) -> Tensor:
    """Hidden states (n, H) after `sweeps` sweeps along the path; `labels` (n,) or (n, K) are held
    fixed where they are given."""
    path = Path(rbm, base)
    fixed = None if labels is None else rbm.one_hot(labels)
    h = rbm.weight.new_zeros(n, rbm.n_hidden)
    for beta in inverse_temperatures(sweeps).tolist():
        v = path.sample_visible(rbm.visible_input(h), beta)
        drawn = path.sample_labels(h, beta) if rbm.n_labels and fixed is None else fixed
        h = rbm.sample_hidden_of(rbm.hidden_input(v, drawn) * beta)
    return h


@torch.no_grad()
def fill_missing(rbm: RBMNetwork, v: Tensor, known: Tensor, sweeps: int) -> Tensor:
    """`v` (B, D) with the units that are not `known` (B, D) at their mean given the others.

    Bernoulli values strictly between 0 and 1 are probabilities, drawn anew in each sweep.
    """
    mean = rbm.visible_bias if rbm.gaussian else torch.sigmoid(rbm.visible_bias)
    state, total = torch.where(known, v, mean), torch.zeros_like(v)
    labels = rbm.label_bias.softmax(0).expand(len(v), -1) if rbm.n_labels else None
    for sweep in range(sweeps):
        observed = v if rbm.gaussian else sample_bernoulli(v)
        h = rbm.sample_hidden(torch.where(known, observed, state), labels)
        x = rbm.visible_input(h)
        labels = rbm.sample_labels(h) if rbm.n_labels else None
        if sweep >= sweeps // 2:
            total += x if rbm.gaussian else torch.sigmoid(x)
        state = rbm.sample_visible_of(x)
    return torch.where(known, v, total / (sweeps - sweeps // 2))

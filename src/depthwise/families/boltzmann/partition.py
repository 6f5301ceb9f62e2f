"""How much a Boltzmann machine's probabilities must be divided by: log Z, exactly or estimated.

Annealed importance sampling (AIS: Neal 2001; Salakhutdinov and Murray 2008). A chain starts from
the base, whose Z_0 is known, and is carried to the machine along inverse temperatures
0 = b_0 < b_1 < .. < b_n = 1 by sweeps that leave each f_b alone; its weight is

    log w = sum_t log f_{b_t}(v_t) - log f_{b_(t-1)}(v_t)        and E[w] = Z / Z_0.

So log Z = log Z_0 + log mean w. The mean of w is without bias, its logarithm is too low on average,
which makes likelihoods too high: with heavy-tailed weights by nats. Hence the standard error, the
effective number of chains (sum w)^2 / sum w^2, and a warning when they cannot be trusted. The base
rates must come from the data: from a uniform base the weights can agree with each other and be
wrong by 17 nats (measured on a machine of 15 hidden units).

Enumeration sums over the states of the smaller layer, the other one summed out, in float64.

Shapes: M chains, N items, D visible units, H hidden units, K labels.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn.functional import softplus

from depthwise.compute import own_randomness
from depthwise.errors import InputError
from depthwise.families.boltzmann.network import RBMNetwork
from depthwise.families.boltzmann.products import full_speed
from depthwise.families.boltzmann.sampling import sample_bernoulli
from depthwise.families.boltzmann.tempering import Base, Path

__all__ = [
    "LogPartition",
    "UntrustedEstimateWarning",
    "ais_log_partition",
    "base_rates",
    "estimate_from_weights",
    "exact_log_partition",
    "inverse_temperatures",
    "log_mean_exp",
    "log_partition",
]

ENUMERABLE = 25  # units: 2^25 states of the smaller layer
FEWEST_EFFECTIVE = 10  # chains: a standard error of 0.3 nats with 100
BASE_SHARE = 0.05  # of a half-and-half unit in the base, so that no unit is stuck


NOT_THE_DATAS = (
    "The base rates are not the data's: log Z can be wrong by many nats, whatever its standard "
    "error. Pass base_rates(rbm, data)."
)


class UntrustedEstimateWarning(UserWarning):
    """An estimate of log Z that may be wrong by more than its standard error says."""


@dataclass(frozen=True)
class LogPartition:
    """log Z in nats, its standard error (0 when exact), and how many chains it rests on in effect.

    `trouble` says in words why the estimate is not to be trusted; it is empty where it is.
    """

    log_z: float
    stderr: float
    effective_chains: float = math.inf
    trouble: str = ""


# -- weights to an estimate ---------------------------------------------------------------------


def log_mean_exp(values: Tensor) -> float:
    values = values.double()
    return float(torch.logsumexp(values, dim=0)) - math.log(len(values))


def estimate_from_weights(log_weights: Tensor, log_z_base: float) -> LogPartition:
    """What the log weights (M,) of M independent chains say, by Salakhutdinov and Murray's method;
    warns (UntrustedEstimateWarning) when that is not much."""
    log_weights = log_weights.double()
    chains = len(log_weights)
    weights = torch.exp(log_weights - log_weights.max())
    stderr = float(weights.std() / weights.mean()) / math.sqrt(chains) if chains > 1 else math.inf
    effective = float(weights.sum() ** 2 / (weights**2).sum())
    enough = max(FEWEST_EFFECTIVE, chains / 20)
    trouble = ""
    if not effective >= enough:
        trouble = (
            f"{chains} chains weigh as much as {effective:.1f} equal ones, at least {enough:.0f} "
            "are needed: log Z is probably too low, and likelihoods too high. Give it more steps "
            "or more chains."
        )
        warn_untrusted(trouble)
    return LogPartition(log_z_base + log_mean_exp(log_weights), stderr, effective, trouble)


def warn_untrusted(trouble: str) -> None:
    warnings.warn(trouble, UntrustedEstimateWarning, stacklevel=3)


def inverse_temperatures(steps: int = 14_500) -> Tensor:
    """0 .. 1 in float64, `steps` steps: Salakhutdinov and Murray's spacing, of which 14,500 steps
    are 500 to 0.5, 4,000 to 0.9 and 10,000 to 1."""
    if steps < 1:
        raise InputError(f"steps must be 1 or more; got {steps}.")
    known_steps = torch.tensor([0.0, 500, 4500, 14500], dtype=torch.float64)
    known_betas = torch.tensor([0.0, 0.5, 0.9, 1], dtype=torch.float64)
    at = torch.linspace(0, 14500, steps + 1, dtype=torch.float64)
    piece = torch.searchsorted(known_steps[1:-1], at, right=True)
    share = (at - known_steps[piece]) / (known_steps[piece + 1] - known_steps[piece])
    return torch.lerp(known_betas[piece], known_betas[piece + 1], share)


def log_partition(rbm: RBMNetwork, method: str, base: Base | None, **options: int) -> LogPartition:
    """log Z by `method` "ais" (options: chains, steps, seed) or "exact". Raises InputError."""
    if method == "exact":
        return exact_log_partition(rbm)
    if method != "ais":
        raise InputError(f'method must be "ais" or "exact"; got {method!r}.')
    return ais_log_partition(rbm, base, **options)


# -- the base -----------------------------------------------------------------------------------


def base_rates(rbm: RBMNetwork, v: Tensor, labels: Tensor | None = None) -> Base:
    """Independent units with the data's own means: v (N, D), labels (N,) or (N, K)."""
    label_bias = None
    if rbm.n_labels:
        shares = v.new_ones(rbm.n_labels) / rbm.n_labels
        if labels is not None:
            shares = 0.95 * rbm.one_hot(labels).mean(dim=0) + 0.05 * shares
        label_bias = torch.log(shares)
    if rbm.gaussian:
        variance = v.var(dim=0).clamp(min=1e-4)
        return Base(v.mean(dim=0), torch.log(variance), label_bias)
    rates = (1 - BASE_SHARE) * v.mean(dim=0) + BASE_SHARE / 2
    return Base(torch.logit(rates), None, label_bias)


def _log_z_base(rbm: RBMNetwork, base: Base) -> float:
    log_z = rbm.n_hidden * math.log(2)
    if rbm.gaussian:
        assert base.log_variance is not None
        log_z += 0.5 * float((base.log_variance.double() + math.log(2 * math.pi)).sum())
    else:
        log_z += float(softplus(base.visible_bias.double()).sum())
    if base.label_bias is not None:
        log_z += float(torch.logsumexp(base.label_bias.double(), dim=0))
    return log_z


# -- annealed importance sampling ---------------------------------------------------------------


@torch.no_grad()
def ais_log_partition(
    rbm: RBMNetwork,
    base: Base | None,
    *,
    chains: int = 100,
    steps: int = 14_500,
    seed: int = 0,
) -> LogPartition:
    """log Z of a machine with Bernoulli hidden units, by `chains` chains of `steps` steps.

    `base`: `base_rates` of the data; None takes a uniform base, and warns. With labels, Z is the
    sum over visible states and labels.
    """
    _require_bernoulli_hidden(rbm)
    start = base or _uniform(rbm)
    device = rbm.weight.device
    with own_randomness(seed, device), full_speed():
        log_weights, v = _anneal(Path(rbm, start), chains, inverse_temperatures(steps).tolist())
    estimate = estimate_from_weights(log_weights, _log_z_base(rbm, start))
    if base is None or _strays(rbm, start, v):
        warn_untrusted(NOT_THE_DATAS)
        return replace(estimate, trouble=f"{estimate.trouble} {NOT_THE_DATAS}".strip())
    return estimate


def _anneal(path: Path, chains: int, betas: list[float]) -> tuple[Tensor, Tensor]:
    """log weights (M,) in float64, and the states (M, D) in which the chains end."""
    rbm = path.rbm
    v, labels = _first_states(path, chains)
    log_weights = torch.zeros(chains, dtype=torch.float64, device=v.device)
    for before, beta in pairwise(betas):
        x = rbm.hidden_input(v, labels)
        evidence = softplus(x * beta) - softplus(x * before)
        log_weights += evidence.sum(dim=1, dtype=torch.float64)
        log_weights += (beta - before) * path.gain(v, labels)
        h = sample_bernoulli(torch.sigmoid(x.mul_(beta)))
        v = path.sample_visible(rbm.visible_input(h), beta)
        labels = None if labels is None else path.sample_labels(h, beta)
    return log_weights, v


def _first_states(path: Path, chains: int) -> tuple[Tensor, Tensor | None]:
    rbm = path.rbm
    h = rbm.weight.new_zeros(chains, rbm.n_hidden)
    v = path.sample_visible(rbm.visible_input(h), 0.0)
    return v, path.sample_labels(h, 0.0) if rbm.n_labels else None


def _strays(rbm: RBMNetwork, base: Base, v: Tensor) -> bool:
    """Whether chains ended in states (M, D) whose rates are on average 0.2 off the base's."""
    if rbm.gaussian:
        return False
    return bool((torch.sigmoid(base.visible_bias) - v.mean(dim=0)).abs().mean() > 0.2)


def _uniform(rbm: RBMNetwork) -> Base:
    zeros = torch.zeros_like(rbm.visible_bias)
    labels = torch.zeros_like(rbm.label_bias) if rbm.n_labels else None
    return Base(zeros, zeros if rbm.gaussian else None, labels)


def _require_bernoulli_hidden(rbm: RBMNetwork) -> None:
    if rbm.rectified:
        raise InputError('log Z is known for hidden="bernoulli" only; these units are "relu".')


# -- enumeration --------------------------------------------------------------------------------


@torch.no_grad()
def exact_log_partition(rbm: RBMNetwork) -> LogPartition:
    """log Z by summing over every state of the smaller layer, 25 units at most. InputError
    where both layers are larger; the visible one must be Bernoulli to be listed."""
    _require_bernoulli_hidden(rbm)
    by_hidden = rbm.gaussian or rbm.n_hidden <= rbm.n_visible
    units = rbm.n_hidden if by_hidden else rbm.n_visible
    if units > ENUMERABLE:
        raise InputError(
            f"2^{units} states are too many to list: exact needs a layer of at most {ENUMERABLE} "
            'units. Use method="ais".'
        )
    terms = _hidden_terms if by_hidden else _visible_terms
    total = torch.tensor(-math.inf, dtype=torch.float64, device=rbm.weight.device)
    for block in _blocks(units, device=rbm.weight.device):
        total = torch.logaddexp(total, torch.logsumexp(terms(rbm, block), dim=0))
    return LogPartition(float(total), 0.0)


def _blocks(units: int, device: torch.device) -> Iterator[Tensor]:
    """Every state of `units` bits, in blocks (S, units) of at most 4,096 rows."""
    places = torch.arange(units, device=device)
    for numbers in torch.arange(2**units, device=device).split(4096):
        yield (numbers[:, None] >> places & 1).double()


def _hidden_terms(rbm: RBMNetwork, h: Tensor) -> Tensor:
    """log of the sum over v (and labels) of exp(-E(v, h)). (S, H) -> (S,)."""
    a, weight = rbm.visible_bias.double(), rbm.weight.double()
    x = a + h @ weight.t()
    if rbm.gaussian:
        z = rbm.log_variance.double()
        squares = (x**2 - a**2) * torch.exp(-z) + z + math.log(2 * math.pi)
        terms = h @ rbm.hidden_bias.double() + 0.5 * squares.sum(dim=1)
    else:
        terms = h @ rbm.hidden_bias.double() + softplus(x).sum(dim=1)
    if not rbm.n_labels:
        return terms
    return terms + torch.logsumexp(rbm.label_bias + h @ rbm.label_weight.double().t(), dim=1)


def _visible_terms(rbm: RBMNetwork, v: Tensor) -> Tensor:
    """log of the sum over h (and labels) of exp(-E(v, h)). (S, D) -> (S,)."""
    x, a = rbm.hidden_bias + v @ rbm.weight.double(), v @ rbm.visible_bias.double()
    if not rbm.n_labels:
        return a + softplus(x).sum(dim=1)
    by_label = [softplus(x + u).sum(dim=1) + d for u, d in zip(rbm.label_weight, rbm.label_bias)]
    return a + torch.logsumexp(torch.stack(by_label, dim=1), dim=1)

"""An autoencoder as a density: a Gaussian over codes, and a bound on the log-likelihood.

The autoencoder is read as a latent-variable model, whose encoder serves the inference:

    p(z)     = N(mu, Sigma)                    fitted to the training codes; one more for each class
    p(v | z) = prod_i Bernoulli(sigmoid(t_i(z)))    or, for tables,  N(t(z), diag s_v^2)
    q(z | v) = N(enc(v), diag s^2)             s^2 one number a code unit, chosen on training data

    log p(v) >= E_q[ log p(v | z) ] - KL( q(z | v) || p(z) )                      (ELBO, nats)
    KL = 1/2 ( tr(Sigma^-1 diag s^2) + |enc(v) - mu|^2_{Sigma^-1} - Z + log|Sigma| - sum log s^2 )

(Kingma and Welling 2014, Auto-Encoding Variational Bayes, equation 3.) The KL is exact; E_q is the
mean over S codes z = enc(v) + s e, with e one fixed set of S/2 standard normal draws and their
negatives, the same for every item. So the figure is an unbiased estimate of a true lower bound,
and an item's does not depend on the items beside it. The bound is loose for an autoencoder whose
decoder was never shown a perturbed code: code noise in training tightens it.

Samples are decoded draws from p(z), or from the Gaussian of the class asked for.

Shapes: B batch, N items, D visible values, Z code, K classes, S samples.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor, nn

__all__ = ["CodeDensity", "elbo", "fit_posterior"]

SMALLEST_VARIANCE = (
    1e-4  # of a standardised visible value: a constant column is not infinitely sure
)
SAMPLES = 16


class CodeDensity(nn.Module):
    """The Gaussians over codes. Row 0 of `mean` (1 + K, Z) and `factor` (1 + K, Z, Z), lower
    triangular with factor factor' = Sigma, is everybody's; row 1 + k is class k's."""

    mean: Tensor
    factor: Tensor
    log_code_variance: Tensor
    log_visible_variance: Tensor

    def __init__(self, code_size: int, n_visible: int, n_classes: int = 0):
        super().__init__()
        groups = 1 + n_classes
        self.register_buffer("mean", torch.zeros(groups, code_size))
        self.register_buffer("factor", torch.eye(code_size).repeat(groups, 1, 1))
        self.register_buffer("log_code_variance", torch.full((code_size,), -4.0))  # log s^2 (Z,)
        self.register_buffer("log_visible_variance", torch.zeros(n_visible))  # log s_v^2 (D,)

    @torch.no_grad()
    def fit_prior(self, codes: Tensor, labels: Tensor | None = None) -> None:
        """Gaussians from training codes (N, Z) and labels (N,); a class without items keeps its
        Gaussian. Covariances are shrunk as Ledoit and Wolf 2004, so that few items suffice."""
        self._set(0, codes)
        for k in range(len(self.mean) - 1 if labels is not None else 0):
            of_class = codes[labels == k]
            if len(of_class):
                self._set(1 + k, of_class)

    def _set(self, row: int, codes: Tensor) -> None:
        codes = codes.detach().double().cpu()
        covariance = shrunk_covariance(codes)
        jitter = 1e-6 * covariance.diagonal().mean().clamp(min=1e-6)
        covariance += jitter * torch.eye(len(covariance), dtype=torch.float64)
        self.mean[row] = codes.mean(dim=0).to(self.mean)
        self.factor[row] = torch.linalg.cholesky(covariance).to(self.factor)

    def draw(self, n: int, labels: Tensor | None = None) -> Tensor:
        """n codes (n, Z) from everybody's Gaussian, or each from its label's (n,)."""
        rows = torch.zeros(n, dtype=torch.int64) if labels is None else 1 + labels
        rows = rows.to(self.mean.device)
        noise = torch.randn(n, self.mean.shape[1], device=self.mean.device, dtype=self.mean.dtype)
        return self.mean[rows] + torch.einsum("nij,nj->ni", self.factor[rows], noise)

    def divergence(self, codes: Tensor, log_variance: Tensor | None = None) -> Tensor:
        """KL( N(codes, diag s^2) || p(z) ) in nats, (B, Z) -> (B,)."""
        log_variance = self.log_code_variance if log_variance is None else log_variance
        factor, size = self.factor[0], self.mean.shape[1]
        whitened = torch.linalg.solve_triangular(factor, (codes - self.mean[0]).T, upper=False)
        inverse = torch.linalg.solve_triangular(
            factor, torch.diag(torch.exp(log_variance / 2)), upper=False
        )
        spread = inverse.square().sum() - size
        volume = 2 * torch.log(factor.diagonal()).sum() - log_variance.sum()
        return 0.5 * (whitened.square().sum(dim=0) + spread + volume)


def shrunk_covariance(codes: Tensor) -> Tensor:
    """(1 - a) C + a (tr C / Z) I, C the covariance of codes (N, Z), a as Ledoit and Wolf 2004:

    a = min(1, (1/N^2) sum_n |x_n x_n' - C|_F^2 / |C - (tr C / Z) I|_F^2),   x_n centred.
    """
    n, size = codes.shape
    x = codes - codes.mean(dim=0)
    covariance = x.T @ x / n
    level = covariance.trace() / size
    target = level * torch.eye(size, dtype=codes.dtype)
    distance = (covariance - target).square().sum()
    # sum_n |x_n x_n' - C|^2 = sum_n |x_n|^4 - N |C|^2
    scatter = (x.square().sum(dim=1).square().sum() - n * covariance.square().sum()) / n**2
    share = (scatter / distance).clamp(0, 1) if float(distance) > 0 else torch.ones(())
    return (1 - share) * covariance + share * target


def antithetic_noise(samples: int, size: int, seed: int = 0) -> Tensor:
    """(S, Z): S/2 standard normal draws, the same for a seed, and their negatives."""
    generator = torch.Generator().manual_seed(seed)
    half = torch.randn((samples + 1) // 2, size, generator=generator, dtype=torch.float64)
    return torch.cat([half, -half])[:samples]


class Coding(Protocol):
    """A network that encodes visible values v (B, D) and decodes codes (B, Z)."""

    density: CodeDensity
    bernoulli: bool

    def encode(self, v: Tensor) -> Tensor: ...
    def decode_input(self, code: Tensor) -> Tensor: ...
    def log_density(
        self, v: Tensor, total: Tensor, log_variance: Tensor | None = None
    ) -> Tensor: ...


def elbo(network: Coding, v: Tensor, *, samples: int = SAMPLES) -> Tensor:
    """The lower bound on log p(v) in nats, (B, D) -> (B,)."""
    density = network.density
    codes = network.encode(v)
    scale = torch.exp(density.log_code_variance / 2)
    total = torch.zeros(len(v), dtype=codes.dtype, device=v.device)
    for noise in antithetic_noise(samples, codes.shape[1]).to(codes):
        total += network.log_density(v, network.decode_input(codes + scale * noise))
    return total / samples - density.divergence(codes)


def fit_posterior(
    network: Coding,
    v: Tensor,
    steps: int = 120,
    *,
    batch_size: int = 256,
    seed: int = 0,
    more: bool = False,
) -> None:
    """Choose s^2 (Z,), and for tables s_v^2 (D,), to raise the bound on training items v (N, D).

    Adam on the logarithms, one draw of noise an item a step; the weights stay as they are. `more`
    goes on from the variances there are.
    """
    density, generator = network.density, torch.Generator().manual_seed(seed)
    if not more:
        prior_variance = density.factor[0].square().sum(dim=1)  # (Z,)
        density.log_code_variance.copy_(torch.log(0.05 * prior_variance))
    chosen = [density.log_code_variance.clone().requires_grad_()]
    if not network.bernoulli:
        chosen.append(density.log_visible_variance.clone().requires_grad_())
    optimizer = torch.optim.Adam(chosen, lr=0.1)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 0.1 * 0.5 * (1 + math.cos(math.pi * step / steps))
        rows = torch.randint(len(v), (min(batch_size, len(v)),), generator=generator)
        batch = v[rows.to(v.device)]
        if network.bernoulli:  # grey values are binarised by sampling, as they are when scored
            batch = (torch.rand(batch.shape, generator=generator).to(batch) < batch).to(batch)
        with torch.no_grad():
            codes = network.encode(batch)
        noise = torch.randn(codes.shape, generator=generator).to(codes)
        total = network.decode_input(codes + torch.exp(chosen[0] / 2) * noise)
        bound = network.log_density(batch, total, *chosen[1:]) - density.divergence(
            codes, chosen[0]
        )
        for value, gradient in zip(chosen, torch.autograd.grad(-bound.mean(), chosen)):
            value.grad = gradient
        optimizer.step()
    with torch.no_grad():
        density.log_code_variance.copy_(chosen[0])
        if not network.bernoulli:
            density.log_visible_variance.copy_(chosen[1].clamp(min=math.log(SMALLEST_VARIANCE)))

"""The network of a deep autoencoder: an encoder down to a short code, a decoder back up.

    v   = standardise(x), flattened                       (B, D)    the visible values
    h_0 = v,   h_l = f(n(W_l h_{l-1} + b_l))              (B, H_l)  l = 1 .. L
    z   = g(W_{L+1} h_L + b_{L+1})                        (B, Z)    the code
    k_0 = z,   k_l = f(n(V_l k_{l-1} + c_l))              (B, H_l)  widths mirrored
    t   = V_{L+1} k_L + c_{L+1}                           (B, D)    the total input of the output
    v^  = sigmoid(t) for visibles in [0, 1], t for standardised tables

f is the hidden activation, n layer normalisation (Ba et al. 2016) or nothing, g the identity (the
linear code of Hinton and Salakhutdinov 2006, Science 313:504) or the sigmoid. There is never a
normalisation at the code or at the output: the code must be free to carry lengths as well as
directions. Above logistic layers a weight multiplies h - 1/2 (see Centre). Weights begin as He et
al. 2015, N(0, 2 / fan_in), where a rectifier follows, and with N(0, 1 / fan_in) elsewhere. The
convolutional encoder and decoder are convolutions.py's.

Shapes: B batch, N items, C channels, H W image, D visible values, H_l units of layer l, Z code,
K classes.
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from depthwise.families.autoencoder.density import CodeDensity
from depthwise.layers import Standardise, VisibleUnits

__all__ = [
    "ACTIVATIONS",
    "AutoencoderNetwork",
    "Centre",
    "at_least_single",
    "dense_stack",
    "layer_after",
]

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "gelu": nn.GELU,
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "logistic": nn.Sigmoid,
    "linear": nn.Identity,
}
RECTIFIERS = ("gelu", "relu", "silu")


def at_least_single(x: Tensor) -> Tensor:
    """bfloat16 products become float32 before they are summed."""
    return x if x.dtype == torch.float64 else x.float()


def layer_after(linear: nn.Module, activation: str, norm: nn.Module | None = None) -> nn.Sequential:
    """A linear map with fresh weights, its normalisation and its activation."""
    weight, bias = linear.weight, linear.bias
    assert isinstance(weight, Tensor) and isinstance(bias, Tensor)
    gain = 2.0 if activation in RECTIFIERS else 1.0
    fan_in = weight[0].numel()
    if isinstance(linear, nn.ConvTranspose2d):  # (C_in, C_out, k, k): each output sees k^2 / s^2
        fan_in = weight[:, 0].numel() // math.prod(linear.stride)
    nn.init.normal_(weight, 0.0, math.sqrt(gain / fan_in))
    nn.init.zeros_(bias)
    parts = [linear, norm, ACTIVATIONS[activation]() if activation != "linear" else None]
    return nn.Sequential(*(part for part in parts if part is not None))


class Centre(nn.Module):
    """h - 1/2: what a layer above logistic units is given. (B, H) -> (B, H).

    Units that are never negative have a mean, and a weight's step then moves every bias with it.
    Taking the mean away is the same function with other biases, far easier to descend (Montavon
    and Mueller 2012).
    """

    def forward(self, h: Tensor) -> Tensor:
        return h - 0.5


def dense_stack(
    widths: tuple[int, ...], activation: str, last: str, normalise: bool = False
) -> nn.Sequential:
    """Fully connected layers (B, widths[0]) -> (B, widths[-1]); the last has activation `last` and
    no normalisation."""
    layers = [
        layer_after(nn.Linear(a, b), activation, nn.LayerNorm(b) if normalise else None)
        for a, b in itertools.pairwise(widths[:-1])
    ]
    layers.append(layer_after(nn.Linear(widths[-2], widths[-1]), last))
    if activation == "logistic":
        layers[1:] = [nn.Sequential(Centre(), *layer) for layer in layers[1:]]
    return nn.Sequential(*layers)


class AutoencoderNetwork(VisibleUnits):
    """Raw inputs (B, C, H, W) or (B, D) -> reconstruction (B, D), or logits (B, K) with a head.

    `encoder` and `decoder` are sequences of layers between (B, D) and (B, Z); `n_classes` 0 is no
    head. `visible` is "bernoulli" (values in [0, 1]) or "gaussian" (standardised).
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        encoder: nn.Sequential,
        decoder: nn.Sequential,
        code_size: int,
        *,
        visible: str = "bernoulli",
        n_classes: int = 0,
        head_units: int = 128,
    ):
        super().__init__(input_shape)
        self.bernoulli = visible == "bernoulli"
        self.encoder, self.decoder = encoder, decoder
        self.density = CodeDensity(code_size, self.n_visible, n_classes)
        self.head: nn.Sequential | None = None
        if n_classes:
            self.head = nn.Sequential(
                Standardise(code_size, image=False),
                *dense_stack((code_size, head_units, n_classes), "gelu", "linear"),
            )

    # -- codes ----------------------------------------------------------------------------------

    def layers(self, v: Tensor) -> list[Tensor]:
        """Visible values (B, D) -> the activations of each encoder layer as they are, code last."""
        activations = []
        for layer in self.encoder:
            v = layer(v)
            activations.append(v)
        return activations

    def encode(self, v: Tensor) -> Tensor:
        """(B, D) -> codes (B, Z)."""
        code: Tensor = self.encoder(v)
        return code

    def decode_input(self, z: Tensor) -> Tensor:
        """Codes (B, Z) -> the total input of the output units (B, D), in float32 at least."""
        return at_least_single(self.decoder(z))

    def decode(self, z: Tensor) -> Tensor:
        """Codes (B, Z) -> mean visible values (B, D)."""
        total = self.decode_input(z)
        return torch.sigmoid(total) if self.bernoulli else total

    def log_density(self, v: Tensor, total: Tensor, log_variance: Tensor | None = None) -> Tensor:
        """log p(v | z) (B,) in nats, given the decoder's total input (B, D).

        Bernoulli: sum_i v_i t_i - softplus(t_i). Gaussian: `log_variance` (D,), or the density's.
        """
        if self.bernoulli:
            return (v * total - functional.softplus(total)).sum(dim=1)
        if log_variance is None:
            log_variance = self.density.log_visible_variance
        spread = (v - total).square() * torch.exp(-log_variance) + log_variance
        return -0.5 * (spread + math.log(2 * math.pi)).sum(dim=1)

    # -- raw inputs through the whole -----------------------------------------------------------

    def representations(self, x: Tensor) -> list[Tensor]:
        """Each encoder layer's activations (B, H_l), bottom up; the last is the code."""
        return [torch.flatten(h, 1) for h in self.layers(self.visible(x))]

    def reconstruct(self, x: Tensor) -> Tensor:
        """Raw inputs -> mean visible values (B, D)."""
        return self.decode(self.encode(self.visible(x)))

    def forward(self, x: Tensor) -> Tensor:
        code = self.encode(self.visible(x))
        logits_or_means: Tensor = self.decode(code) if self.head is None else self.head(code)
        return logits_or_means

    # -- beginning ------------------------------------------------------------------------------

    @torch.no_grad()
    def begin_output_at(self, mean: Tensor) -> None:
        """Output biases so that a decoder of zeros gives the mean (D,) of the training data."""
        clipped = mean.clamp(0.01, 0.99)
        bias = torch.logit(clipped) if self.bernoulli else mean
        last = [m for m in self.decoder.modules() if isinstance(m, nn.Linear | nn.ConvTranspose2d)]
        target = last[-1].bias
        assert target is not None
        target.copy_(bias if len(bias) == len(target) else bias.reshape(len(target), -1).mean(1))

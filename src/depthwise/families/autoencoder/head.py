"""The classifier on an autoencoder's code: how it learns, on codes that stay as they are.

    p(y | z) = softmax(U f(W s(z) + b) + c),   s standardises by the training codes, f = GELU

One-cycle AdamW on cross-entropy; a codes' table is small, so it takes seconds. With held-out items
the best epoch is kept.

Shapes: N items, Z code, K classes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from depthwise.compute import Compute
from depthwise.data.inputs import as_tensor
from depthwise.families.autoencoder.network import AutoencoderNetwork
from depthwise.losses import smoothed_cross_entropy
from depthwise.models.networks import LONG, auto_batch_size
from depthwise.training.schedules import Passes, of_quality
from depthwise.training.stages import Stages
from depthwise.training.step import Recipe

__all__ = ["codes_of", "head_recipe", "head_validation"]

PASSES = {"fast": Passes(600, 12, 40), "paper": LONG}
ROWS = 1000  # items encoded at a time


@torch.no_grad()
def codes_of(network: AutoencoderNetwork, inputs: Tensor, compute: Compute) -> Tensor:
    """Codes (N, Z) of raw items (N, ...), where the network is."""
    network.eval()
    with compute.active():
        parts = [x.to(compute.device) for x in inputs.split(ROWS)]
        return torch.cat([network.encode(network.visible(x)) for x in parts])


def head_recipe(items: int, *, quality: str, seed: int, more: bool) -> Recipe:
    batch_size = auto_batch_size(items)
    return Recipe(
        epochs=1 if more else of_quality(quality, PASSES).epochs(items, batch_size),
        batch_size=batch_size,
        schedule="constant" if more else "onecycle",
        average=0.0 if more else 0.02,
        seed=seed,
    )


def head_validation(
    stages: Stages, network: AutoencoderNetwork
) -> Callable[[nn.Module], tuple[float, ...]] | None:
    """What scores a head on the held-out items' codes; None where nothing was held out."""
    if stages.held_out is None:
        return None
    items, labels = stages.held_out
    codes = codes_of(network, as_tensor(items), stages.compute)
    return partial(_scores, codes, torch.from_numpy(labels).to(codes.device))


def _scores(codes: Tensor, labels: Tensor, head: nn.Module) -> tuple[float, float]:
    """(accuracy, -cross-entropy): the second breaks the ties of a small part."""
    logits = head(codes)
    right = float((logits.argmax(dim=1) == labels).double().mean())
    return right, -float(smoothed_cross_entropy(logits, labels))

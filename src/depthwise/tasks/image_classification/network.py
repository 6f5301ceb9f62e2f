"""The network of an image classifier: features pooled from a backbone, standardised, and an output
layer.

Shapes: B batch, C channels, H W image, F features, E embedding, K classes, N images.
"""

from __future__ import annotations

import copy
import hashlib
import json

import torch
from torch import Tensor, nn

from depthwise.backbones.images.features import Backbone
from depthwise.reshaping.folding import fold, foldable

__all__ = ["BackboneClassifier", "name_of", "quickened"]


class BackboneClassifier(nn.Module):
    """Raw images (B, C, H, W) -> logits (B, K)."""

    def __init__(
        self, backbone: Backbone, n_classes: int, dropout: float, levels: str, hidden: int
    ):
        super().__init__()
        self.backbone, self.takes_all = backbone, levels == "all"
        features = backbone.n_pooled if self.takes_all else backbone.n_embedding
        self.norm = nn.BatchNorm1d(features, affine=False)
        self.dropout = nn.Dropout(dropout)
        last = nn.Linear(hidden or features, n_classes)
        nn.init.zeros_(last.weight)
        inner = [nn.Linear(features, hidden), nn.ReLU(), nn.Dropout(dropout)] if hidden else []
        self.output = nn.Sequential(*inner, last) if hidden else last

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.output(self.dropout(self.norm(self.pooled(x))))
        return logits

    def pooled(self, x: Tensor, backbone: Backbone | None = None) -> Tensor:
        """p(x), (B, F), by its backbone or by another of the same shape."""
        below = backbone or self.backbone
        found: Tensor = below.pooled(x) if self.takes_all else below(x)
        return found

    @torch.no_grad()
    def standardise(self, pooled: Tensor) -> None:
        """Set n by these features (N, F), once."""
        if not self.is_standardised:
            self.norm.running_mean.copy_(pooled.mean(dim=0))  # type: ignore[union-attr]
            self.norm.running_var.copy_(pooled.var(dim=0, correction=0))  # type: ignore[union-attr]
            self.norm.num_batches_tracked.fill_(1)  # type: ignore[union-attr]

    @property
    def is_standardised(self) -> bool:
        """Whether any images have been learnt from."""
        return bool(int(self.norm.num_batches_tracked))  # type: ignore[arg-type]

    def representations(self, x: Tensor) -> list[Tensor]:
        """The flattened maps, finest first; last the embedding (B, E)."""
        maps = self.backbone.features(x)
        flat = [torch.flatten(made, 1) for made in maps]
        return [*flat, self.backbone.embed(maps[-1])]


def quickened(backbone: Backbone) -> nn.Module:
    """A copy that answers as the backbone does, in less time."""
    made: nn.Module = copy.deepcopy(backbone).eval()
    if edit := foldable(made):
        made = fold(made, edit)
    return made.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def name_of(backbone: Backbone, takes_all: bool) -> str:
    """What its features are known by: its shape and its weights."""
    digest = hashlib.sha256(json.dumps([backbone.description, takes_all]).encode())
    for tensor in backbone.state_dict().values():
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()

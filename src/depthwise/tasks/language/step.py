"""How a decoder learns from one long row of tokens: every token is to be foretold from those before
it in its window,

    min  -(1 / BT) sum_b sum_t log p(w_(b, t+1) | w_(b, 1) .. w_(b, t)),    windows w_b of T + 1

An item of the loop is a place in the text; its window begins there or up to T tokens later, drawn
anew at every visit, so that the cuts between windows fall everywhere.

Matrices of the blocks are learnt by Muon (Jordan et al. 2024): the step is the nearest orthogonal
matrix to the gradient's momentum m, scaled to the size of an AdamW step (Liu et al. 2025,
equation 4), by torch's own optimiser:

    W <- W - lr (0.2 sqrt(max(rows, columns)) U V^T + decay W),    m = U S V^T

Embeddings and the norms' gains are learnt by AdamW at the same rate.

Shapes: B batch, T positions of a window, S tokens of the text, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from depthwise.compute import Compute
from depthwise.errors import InputError
from depthwise.losses import smoothed_cross_entropy
from depthwise.training.step import GradientUpdate, Recipe

__all__ = ["NextTokenUpdate", "windows"]


class NextTokenUpdate(GradientUpdate):
    """One step of foretelling. `network`: tokens (B, T) -> logits (B, T, V); `text` (S,) int."""

    def __init__(
        self, network: nn.Module, text: Tensor, context: int, recipe: Recipe, compute: Compute
    ):
        super().__init__(network, next_token_loss, recipe, compute)
        self.text, self.context = text.to(compute.device), context
        if recipe.optimizer == "muon":
            self.optimizer = MuonBesideAdamW(network, recipe)  # type: ignore[assignment]

    def objective(self, inputs: Tensor, targets: Tensor, progress: float) -> Tensor:
        """inputs (B,) int64: where the windows begin, at the earliest."""
        later = torch.randint(self.context, inputs.shape).to(inputs.device)
        wanted = windows(self.text, inputs + later, self.context)
        return super().objective(wanted[:, :-1], wanted[:, 1:], progress)


def windows(text: Tensor, starts: Tensor, context: int) -> Tensor:
    """(S,) and (B,) -> (B, T + 1) int64; a window that would pass the end ends there."""
    starts = starts.clamp(max=len(text) - context - 1)
    return text[starts[:, None] + torch.arange(context + 1, device=text.device)].long()


def next_token_loss(logits: Tensor, tokens: Tensor) -> Tensor:
    """Mean cross-entropy in nats: (B, T, V), (B, T) -> scalar."""
    return smoothed_cross_entropy(logits.flatten(0, 1), tokens.flatten())


class MuonBesideAdamW:
    """Muon for the blocks' matrices, AdamW for all else, as one optimiser."""

    def __init__(self, network: nn.Module, recipe: Recipe):
        if not hasattr(torch.optim, "Muon"):
            raise InputError(
                f'optimizer="muon" needs torch 2.9 or newer; this is {torch.__version__}. '
                'Update torch, or set optimizer="adamw".'
            )
        tables = {id(m.weight) for m in network.modules() if isinstance(m, nn.Embedding)}
        matrices = [p for p in network.parameters() if p.dim() == 2 and id(p) not in tables]
        taken = {id(p) for p in matrices}
        others = [p for p in network.parameters() if id(p) not in taken]
        self.parts: tuple[torch.optim.Optimizer, ...] = (
            torch.optim.Muon(
                matrices,
                lr=recipe.lr,
                weight_decay=recipe.weight_decay,
                adjust_lr_fn="match_rms_adamw",
            ),
            torch.optim.AdamW(others, recipe.lr, betas=(0.9, 0.99), weight_decay=0.0, fused=True),
        )

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return [group for part in self.parts for group in part.param_groups]

    def zero_grad(self, set_to_none: bool = True) -> None:
        for part in self.parts:
            part.zero_grad(set_to_none)

    def step(self) -> None:
        for part in self.parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        return {str(i): part.state_dict() for i, part in enumerate(self.parts)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for i, part in enumerate(self.parts):
            part.load_state_dict(state[str(i)] if str(i) in state else state[i])  # type: ignore[index]

"""A small network taught by a large one (Hinton, Vinyals and Dean 2015).

    L = (1 - a) CE(z, y) + a T^2 KL(softmax(t / T) || softmax(z / T))           of classes
    L = (1 - a) |(z - y) / s|^2 + a |(z - t) / s|^2,  s the targets' spread      of numbers

z the pupil's answers, t the teacher's, T `temperature`, a `share`; T^2 keeps the two gradients in
proportion whatever the temperature. The teacher must see what the pupil sees (Beyer et al. 2022):
where items are augmented it answers each batch anew; where they are not, its logits are computed
once and travel with the labels, as targets (N, 1 + K); of numbers (N, 2 K).

Shapes: N items, B batch, K classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from depthwise.losses import distillation, over_answers
from depthwise.training.step import GradientUpdate

__all__ = ["Taught", "distillation", "taught_targets"]

Loss = Callable[[Tensor, Tensor], Tensor]
BATCH = 512


@torch.no_grad()
def taught_targets(teacher: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
    """Labels and the teacher's answers, side by side: (N, ...), (N,) -> (N, 1 + K) float32; of
    numbers (N, K) -> (N, 2 K)."""
    teacher.eval()
    logits = [
        teacher(inputs[start : start + BATCH]).float() for start in range(0, len(inputs), BATCH)
    ]
    return torch.cat([labels.reshape(len(labels), -1).float(), torch.cat(logits)], dim=1)


class Taught(GradientUpdate):
    """A step towards the labels and the teacher's answers.

    `teacher`: a network, or None where the targets hold its answers (`taught_targets`); `numbers`:
    whether these are numbers, which the loss itself compares.
    """

    def __init__(
        self,
        *about: Any,
        teacher: nn.Module | None,
        temperature: float = 4.0,
        share: float = 0.7,
        numbers: bool = False,
        **options: Any,
    ):
        super().__init__(*about, **options)
        self.numbers = numbers
        self.teacher = None if teacher is None else teacher.eval()
        self.temperature, self.share = temperature, share

    def objective(self, inputs: Tensor, targets: Tensor, progress: float) -> Tensor:
        inputs = self.compute.place_batch(self.augment(inputs))
        with self.compute.autocast():
            labels, wanted = self._wanted(inputs, targets)
            answers = self.network(inputs)
            return over_answers(lambda z, y: self._mixture(z, y, wanted))(answers, labels)

    def _wanted(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The labels (B,), and the teacher's logits (B, K); or numbers (B, K), and its own."""
        if self.teacher is None and self.numbers:
            known, wanted = targets.chunk(2, dim=1)
            return known, wanted
        if self.teacher is None:
            return targets[:, 0].long(), targets[:, 1:]
        with torch.no_grad():
            return targets, self.teacher(inputs)

    def _mixture(self, logits: Tensor, labels: Tensor, wanted: Tensor) -> Tensor:
        if self.numbers:
            soft = self.loss(logits, wanted)
        else:
            soft = distillation(logits, wanted, self.temperature)
        return (1 - self.share) * self.loss(logits, labels) + self.share * soft

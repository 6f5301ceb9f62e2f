"""The hybrid step of the top machine: its conditional part is a gradient, found again by finite
differences; without it the step is contrastive divergence."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from depthwise.families.boltzmann.contrastive import ContrastiveUpdate
from depthwise.families.boltzmann.network import RBMNetwork
from depthwise.families.dbn.memory import MemoryUpdate
from depthwise.training.step import Recipe

STEADY = Recipe(lr=0.1, schedule="constant")


def made(visible: str = "bernoulli") -> tuple[RBMNetwork, Tensor, Tensor]:
    torch.manual_seed(2)
    rbm = RBMNetwork(5, 4, visible=visible, n_labels=3).double().requires_grad_(False)
    for parameter in rbm.parameters():
        parameter.copy_(torch.randn_like(parameter))
    v = torch.randn(7, 5) if visible == "gaussian" else (torch.rand(7, 5) < 0.5)
    return rbm, v.double(), torch.arange(7) % 3


def conditional(rbm: RBMNetwork, v: Tensor, y: Tensor) -> Tensor:
    return torch.log_softmax(-rbm.class_energies(v), dim=1)[torch.arange(len(y)), y].mean()


@pytest.mark.parametrize("visible", ["bernoulli", "gaussian"])
def test_the_conditional_gradient_agrees_with_finite_differences(visible: str) -> None:
    rbm, v, y = made(visible)
    update = MemoryUpdate(rbm, STEADY)
    found = update.conditional_gradient(rbm.statistic(v), rbm.one_hot(y))
    assert set(found) == {"weight", "hidden_bias", "label_weight", "label_bias"}
    for name, gradient in found.items():
        flat = getattr(rbm, name).data.view(-1)
        for i, claimed in enumerate(gradient.reshape(-1)):
            kept, sides = float(flat[i]), []
            for step in (1e-5, -1e-5):
                flat[i] = kept + step
                sides.append(float(conditional(rbm, v, y)))
            flat[i] = kept
            assert float(claimed) == pytest.approx((sides[0] - sides[1]) / 2e-5, abs=1e-8)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_the_hybrid_step_is_the_sum_of_both(momentum: float) -> None:
    rbm, v, y = made()
    steps: dict[Any, RBMNetwork] = {}
    for weight in (None, 0.0, 2.5):
        steps[weight] = copy.deepcopy(rbm)
        kinds = {"use_labels": True} if weight is None else {"discriminative": weight}
        kind: Any = ContrastiveUpdate if weight is None else MemoryUpdate
        update = kind(steps[weight], STEADY, k=2, momentum=momentum, **kinds)
        torch.manual_seed(9)
        update(v, y, 0.0)
    gradient = MemoryUpdate(rbm, STEADY).conditional_gradient(v, rbm.one_hot(y))
    for name, parameter in steps[None].named_parameters():
        assert torch.equal(parameter, getattr(steps[0.0], name))
        more = gradient[name] * 2.5 * 0.1 if name in gradient else 0
        torch.testing.assert_close(getattr(steps[2.5], name), parameter + more)


def test_labels_are_told_from_the_means_that_states_are_drawn_from() -> None:
    rbm, v, y = made()
    means = torch.rand(7, 5, dtype=torch.float64)
    steps: list[RBMNetwork] = []
    for weight in (0.0, 2.0):
        steps.append(copy.deepcopy(rbm))
        told: dict[str, Any] = {"discriminative": weight, "features": lambda batch: means}
        torch.manual_seed(9)
        MemoryUpdate(steps[-1], STEADY, **told)(v, y, 0.0)
    gradient = MemoryUpdate(rbm, STEADY).conditional_gradient(means, rbm.one_hot(y))
    apart = steps[1].label_weight - steps[0].label_weight
    torch.testing.assert_close(apart, 2 * 0.1 * gradient["label_weight"])


def test_momentum_carries_the_conditional_part_on() -> None:
    rbm, v, y = made()
    update = MemoryUpdate(rbm, STEADY, momentum=0.9, discriminative=1.0)
    update(v, y, 0.0)
    kept = {name: velocity.clone() for name, velocity in update.velocity.items()}
    copied = copy.deepcopy(update)
    update.discriminative = 0.0
    copied.velocity = {name: torch.zeros_like(velocity) for name, velocity in kept.items()}
    copied.discriminative = 0.0
    for one in (update, copied):
        torch.manual_seed(4)
        one(v, y, 0.0)
    for name, velocity in kept.items():
        apart = getattr(update.rbm, name) - getattr(copied.rbm, name)
        torch.testing.assert_close(apart, 0.9 * velocity)


def test_labels_are_learnt_where_the_joint_likelihood_hardly_sees_them() -> None:
    torch.manual_seed(0)
    v = (torch.rand(400, 60) < 0.5).float()
    y = v[:, 0].long()  # one bit of sixty
    errors = []
    for weight in (0.0, 5.0):
        torch.manual_seed(1)
        rbm = RBMNetwork(60, 20, n_labels=2).requires_grad_(False)
        update = MemoryUpdate(rbm, STEADY, discriminative=weight)
        for _ in range(150):
            update(v, y, 0.0)
        errors.append(float((rbm.class_energies(v).argmin(dim=1) != y).float().mean()))
    assert errors[1] == 0
    assert errors[0] > 0.02

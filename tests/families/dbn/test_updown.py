"""Up-down learning: its steps are gradients, found again by finite differences."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy

from depthwise.compute import Compute
from depthwise.families.dbn.network import DBNNetwork, DirectedLayer
from depthwise.families.dbn.updown import GAUSSIAN_SHARE, UpDownUpdate
from depthwise.training.step import Recipe

RATE = 0.125


def made(visible: str = "bernoulli", n_labels: int = 3, **options: Any) -> UpDownUpdate:
    torch.manual_seed(5)
    network = DBNNetwork((5,), (4, 3, 6), visible=visible, n_labels=n_labels).double()
    for parameter in network.parameters():
        parameter.data = torch.randn_like(parameter)
    return UpDownUpdate(network, Recipe(lr=RATE, schedule="constant"), **options)


def random_states(visible: str = "bernoulli") -> list[Tensor]:
    torch.manual_seed(6)
    draw = torch.randn if visible == "gaussian" else torch.rand
    v = draw(7, 5, dtype=torch.float64)
    return [v, *((torch.rand(7, n) < 0.5).double() for n in (4, 3))]


def differences(value: Callable[[], Tensor], weight: Tensor, step: float = 1e-5) -> Tensor:
    """The gradient of `value` with respect to `weight`, entry by entry."""
    gradient, flat = torch.zeros_like(weight), weight.data.view(-1)
    for i in range(len(flat)):
        kept = float(flat[i])
        flat[i] = kept + step
        high = float(value())
        flat[i] = kept - step
        gradient.view(-1)[i] = (high - float(value())) / (2 * step)
        flat[i] = kept
    return gradient


def log_q(layer: DirectedLayer, below: Tensor, above: Tensor) -> Tensor:
    return -binary_cross_entropy(layer.up_mean(below), above, reduction="none").sum(dim=1)


def changes(update: UpDownUpdate, learn: Callable[[], object], names: str) -> list[list[Tensor]]:
    before = copy.deepcopy(update.network)
    learn()
    return [
        [getattr(now, names + kind) - getattr(then, names + kind) for kind in ("weight", "bias")]
        for now, then in zip(update.network.directed, before.directed)
    ]


@torch.no_grad()
def test_wake_steps_climb_the_likelihood_of_what_lies_below() -> None:
    update, states = made(), random_states()
    layers = copy.deepcopy(update.network).directed
    steps = changes(update, lambda: update.learn_generative(states, RATE), "generative_")
    for layer, below, above, (weight, bias) in zip(layers, states, states[1:], steps):

        def value(layer: Any = layer, below: Tensor = below, above: Tensor = above) -> Tensor:
            return layer.log_likelihood(below, above).mean()

        torch.testing.assert_close(weight / RATE, differences(value, layer.generative_weight))
        torch.testing.assert_close(bias / RATE, differences(value, layer.generative_bias))


@torch.no_grad()
def test_sleep_steps_climb_the_likelihood_of_what_lies_above() -> None:
    update, states = made(), random_states()
    layers = copy.deepcopy(update.network).directed
    steps = changes(update, lambda: update.learn_recognition(states, RATE), "recognition_")
    for layer, below, above, (weight, bias) in zip(layers, states, states[1:], steps):

        def value(layer: Any = layer, below: Tensor = below, above: Tensor = above) -> Tensor:
            return log_q(layer, below, above).mean()

        torch.testing.assert_close(weight / RATE, differences(value, layer.recognition_weight))
        torch.testing.assert_close(bias / RATE, differences(value, layer.recognition_bias))


@torch.no_grad()
def test_gaussian_wake_steps_are_the_gradient_times_variance_and_share() -> None:
    update, states = made("gaussian"), random_states("gaussian")
    update.network.directed[0].log_variance.copy_(torch.randn(5))
    layer = copy.deepcopy(update.network).directed[0]
    steps = changes(update, lambda: update.learn_generative(states, RATE), "generative_")
    gradient = differences(
        lambda: layer.log_likelihood(states[0], states[1]).mean(), layer.generative_weight
    )
    expected = gradient * torch.exp(layer.log_variance)[:, None] * GAUSSIAN_SHARE
    torch.testing.assert_close(steps[0][0] / RATE, expected)


@torch.no_grad()
def test_wake_does_not_touch_recognition_nor_sleep_generation() -> None:
    update, states = made(), random_states()
    for learn, names in (
        (lambda: update.learn_generative(states, RATE), "recognition_"),
        (lambda: update.learn_recognition(states, RATE), "generative_"),
    ):
        assert all((step == 0).all() for pair in changes(update, learn, names) for step in pair)


def test_states_are_drawn_from_the_layers_conditionals() -> None:
    update = made()
    v = torch.rand(1, 5, dtype=torch.float64).expand(40_000, -1)
    torch.manual_seed(0)
    h1 = update.wake_states(v)[1].mean(dim=0)
    torch.testing.assert_close(h1, update.network.directed[0].up_mean(v[:1])[0], atol=0.02, rtol=0)
    h2 = torch.ones(40_000, 3, dtype=torch.float64)
    v_means, h1, _ = update.sleep_states(h2)
    low, high = update.network.directed
    torch.testing.assert_close(h1.mean(dim=0), high.down_mean(h2[:1])[0], atol=0.02, rtol=0)
    torch.testing.assert_close(v_means, low.down_mean(h1))


def test_sweeps_grow_with_progress() -> None:
    update = made(sweeps=(2, 5, 9))
    x, y = torch.rand(4, 5, dtype=torch.float64), torch.tensor([0, 1, 2, 1])
    used = []
    for progress in (0.0, 0.3, 0.34, 0.6, 0.67, 0.999):
        update(x, y, progress)
        used.append(update.memory.k)
    assert used == [2, 2, 5, 5, 9, 9]


@pytest.mark.parametrize("visible", ["bernoulli", "gaussian"])
def test_learning_raises_the_fit_of_the_wake_states(visible: str) -> None:
    update = made(visible, n_labels=0, sweeps=(1,))
    v = (torch.rand(3, 5).double() > 0.5).double()[torch.arange(60) % 3]
    losses = [float(update(v, torch.zeros(60), 0.0)) for _ in range(800)]
    assert sum(losses[-50:]) < 0.6 * sum(losses[:50])


def test_bfloat16_steps_are_those_of_float32_but_for_rounding() -> None:
    torch.manual_seed(0)
    network = DBNNetwork((30,), (20, 25, 40), n_labels=4)
    states = [(torch.rand(50, n) < 0.5).float() for n in (30, 20, 25)]
    steps = []
    for precision in ("float32", "bfloat16"):
        trained = copy.deepcopy(network)
        recipe = Recipe(lr=1.0, schedule="constant")
        update = UpDownUpdate(trained, recipe, compute=Compute(precision=precision))
        rounded = [rows.to(update.dtype) for rows in states]
        update.learn_generative(rounded, 1.0)
        update.learn_recognition(rounded, 1.0)
        steps.append([new - old for new, old in zip(trained.parameters(), network.parameters())])
    for exact, approximate in zip(*steps):
        torch.testing.assert_close(approximate, exact, atol=0.01, rtol=0)

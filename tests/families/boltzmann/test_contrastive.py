"""The sampled gradient against enumeration: tiny machines whose every state can be listed."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from depthwise.compute import Compute
from depthwise.families.boltzmann.contrastive import ContrastiveUpdate
from depthwise.families.boltzmann.network import RBMNetwork
from depthwise.training.step import Recipe

D, H, K = 3, 2, 3


def states(n: int) -> Tensor:
    return torch.tensor(list(itertools.product([0.0, 1.0], repeat=n)), dtype=torch.float64)


def tiny(seed: int = 0, scale: float = 1.0, n_labels: int = 0) -> RBMNetwork:
    torch.manual_seed(seed)
    rbm = RBMNetwork(D, H, n_labels=n_labels).double()
    for parameter in rbm.parameters():
        parameter.data = torch.randn_like(parameter) * scale
    return rbm


def joint(rbm: RBMNetwork) -> tuple[Tensor, Tensor | None]:
    """Every visible state, with every label where there are labels."""
    v = states(D)
    if not rbm.n_labels:
        return v, None
    labels = torch.arange(K).repeat_interleave(len(v))
    return v.repeat(K, 1), rbm.one_hot(labels)


def log_likelihood(rbm: RBMNetwork, v: Tensor, labels: Tensor | None = None) -> Tensor:
    every_v, every_label = joint(rbm)
    log_z = torch.logsumexp(-rbm.free_energy(every_v, every_label), dim=0)
    return (-rbm.free_energy(v, labels) - log_z).mean()


def step_by_rate(
    rbm: RBMNetwork, v: Tensor, labels: Tensor | None = None, **settings: object
) -> dict[str, Tensor]:
    """What the update adds to each parameter, per unit of learning rate, the rate going to 0."""
    rate = 1e-7
    update = ContrastiveUpdate(
        rbm,
        Recipe(lr=rate, schedule="constant"),
        use_labels=labels is not None,
        **settings,  # type: ignore[arg-type]
    )
    before = {name: p.detach().clone() for name, p in rbm.named_parameters()}
    targets = torch.zeros(len(v)) if labels is None else labels
    update(v, targets, 0.5)
    return {name: (p.detach() - before[name]) / rate for name, p in rbm.named_parameters()}


@pytest.mark.parametrize("n_labels", [0, K])
@pytest.mark.parametrize("temperatures", [1, 4])
def test_long_persistent_chains_give_the_exact_likelihood_gradient(
    n_labels: int, temperatures: int
) -> None:
    rbm = tiny(n_labels=n_labels)
    torch.manual_seed(1)
    v = states(D)[torch.tensor([0, 3, 3, 5, 6])]
    labels = torch.tensor([0, 1, 1, 2, 0]) if n_labels else None
    exact = torch.autograd.grad(log_likelihood(rbm, v, labels), list(rbm.parameters()))
    steps = step_by_rate(
        rbm, v, labels, persistent=True, k=20, chains=20_000, temperatures=temperatures
    )
    for gradient, (name, step) in zip(exact, steps.items()):
        # a mean of 20,000 bits strays by less than 0.0036 (one standard deviation)
        torch.testing.assert_close(step, gradient, atol=0.018, rtol=0, msg=name)


def test_centred_steps_are_the_gradient_in_centred_units() -> None:
    rbm = tiny()
    torch.manual_seed(4)
    v = states(D)[torch.tensor([0, 3, 3, 5, 6])]
    m, lam = v.mean(0), rbm.hidden_mean(v).mean(0).detach()
    exact = torch.autograd.grad(log_likelihood(rbm, v), list(rbm.parameters()))
    g = dict(zip(dict(rbm.named_parameters()), exact))
    dw = g["weight"] - m[:, None] * g["hidden_bias"] - g["visible_bias"][:, None] * lam
    da, db = g["visible_bias"] - dw @ lam, g["hidden_bias"] - m @ dw
    steps = step_by_rate(rbm, v, persistent=True, k=20, chains=20_000, centred=True)
    for step, right in zip(steps.values(), (dw, da, db)):
        torch.testing.assert_close(step, right, atol=0.018, rtol=0)


def test_cd1_statistics_agree_with_enumeration() -> None:
    rbm = tiny()
    v0 = states(D)[torch.tensor([1, 4, 6])]
    h, v = states(H), states(D)
    p_h = (h * rbm.hidden_mean(v0)[:, None] + (1 - h) * (1 - rbm.hidden_mean(v0))[:, None]).prod(2)
    up = rbm.visible_mean(h)
    p_v = (v * up[:, None] + (1 - v) * (1 - up)[:, None]).prod(2)
    p_model = (p_h @ p_v).mean(0)  # (2^D,): one sweep after the three items
    gradient = v0.t() @ rbm.hidden_mean(v0) / 3 - (v * p_model[:, None]).t() @ rbm.hidden_mean(v)
    torch.manual_seed(2)
    steps = step_by_rate(rbm, v0.repeat(10_000, 1), k=1)
    torch.testing.assert_close(steps["weight"], gradient.detach(), atol=0.018, rtol=0)
    bias = v0.mean(0) - (v * p_model[:, None]).sum(0)
    torch.testing.assert_close(steps["visible_bias"], bias.detach(), atol=0.018, rtol=0)
    hidden = rbm.hidden_mean(v0).mean(0) - (rbm.hidden_mean(v) * p_model[:, None]).sum(0)
    torch.testing.assert_close(steps["hidden_bias"], hidden.detach(), atol=0.018, rtol=0)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_resumed_update_goes_through_the_same_bits(precision: str) -> None:
    torch.manual_seed(0)
    batches = torch.rand(6, 7, 11).round()
    settings = {"persistent": True, "chains": 5, "temperatures": 2, "centred": True}
    settings |= {"momentum": 0.5, "sparsity": 0.2, "compute": Compute(precision=precision)}

    def fresh() -> tuple[RBMNetwork, ContrastiveUpdate]:
        torch.manual_seed(3)
        rbm = RBMNetwork(11, 4)
        return rbm, ContrastiveUpdate(rbm, Recipe(lr=0.1), **settings)  # type: ignore[arg-type]

    def learn(update: ContrastiveUpdate, steps: range) -> None:
        for step in steps:
            torch.manual_seed(100 + step)
            update(batches[step], torch.zeros(7), step / 6)

    whole, update = fresh()
    learn(update, range(6))
    first, update = fresh()
    learn(update, range(3))
    second, resumed = fresh()
    second.load_state_dict(first.state_dict())
    resumed.load_state_dict(update.state_dict())
    learn(resumed, range(3, 6))
    for name, parameter in second.named_parameters():
        assert torch.equal(parameter, whole.get_parameter(name)), name

"""Joint learning of deep Boltzmann machines: its gradient against finite differences of the exact
bound, its pretraining against the conditionals it must compose to, its runs killed and resumed."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from depthwise.compute import Compute
from depthwise.families.dbm.joint_learning import JointUpdate
from depthwise.families.dbm.layer_pretraining import balance, compose, layer_machine, layer_update
from depthwise.families.dbm.log_partition import enumerated_log_partition
from depthwise.families.dbm.network import DBMNetwork
from depthwise.training.loop import train
from depthwise.training.step import Recipe

STEADY = Recipe(lr=1.0, schedule="constant")


def machine(shape: tuple[int, ...], hidden: tuple[int, ...], chains: int = 16) -> DBMNetwork:
    torch.manual_seed(len(hidden))
    network = DBMNetwork(shape, hidden, chains=chains)
    with torch.no_grad():
        for weight in network.weights:
            weight.normal_(0, 0.7)
        for bias in network.biases:
            bias.normal_(0, 0.4)
    return network


def parameters(network: DBMNetwork) -> list[Tensor]:
    return [*network.weights, *network.biases]


@torch.no_grad()
def set_chains_at_equilibrium(network: DBMNetwork) -> None:
    """The chains become independent draws from the exact distribution, by listing its states."""
    bits = list(itertools.product((0.0, 1.0), repeat=sum(network.sizes)))
    states = torch.tensor(bits).split(network.sizes, dim=1)
    p = torch.softmax(-network.energy(states).double(), dim=0)
    drawn = torch.multinomial(p, len(network.chains), replacement=True)
    network.chains.copy_(torch.cat(states[1::2], dim=1)[drawn])


@torch.no_grad()
def exact_objective(network: DBMNetwork, v: Tensor) -> float:
    """Mean bound on log p(v), with log Z by enumeration, in float64."""
    bound = network.bound(v, network.mean_field(v, steps=200)).mean()
    return float(bound) - enumerated_log_partition(network).log_z


def changes(network: DBMNetwork, v: Tensor, **how: Any) -> list[Tensor]:
    """What one step at rate 1 adds to each parameter."""
    before = [p.detach().clone() for p in parameters(network)]
    JointUpdate(network, STEADY, steps=100, **how)(v, torch.zeros(len(v)), 0.0)
    return [after.detach() - old for old, after in zip(before, parameters(network))]


@pytest.mark.parametrize("sizes", [((4,), (3, 2)), ((3,), (2, 3, 2))])
def test_a_step_follows_finite_differences_of_the_exact_bound(sizes: tuple) -> None:
    network = machine(*sizes, chains=60_000)
    v = torch.randint(0, 2, (6, network.n_visible)).float()
    set_chains_at_equilibrium(network)
    reference = machine(*sizes).double()
    steps = changes(network, v, sweeps=2)
    for parameter, step in zip(parameters(reference), steps):
        flat = parameter.data.view(-1)
        for i in range(len(flat)):
            old = float(flat[i])
            flat[i] = old + 1e-4
            above = exact_objective(reference, v.double())
            flat[i] = old - 1e-4
            below = exact_objective(reference, v.double())
            flat[i] = old
            assert float(step.view(-1)[i]) == pytest.approx((above - below) / 2e-4, abs=0.012)


@torch.no_grad()
def test_the_centred_step_is_the_product_of_centred_values() -> None:
    """Against the formula in words: (h - m)(h' - m')' of the data less that of the model."""
    network = machine((5,), (4, 3, 2))
    update = JointUpdate(network, STEADY, centred=True)
    update._round_weights()
    data = [torch.rand(7, size) for size in network.sizes]
    model = [torch.rand(9, size) for size in network.sizes]
    before = [p.detach().clone() for p in parameters(network)]
    update._learn(data, model, 1.0)
    steps = [after - old for old, after in zip(before, parameters(network))]
    offsets = [d.mean(dim=0) for d in data]
    for layer in range(3):
        parts = [
            (x[layer] - offsets[layer]).t() @ (x[layer + 1] - offsets[layer + 1]) / len(x[0])
            for x in (data, model)
        ]
        torch.testing.assert_close(steps[layer], parts[0] - parts[1])
    for layer in range(4):
        expected = data[layer].mean(dim=0) - model[layer].mean(dim=0)
        if layer > 0:
            expected -= offsets[layer - 1] @ steps[layer - 1]
        if layer < 3:
            expected -= steps[layer] @ offsets[layer + 1]
        torch.testing.assert_close(steps[3 + layer], expected)


@pytest.mark.parametrize("centred", [False, True])
def test_learning_raises_the_exact_bound(centred: bool) -> None:
    torch.manual_seed(0)
    patterns = torch.tensor([[1.0, 1, 0, 0, 0, 1], [0, 0, 1, 1, 1, 0], [1, 0, 1, 0, 1, 0]])
    v = patterns[torch.randint(0, 3, (300,))]
    network = DBMNetwork((6,), (5, 4), chains=50)
    begun = exact_objective(_double(network), v.double())
    recipe = Recipe(epochs=60, batch_size=30, lr=0.4, schedule="cosine", average=0)
    update = JointUpdate(network, recipe, centred=centred)
    train(network, update, v, torch.zeros(300), recipe, compute=Compute())
    ended = exact_objective(_double(network), v.double())
    assert begun < -3.9  # six coins: -6 log 2 = -4.16
    assert ended > -1.9  # the patterns' entropy: -log 3 = -1.10


def _double(network: DBMNetwork) -> DBMNetwork:
    copy = DBMNetwork((network.n_visible,), network.sizes[1:], chains=len(network.chains))
    copy.load_state_dict(network.state_dict())
    return copy.double()


def test_bfloat16_products_give_nearly_the_same_step() -> None:
    network, twin = machine((9,), (8, 7), chains=400), machine((9,), (8, 7), chains=400)
    set_chains_at_random(network), set_chains_at_random(twin)
    v = torch.randint(0, 2, (200, 9)).float()
    torch.manual_seed(5)
    exact = changes(network, v, sweeps=1)
    torch.manual_seed(5)
    rounded = changes(twin, v, sweeps=1, compute=Compute(precision="bfloat16"))
    for one, other in zip(exact, rounded):
        torch.testing.assert_close(one, other, atol=0.02, rtol=0)
        assert not torch.equal(one, other)


def set_chains_at_random(network: DBMNetwork) -> None:
    generator = torch.Generator().manual_seed(0)
    network.chains.copy_(torch.randint(0, 2, network.chains.shape, generator=generator))


def test_sparsity_moves_hidden_biases_towards_the_target() -> None:
    v = torch.randint(0, 2, (50, 4)).float()
    plain = changes(_seeded(machine((4,), (5, 3))), v)
    sparse = changes(_seeded(machine((4,), (5, 3))), v, sparsity=0.0, sparsity_cost=0.5)
    torch.testing.assert_close(plain[2], sparse[2])  # the visible biases
    means = machine((4,), (5, 3)).mean_field(v, steps=100)
    for layer in (1, 2):
        pull = sparse[2 + layer] - plain[2 + layer]
        torch.testing.assert_close(pull, -0.5 * means[layer].mean(dim=0).detach())


def _seeded(network: DBMNetwork) -> DBMNetwork:
    torch.manual_seed(11)
    return network


def test_a_killed_run_goes_on_bit_for_bit(tmp_path: Path) -> None:
    v = torch.rand(90, 6)
    recipe = Recipe(epochs=6, batch_size=9, lr=0.05, schedule="cosine", average=0)

    def run(checkpoint: Path | None = None, stop_after: int | None = None) -> DBMNetwork:
        network = machine((6,), (5, 4, 3))
        update = _Stopping(JointUpdate(network, recipe, centred=True), stop_after)
        options: dict[str, Any] = {"checkpoint": checkpoint, "checkpoint_seconds": 0.0}
        train(network, update, v, torch.zeros(90), recipe, compute=Compute(), **options)
        return network

    whole = run()
    run(tmp_path / "run", stop_after=23)
    resumed = run(tmp_path / "run")
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor.nan_to_num(), resumed.state_dict()[name].nan_to_num()), name


class _Stopping:
    """Ctrl-C in the middle of a step."""

    def __init__(self, update: JointUpdate, stop_after: int | None):
        self.update, self.left = update, stop_after
        self.state_dict, self.load_state_dict = update.state_dict, update.load_state_dict

    def __call__(self, *batch: Any) -> Tensor:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
        return self.update(*batch)


# -- pretraining ----------------------------------------------------------------------------------


@torch.no_grad()
def test_pretraining_and_inference_share_their_conditionals() -> None:
    """Upwards each machine says what the deep machine's first pass does; downwards, what the deep
    machine says once each missing neighbour speaks as loud as the present one."""
    network = machine((6,), (5, 4, 3))
    v = torch.randint(0, 2, (8, 6)).float()
    means, recipe = network.bottom_up(v), Recipe(lr=0.1)
    for layer in (1, 2, 3):
        rbm = layer_machine(network, layer)
        update = layer_update(network, rbm, layer, recipe, Compute())
        evidence = update.products.up_factor * (means[layer - 1] @ rbm.weight)
        torch.testing.assert_close(torch.sigmoid(rbm.hidden_bias + evidence), means[layer])
        h = torch.randint(0, 2, (8, network.sizes[layer])).float()
        states = [torch.zeros(8, size) for size in network.sizes]
        states[layer] = h
        said = network.layer_input(layer - 1, states) - network.biases[layer - 1]
        twice = 1 if layer == 1 else 2
        expected = network.biases[layer - 1] + twice * said
        down = rbm.visible_bias + update.products.down_factor * (h @ rbm.weight.t())
        torch.testing.assert_close(down, expected)


@torch.no_grad()
def test_a_layer_is_composed_as_it_was_learnt_with_the_lower_bias() -> None:
    network = machine((6,), (5, 4))
    rbm = layer_machine(network, 2)
    rbm.weight.normal_()
    rbm.hidden_bias.normal_()
    rbm.visible_bias.normal_()
    kept = network.biases[1].clone()
    compose(network, rbm, 2)
    torch.testing.assert_close(network.weights[1].data, rbm.weight.data)
    torch.testing.assert_close(network.biases[2].data, rbm.hidden_bias.data)
    torch.testing.assert_close(network.biases[1].data, kept)


@torch.no_grad()
def test_joined_layers_hear_on_average_what_they_heard_alone() -> None:
    network = machine((6,), (5, 4, 3))
    v = torch.rand(40, 6)
    means = [layer.mean(dim=0, keepdim=True) for layer in network.bottom_up(v)]
    alone = [
        network.biases[layer] + 2 * means[layer - 1] @ network.weights[layer - 1]
        for layer in (1, 2)
    ]
    top, bottom = network.biases[3].clone(), network.biases[0].clone()
    balance(network, v)
    for layer in (1, 2):
        torch.testing.assert_close(network.layer_input(layer, means), alone[layer - 1])
    torch.testing.assert_close(network.biases[3].data, top)
    torch.testing.assert_close(network.biases[0].data, bottom)


def test_the_second_machine_learns_draws_of_the_first_hidden_layer() -> None:
    network = machine((6,), (5, 4))
    v = torch.randint(0, 2, (1, 6)).float().expand(20_000, -1)
    update = layer_update(network, layer_machine(network, 2), 2, STEADY, Compute())
    assert update.prepare is not None
    with torch.no_grad():
        drawn = update.prepare(v)
        expected = torch.sigmoid(network.biases[1] + 2 * v[:1] @ network.weights[0])[0]
    assert set(drawn.unique().tolist()) <= {0.0, 1.0}
    torch.testing.assert_close(drawn.mean(dim=0), expected, atol=0.015, rtol=0)

"""The autoencoder's network: its shapes, its beginning, its convolutions and its unrolled stack."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from depthwise.compute import Compute
from depthwise.families.autoencoder.convolutions import conv_decoder, conv_encoder, map_shapes
from depthwise.families.autoencoder.network import AutoencoderNetwork, dense_stack
from depthwise.families.autoencoder.rbm_stack import (
    CodeRBM,
    CodeUpdate,
    activations,
    stack_machines,
    unroll,
)
from depthwise.training.step import Recipe

AWKWARD = [(1, 7, 5), (3, 13, 10), (2, 1, 3), (1, 28, 28)]


def dense(
    widths: tuple[int, ...], activation: str = "gelu", last: str = "linear", **options: object
) -> AutoencoderNetwork:
    torch.manual_seed(3)
    return AutoencoderNetwork(
        (widths[0],),
        dense_stack(widths, activation, last),
        dense_stack(widths[::-1], activation, "linear"),
        widths[-1],
        **options,  # type: ignore[arg-type]
    )


def convolutional(shape: tuple[int, int, int], normalise: bool = True) -> AutoencoderNetwork:
    torch.manual_seed(4)
    encoder = conv_encoder(shape, 3, 11, 4, "gelu", "linear", normalise)
    decoder = conv_decoder(shape, 3, 11, 4, "gelu", normalise)
    return AutoencoderNetwork(shape, encoder, decoder, 4)


def test_every_layer_is_a_representation_and_the_code_is_the_last() -> None:
    network, x = dense((11, 7, 5, 2)), torch.rand(3, 11)
    layers = network.representations(x)
    assert [h.shape for h in layers] == [(3, 7), (3, 5), (3, 2)]
    assert torch.equal(layers[-1], network.encode(x))
    assert network(x).shape == (3, 11)


@pytest.mark.parametrize("shape", AWKWARD)
def test_convolutions_give_back_the_shape_they_were_given(shape: tuple[int, int, int]) -> None:
    network = convolutional(shape)
    images_u8 = torch.randint(0, 256, (2, *shape), dtype=torch.uint8)
    assert network.reconstruct(images_u8).shape == (2, math.prod(shape))
    assert network.raw(network.reconstruct(images_u8)).shape == (2, *shape)
    assert network.representations(images_u8)[-1].shape == (2, 4)


def test_stages_halve_the_sides_upwards_and_stop_when_they_are_small() -> None:
    assert map_shapes((3, 13, 10), 8) == [(3, 13, 10), (8, 7, 5), (16, 4, 3)]
    assert map_shapes((1, 7, 5), 8) == [(1, 7, 5), (8, 4, 3)]
    assert map_shapes((1, 3, 9), 8) == [(1, 3, 9)]


@pytest.mark.parametrize("shape", AWKWARD)
def test_a_batch_is_encoded_as_its_items_are(shape: tuple[int, int, int]) -> None:
    network = convolutional(shape)  # in training mode too: no statistic is taken over a batch
    x = torch.rand(5, *shape)
    singles = torch.cat([network(x[i : i + 1]) for i in range(5)])
    torch.testing.assert_close(network(x), singles, atol=1e-6, rtol=1e-5)


def test_neither_the_code_nor_the_output_is_normalised() -> None:
    norms = (nn.LayerNorm, nn.GroupNorm, nn.BatchNorm1d, nn.BatchNorm2d)
    encoder = dense_stack((9, 8, 7, 3), "relu", "linear", normalise=True)
    for last in (encoder[-1], convolutional((3, 13, 10)).encoder[-1]):
        assert isinstance(last, nn.Sequential)
        assert [type(part) for part in last] == [nn.Linear]
    assert sum(isinstance(m, norms) for m in encoder.modules()) == 2
    decoder = convolutional((3, 13, 10)).decoder
    assert not [m for m in decoder[-2].modules() if isinstance(m, norms)]


def test_raw_undoes_visible() -> None:
    network = convolutional((3, 13, 10))
    network.standardise.set_statistics(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([4.0, 5.0, 6.0]))
    x = 255 * torch.rand(2, 3, 13, 10)
    torch.testing.assert_close(network.raw(network.visible(x)), x, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("image", [False, True])
def test_it_begins_at_the_mean_of_the_data(image: bool) -> None:
    network = convolutional((1, 7, 5)) if image else dense((35, 8, 4))
    mean = torch.full((35,), 0.3) if image else torch.linspace(0.05, 0.95, 35)
    network.begin_output_at(mean)
    with torch.no_grad():
        for p in network.decoder.parameters():
            if p.dim() > 1:
                p.zero_()
    torch.testing.assert_close(network.decode(torch.randn(2, 4)), mean.expand(2, 35))


def test_activations_keep_their_size_through_many_rectified_layers() -> None:
    """He et al. 2015: second moments stay, so that depth neither starves nor floods a layer."""
    stack = dense_stack((400,) * 8, "relu", "linear")
    h = torch.randn(200, 400)
    moments = []
    for layer in list(stack)[:-1]:
        h = layer(h)
        moments.append(float(h.detach().square().mean()))
    assert 0.6 < moments[-1] / moments[0] < 1.6


# -- the stack of machines ----------------------------------------------------------------------


def trained_stack(visible: str, code: str) -> list[nn.Module]:
    """Machines with weights far from their beginning."""
    torch.manual_seed(5)
    machines = stack_machines((12, 9, 6, 3), visible, code)
    with torch.no_grad():
        for machine in machines:
            for p in machine.parameters():
                p.copy_(0.5 * torch.randn_like(p))
    return machines  # type: ignore[return-value]


@pytest.mark.parametrize("visible", ["bernoulli", "gaussian"])
@pytest.mark.parametrize("code", ["linear", "logistic"])
def test_unrolled_it_is_its_stack(visible: str, code: str) -> None:
    machines = trained_stack(visible, code)
    network = dense((12, 9, 6, 3), "logistic", code, visible=visible)
    unroll(network, machines)  # type: ignore[arg-type]
    v = torch.rand(7, 12)
    up = v
    for machine, layer in zip(machines, network.representations(v)):
        up = machine.hidden_mean(up)  # type: ignore[operator]
        torch.testing.assert_close(layer, up)
    down = up
    for machine in machines[::-1]:
        down = machine.visible_mean(down)  # type: ignore[operator]
    torch.testing.assert_close(network.reconstruct(v), down)
    torch.testing.assert_close(activations(machines, v), network.encode(v))  # type: ignore[arg-type]


def code_machine() -> CodeRBM:
    torch.manual_seed(6)
    machine = CodeRBM(3, 2).double()
    with torch.no_grad():
        for p in machine.parameters():
            p.copy_(0.7 * torch.randn_like(p))
    return machine


def energy(machine: CodeRBM, v: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    a, b, w = machine.visible_bias, machine.hidden_bias, machine.weight
    return -(v @ a) - torch.einsum("...d,dh,...h->...", v, w, h) + ((h - b) ** 2).sum(-1) / 2


def test_the_code_machines_free_energy_is_its_energy_integrated() -> None:
    machine = code_machine()
    v = torch.tensor([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0]], dtype=torch.float64)
    axis = torch.linspace(-12, 12, 601, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    step = float(axis[1] - axis[0])
    for row in v:
        e = energy(machine, row.expand(len(grid), 3), grid)
        expected = -(torch.logsumexp(-e, dim=0) + 2 * math.log(step))
        found = machine.free_energy(row[None])[0]
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_code_units_are_drawn_with_unit_variance_around_their_mean() -> None:
    machine = code_machine()
    v = torch.tensor([[0.0, 1.0, 1.0]], dtype=torch.float64).expand(40_000, 3)
    torch.manual_seed(0)
    h = machine.sample_hidden(v)
    assert h.mean(0).tolist() == pytest.approx(machine.hidden_mean(v[:1])[0].tolist(), abs=0.02)
    assert h.var(0).tolist() == pytest.approx([1, 1], abs=0.03)


def test_data_drawn_from_the_machine_itself_leave_its_biases_where_they_are() -> None:
    """There the likelihood is at its top, and CD-1's mean is zero."""
    machine = code_machine()
    states = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * 3)
    p = torch.softmax(-machine.free_energy(states), dim=0).detach()
    torch.manual_seed(1)
    v = states[torch.multinomial(p, 200_000, replacement=True)]
    # a reconstruction by means has the statistics of one by draws where they are linear in v
    update = CodeUpdate(machine, Recipe(), lambda x: x, Compute())
    gradients, _ = update.contrast(v)
    assert gradients["visible_bias"].abs().max() < 0.01
    assert gradients["hidden_bias"].abs().max() < 0.01


def test_contrastive_divergence_lowers_the_code_machines_error() -> None:
    rng = np.random.default_rng(0)
    prototypes = rng.random((4, 30)) > 0.5
    v = torch.from_numpy(prototypes[rng.integers(0, 4, 400)].astype(np.float32))
    torch.manual_seed(0)
    machine = CodeRBM(30, 5)
    recipe = Recipe(lr=0.01, schedule="constant", weight_decay=0.0)
    update = CodeUpdate(machine, recipe, lambda x: x, Compute())
    errors = [float(update(v, torch.zeros(400), step / 300)) for step in range(300)]
    assert errors[-1] < 0.2 * errors[0]

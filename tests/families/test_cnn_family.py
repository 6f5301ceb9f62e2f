"""The CNN's stages seen from outside, and the CNN of numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from depthwise.errors import InputError
from depthwise.families.cnn import CNN, CNNNetwork, CNNRegressor, Rung

pytestmark = pytest.mark.numerical


def network(rung: Rung, shape: tuple[int, int, int] = (2, 11, 7)) -> CNNNetwork:
    torch.manual_seed(0)
    net = CNNNetwork(shape, 3, rung, 0.0).eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):  # blocks that are no longer the identity
            nn.init.normal_(module.weight, 1.0, 0.2)
    return net


@pytest.mark.parametrize("rung", [Rung(3, 1), Rung(3, 2), Rung(3, 0), Rung(3, 1, separable=True)])
def test_representations_are_the_stages_and_then_the_pooled_features(rung: Rung) -> None:
    net = network(rung)
    x = torch.randint(256, (5, 2, 11, 7), dtype=torch.uint8)
    shown = net.representations(x)
    sides = [(11, 7), (6, 4), (3, 2)]  # halved, rounded up
    widths = [3 * 2**stage * h * w for stage, (h, w) in enumerate(sides)]
    assert [tuple(h.shape) for h in shown] == [(5, n) for n in (*widths, 24)]
    maps = shown[2].unflatten(1, (12, 3, 2))
    torch.testing.assert_close(shown[3][:, :12], maps.mean(dim=(2, 3)))
    torch.testing.assert_close(shown[3][:, 12:], maps.amax(dim=(2, 3)))
    torch.testing.assert_close(net.output(shown[3]), net(x))


def test_a_large_image_is_reduced_before_the_first_stage() -> None:
    shown = network(Rung(2, 1), (1, 129, 65)).representations(torch.zeros(1, 1, 129, 65))
    assert shown[0].shape == (1, 2 * 65 * 33)  # until the shorter side is at most 64


def test_a_batch_answers_as_singles_at_every_layer(digits: Any) -> None:
    model = CNN(size="xxs", epochs=1).fit(digits[0][:60], digits[1][:60])
    X = digits[2][:7]
    for layer in (1, 2, 3, 4):
        singles = np.concatenate([model.transform(X[i : i + 1], layer=layer) for i in range(7)])
        np.testing.assert_allclose(model.transform(X, layer=layer), singles, atol=1e-5)
    np.testing.assert_array_equal(model.transform(X), model.transform(X, layer=4))
    with pytest.raises(InputError, match="layer must be 1 to 4"):
        model.transform(X, layer=5)


def bars(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Images with one bright square, and where it is: (N, 2) row and column of its corner."""
    source = np.random.default_rng(0)
    corners = source.integers(0, 9, (n, 2))
    images = np.zeros((n, 1, 12, 12), np.uint8)
    for image, (row, column) in zip(images, corners):
        image[0, row : row + 4, column : column + 4] = 255
    return images, corners.astype(np.float64)


def test_a_regressor_counts_the_light_in_an_image() -> None:
    source = np.random.default_rng(0)
    light = source.uniform(0, 1, 500)
    images = (source.random((500, 1, 8, 8)) < light[:, None, None, None]).astype(np.uint8) * 255
    wanted = images.mean(axis=(1, 2, 3)) * 3 - 100  # a known linear function of the pixels
    model = CNNRegressor(size="xxs", epochs=12, threads=1, augment=None)
    assert model.fit(images[:400], wanted[:400]).score(images[400:], wanted[400:]) > 0.95


def test_several_numbers_an_image_are_answered_in_their_shape() -> None:
    images, corners = bars(40)
    model = CNNRegressor(size="xxs", epochs=1, threads=1).fit(images, corners)
    assert model.predict(images[:3]).shape == (3, 2)
    assert model.transform(images[:3]).shape == (3, 32)


def test_classifier_and_regressor_have_the_same_settings() -> None:
    of_classes = {"class_weight", "metric"}
    kept = {name: v for name, v in CNN().get_params().items() if name not in of_classes}
    assert kept == CNNRegressor().get_params()


def test_a_regressor_of_flat_rows_is_refused() -> None:
    with pytest.raises(InputError, match="DNN"):
        CNNRegressor().fit(np.zeros((9, 4)), np.arange(9.0))

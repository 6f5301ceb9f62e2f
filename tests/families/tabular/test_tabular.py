"""The network for tables: its embeddings and its members, each against loops over the formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from depthwise.errors import InputError
from depthwise.families.tabular.network import PiecewiseLinear, TabularNetwork, quantile_edges
from depthwise.families.tabular.tabular import TabularNet


def test_embeddings_are_those_of_the_formula() -> None:
    embedding = PiecewiseLinear(features=2, bins=3, units=5)
    edges = torch.tensor([[0.0, 1.0, 3.0, 4.0], [-2.0, -1.0, -1.0, -1.0]])
    embedding.set_edges(edges)
    x = torch.tensor([[2.0, -1.25], [-7.0, 100.0]])
    expected = torch.empty(2, 2, 5)
    for i in range(2):
        for d in range(2):
            e = torch.zeros(3)
            for t in range(3):
                low, high = edges[d, t], edges[d, t + 1]
                if high > low:
                    e[t] = min(max((x[i, d] - low) / (high - low), 0.0), 1.0)
            expected[i, d] = e @ embedding.weight[d] + embedding.bias[d, 0]
    torch.testing.assert_close(embedding(x), expected.flatten(1))
    assert torch.equal(
        embedding(torch.tensor([[4.0, -1.0]])), embedding(torch.tensor([[9e9, 9e9]]))
    )


def test_bins_hold_as_many_items_each_or_a_value_each() -> None:
    rng = np.random.default_rng(0)
    columns = np.stack([rng.exponential(size=1001), np.arange(1001) % 3, np.ones(1001)], axis=1)
    edges = quantile_edges(columns.astype(np.float32), 7).numpy()
    assert edges.shape == (3, 8) and (np.diff(edges, axis=1) >= 0).all()
    counts = np.histogram(columns[:, 0], edges[0])[0]
    assert counts.min() >= 142 and counts.max() <= 144
    assert edges[1].tolist() == [0, 1] + [2] * 6 and edges[2].tolist() == [1] * 8


def test_members_are_perceptrons_that_share_their_weights() -> None:
    torch.manual_seed(0)
    network = TabularNetwork((3,), 4, hidden=(7, 5), members=3, bins=4, units=2).eval()
    network.embedding.set_edges(quantile_edges(np.random.default_rng(1).random((50, 3)), 4))
    for layer in network.hidden:
        torch.nn.init.normal_(layer.after)
        torch.nn.init.normal_(layer.bias)
    x = torch.rand(6, 3)
    shares = []
    for j in range(3):
        h = network.embedding(x)
        for layer in network.hidden:
            own = layer.after[j][:, None] * layer.linear.weight * layer.before[j]
            h = torch.relu(h @ own.t() + layer.bias[j])
        shares.append(torch.softmax(h @ network.head[j] + network.head_bias[j], dim=1))
    expected = torch.stack(shares).mean(dim=0)
    torch.testing.assert_close(torch.softmax(network(x), dim=1), expected)
    torch.testing.assert_close(network(x).exp(), expected)
    learning = network.train()(x)
    assert isinstance(learning, list) and [z.shape for z in learning] == [(6, 4)] * 3
    assert [tuple(h.shape) for h in network.eval().representations(x)] == [(6, 21), (6, 15)]


def test_it_learns_what_needs_pieces_whatever_the_outliers() -> None:
    rng = np.random.default_rng(2)
    X = rng.random((900, 3)).astype(np.float32)
    y = np.sin(20 * X[:, 0]) > 0
    X[::90] = 1e6 * rng.normal(size=(10, 3))
    model = TabularNet(size="s", epochs=25, lr=0.01).fit(X[:600], y[:600])
    usual = np.abs(X[600:]).max(axis=1) < 10
    assert model.score(X[600:][usual], y[600:][usual]) > 0.9


def test_wrong_settings_are_named() -> None:
    X, y = np.random.default_rng(3).random((20, 2)).astype(np.float32), np.arange(20) % 2
    for settings, told in (
        ({"members": 0}, "members must be a whole number, at least 1"),
        ({"bins": 0}, "bins must be a whole number, at least 1"),
        ({"hidden": ()}, "hidden must be"),
        ({"dropout": 1.0}, "dropout must be a number in"),
    ):
        with pytest.raises(InputError, match=told):
            TabularNet(epochs=1, **settings).fit(X, y)

"""The classifier made of a deep Boltzmann machine, against hand-built networks."""

from __future__ import annotations

import pytest
import torch

from depthwise.families.dbm.classifier import MeanFieldClassifier, features
from depthwise.families.dbm.network import DBMNetwork


def machine(hidden: tuple[int, ...]) -> DBMNetwork:
    torch.manual_seed(0)
    network = DBMNetwork((6,), hidden, n_classes=3, steps=200).eval()
    with torch.no_grad():
        for weight in network.weights:
            weight.normal_(0, 0.5)
        for bias in network.biases:
            bias.normal_(0, 0.5)
    assert network.classifier is not None
    network.classifier.take(network.weights, network.biases)
    return network


@torch.no_grad()
def test_before_fine_tuning_it_is_the_network_built_by_hand() -> None:
    """[v, q(h2)] -> [W1; W2'] -> W2, as the paper draws it, both layers -> output."""
    network = machine((5, 4))
    assert network.classifier is not None
    v = torch.rand(7, 6)
    q2 = network.mean_field(v)[2]
    first = torch.cat([network.weights[0], network.weights[1].t()])
    one = torch.sigmoid(torch.cat([v, q2], dim=1) @ first + network.biases[1])
    two = torch.sigmoid(one @ network.weights[1] + network.biases[2])
    expected = (
        torch.cat([one, two], dim=1) @ network.classifier.output.weight.t()
        + network.classifier.output.bias
    )
    torch.testing.assert_close(network(v), expected)


@pytest.mark.parametrize("hidden", [(5, 4), (5, 4, 3), (4, 3, 5, 2)])
@torch.no_grad()
def test_its_layers_begin_as_the_mean_field_means(hidden: tuple[int, ...]) -> None:
    network = machine(hidden)
    assert network.classifier is not None
    v = torch.rand(7, 6)
    means = network.mean_field(v)
    network.classifier.output = torch.nn.Identity()  # type: ignore[assignment]
    network.classifier.output.weight = network.weights[0]  # tells the precision
    torch.testing.assert_close(network(v), torch.cat(means[1:], dim=1), atol=1e-5, rtol=1e-5)


def test_features_are_the_item_and_all_layers_but_the_first() -> None:
    means = [torch.rand(2, n) for n in (6, 5, 4, 3)]
    assert features(means).shape == (2, 13)
    torch.testing.assert_close(features(means)[:, 6:10], means[2])


def test_learning_the_classifier_leaves_the_machine_alone() -> None:
    network = machine((5, 4))
    assert network.classifier is not None
    network.classifier(network.features(torch.rand(8, 6)).detach()).sum().backward()
    assert all(p.grad is None for p in (*network.weights, *network.biases))
    assert all(p.grad is not None for p in network.classifier.parameters())


def test_dropout_acts_in_training_only() -> None:
    classifier = MeanFieldClassifier((6, 5, 4), 3, dropout=0.5, input_dropout=0.2)
    given = torch.rand(4, 10)
    assert not torch.equal(classifier(given), classifier(given))
    classifier.eval()
    torch.testing.assert_close(classifier(given), classifier(given), atol=0, rtol=0)

"""The shapes are right where parameters and macs are the published ones."""

import pytest
import torch

from depthwise.measuring.counting import count
from depthwise.measuring.devices.reference_networks import REFERENCES, keras_parameters

INT8_FILES = {"resnet-8": 98_496, "mobilenet": 333_288, "ds-cnn": 53_936, "autoencoder": 276_976}
CLASSES = {"resnet-8": 10, "mobilenet": 2, "ds-cnn": 12, "autoencoder": 640}


@pytest.mark.parametrize("name", REFERENCES)
def test_parameters_and_macs_are_the_published_ones(name):
    reference = REFERENCES[name]
    network = reference.build().eval()
    counts = count(network, torch.zeros(1, *reference.input_shape))
    assert keras_parameters(network) == reference.parameters
    assert counts.macs == reference.macs
    assert sum(p.numel() for p in network.parameters()) < INT8_FILES[name]  # a byte each, and more


@pytest.mark.parametrize("name", REFERENCES)
def test_answers_have_the_tasks_shape(name):
    reference = REFERENCES[name]
    with torch.no_grad():
        answers = reference.build().eval()(torch.rand(2, *reference.input_shape))
    assert answers.shape == (2, CLASSES[name])

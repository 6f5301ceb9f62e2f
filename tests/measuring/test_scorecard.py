import json

import numpy as np
import pytest
import torch
from tests.bare_model import BareClassifier
from torch import nn

from depthwise.data.dataset import Dataset
from depthwise.errors import InputError
from depthwise.measuring.scorecard import METRICS, Scorecard, costs, measure


def model(classes):
    """Column k is class k."""
    network = nn.Sequential(nn.Linear(3, 3, bias=False))
    with torch.no_grad():
        network[0].weight.copy_(torch.eye(3) * 5)
    return BareClassifier(network, (3,), classes=classes)


# seven right of ten: rows say the predicted class
PREDICTED = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2, 2])
TRUE = np.array([0, 0, 1, 1, 1, 2, 2, 2, 2, 0])
X = np.eye(3, dtype=np.float32)[PREDICTED]


def data_of(labels, classes):
    """A Dataset whose test part is X with these labels."""
    every, none = np.arange(len(X)), np.arange(0)
    parts = {"train": none, "validation": none, "test": every}
    return Dataset("x", "table", X, labels, classes, parts)


def test_accuracy_is_that_of_hand_arithmetic():
    card = measure(model(["a", "b", "c"]), (X, TRUE), "raspberry-pi-5", flexibility=False)
    accuracy = card.accuracy
    assert (accuracy.value, accuracy.unit, accuracy.how) == (0.7, "fraction", "measured")
    # Wilson for 7 of 10 at 95 %: Newcombe 1998's formula by hand
    assert (accuracy.low, accuracy.high) == pytest.approx((0.3968, 0.8922), abs=1e-4)
    assert accuracy.details["confusion"] == [[2, 0, 1], [1, 2, 0], [0, 1, 3]]
    assert accuracy.details["per_class"] == pytest.approx({"a": 2 / 3, "b": 2 / 3, "c": 3 / 4})
    assert accuracy.details["items"] == 10


@pytest.mark.parametrize("classes", [["a", "b", "c"], [10, 20, 30]])
def test_labels_may_be_names_or_indices_where_they_cannot_be_confused(classes):
    named = np.array(classes)[TRUE]
    assert measure(model(classes), (X, named), "h100", flexibility=False).accuracy.value == 0.7


def test_a_dataset_is_measured_on_its_test_part():
    # the data lists its classes in another order than the model
    order = np.array([1, 2, 0])  # of the model's "a", "b", "c" in the data's list
    dataset = data_of(order[TRUE], ["c", "a", "b"])
    assert measure(model(list("abc")), dataset, "h100", flexibility=False).accuracy.value == 0.7


def test_numbers_and_their_text_are_the_same_label():
    dataset = data_of(TRUE, ["10", "20", "30"])
    assert measure(model([10, 20, 30]), dataset, "h100", flexibility=False).accuracy.value == 0.7


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((X, TRUE[:4]), "one label an item; got 10 and 4"),
        ((X[:0], TRUE[:0]), "got 0 and 0"),
        ((X[:, :2], TRUE), r"data must be \(N, 3\); got \(10, 2\)"),
        ((X, np.full(10, "z")), "label 'z' is none of"),
        ((X, TRUE + 1), "labels must be 0 to 2; got 1 to 3"),
    ],
)
def test_wrong_data_is_named(data, message):
    with pytest.raises(InputError, match=message):
        measure(model(list("abc")), data, "h100", flexibility=False)


def test_a_wrong_dtype_is_named():
    with pytest.raises(InputError, match="float16"):
        costs(nn.Linear(3, 2), (3,), "float16", "h100")


def test_everything_elsewhere_is_predicted():
    card = costs(nn.Linear(3, 2), (3,), device="pixel-8", flexibility=False)
    assert card.accuracy is None and card.flexibility is None
    assert {card.latency.how, card.throughput.how, card.energy.how} == {"predicted"}
    assert card.energy.details["items_per_charge"] > 0


def test_everything_here_is_measured(here):
    layers = [nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(75, 4)]
    card = costs(nn.Sequential(*layers), (1, 7, 7), device="this", seconds=0.3)
    assert {card.latency.how, card.throughput.how, card.flexibility.how} == {"measured"}
    assert card.energy.value > 0
    assert card.hardware_cost.details["peak_memory_how"] == "measured"
    assert card.throughput.value > 500 / card.latency.value  # a batch is no slower than half
    assert card.flexibility.value == 1.0


def test_a_scorecard_survives_json_with_unknown_parts(here):
    card = costs(nn.Linear(3, 2), (3,), seconds=0.1, flexibility=False)
    text = json.dumps(card.to_dict(), allow_nan=False)
    again = Scorecard.from_dict(json.loads(text))
    assert str(again) == str(card)
    assert again.to_dict() == card.to_dict()


def test_the_table_has_a_row_a_metric():
    card = costs(nn.Linear(3, 2), (3,), device="h100", flexibility=False)
    lines = str(card).splitlines()
    assert lines[0] == "on NVIDIA H100 SXM 80 GB"
    assert [line.strip().split("  ")[0] for line in lines[1:7]] == [
        name.replace("_", " ") for name in METRICS
    ]
    assert "parameters     8" in str(card)


def test_a_stored_scorecard_with_a_strange_key_is_refused():
    with pytest.raises(InputError, match="speed"):
        Scorecard.from_dict({"device": "x", "speed": {}})


def test_real_samples_are_used_as_they_are():
    seen = []

    class Watching(nn.Module):
        def forward(self, x):
            seen.append(x)
            return x[:, :2].float()

    pixels = np.arange(5 * 3, dtype=np.uint8).reshape(5, 3)
    costs(Watching(), (3,), "uint8", "h100", samples=pixels)
    assert seen[0].dtype == torch.uint8
    assert seen[0].tolist() == [[0, 1, 2]]

"""What matters is kept, what is taught is learnt."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from depthwise import CNN, DNN, InputError
from depthwise import load as load_model
from depthwise.compute import Compute
from depthwise.measuring.counting import count
from depthwise.shrinking.channels import channels_of
from depthwise.shrinking.distilling import Taught, distillation, taught_targets
from depthwise.shrinking.fine_tune import fine_tune
from depthwise.shrinking.importance import importance
from depthwise.shrinking.pruning import lowest, prune, pruned_network
from depthwise.training.step import Recipe

Parts = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


# -- importance -----------------------------------------------------------------------------------


def test_taylor_is_the_slope_of_the_loss_as_a_channel_fades() -> None:
    """Against finite differences of the loss, every reading weight of a unit scaled by 1 - h."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 5), nn.Tanh())
    network = network.append(nn.Linear(5, 2)).double()
    x, y = torch.randn(6, 3).double(), torch.tensor([0, 1, 1, 0, 1, 0])
    found = channels_of(network, x[:1])
    told = importance(network, found, x, y, functional.cross_entropy)
    step = 1e-6
    for channel, score in zip(found.channels, told):
        losses = []
        for sign in (1, -1):
            faded = copy.deepcopy(network)
            for (path, side), places in channel.places.items():
                if side == "in":
                    faded.get_submodule(path).weight.data[:, places] *= 1 - sign * step
            losses.append(functional.cross_entropy(faded(x), y).item())
        slope = (losses[0] - losses[1]) / (2 * step)
        assert score == pytest.approx(slope**2, rel=1e-4, abs=1e-12)


def test_batch_norm_and_magnitude_by_hand() -> None:
    network = nn.Sequential(nn.Linear(2, 2, bias=False), nn.BatchNorm1d(2), nn.Linear(2, 1))
    network[0].weight.data = torch.tensor([[3.0, 4.0], [0.0, 2.0]])
    network[1].weight.data = torch.tensor([-7.0, 0.5])
    x, y = torch.zeros(2, 2), torch.zeros(2, dtype=torch.int64)
    found = channels_of(network, x[:1])
    about = (network, found, x, y, functional.cross_entropy)
    assert importance(*about, "magnitude").tolist() == [5.0, 2.0]
    assert importance(*about, "batch-norm").tolist() == [7.0, 0.5]
    with pytest.raises(InputError, match="taylor"):
        importance(*about, "guess")


def test_the_least_important_fifth_is_worth_less_than_the_most_important(
    cnn: CNN, parts: Parts
) -> None:
    """Without fine-tuning."""
    x, y = torch.from_numpy(parts[0][:512]), torch.from_numpy(parts[1][:512])
    network = cnn.network_
    found = channels_of(network, x[:1])
    scores = importance(network, found, x, y, cnn._loss())
    losses = []
    for order in (scores, -scores + scores.max()):
        small = pruned_network(network, found, lowest(found, order, 0.8, found.products))
        with torch.inference_mode():
            losses.append(float(cnn._loss()(small.eval()(x), y)))
    assert losses[0] < losses[1]


# -- pruning --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "cost"), [("cnn", "macs"), ("dnn", "weights")])
def test_pruned_model_costs_its_share_and_still_knows(
    name: str, cost: str, parts: Parts, request: pytest.FixtureRequest, tmp_path
) -> None:
    model = request.getfixturevalue(name)
    X, y, X_held, y_held = parts
    before = {k: v.clone() for k, v in model.network_.state_dict().items()}
    small = prune(model, X, y, share=0.4, cost=cost, rounds=2, epochs=1, final_epochs=6)
    assert all(torch.equal(before[k], v) for k, v in model.network_.state_dict().items())
    one = torch.from_numpy(X[:1])
    whole, left = count(model.network_, one), count(small.network_, one)
    assert left.macs <= 0.41 * whole.macs if cost == "macs" else True
    assert left.parameters < 0.45 * whole.parameters
    truth = model.classes_[y_held]
    assert small.score(X_held, truth) > model.score(X_held, truth) - 0.06
    again = load_model(small.save(tmp_path))
    np.testing.assert_array_equal(again.predict_proba(X_held), small.predict_proba(X_held))
    assert [edit["kind"] for edit in again.shrunk_] == ["widths"]


def test_the_same_seed_prunes_the_same(dnn: DNN, parts: Parts) -> None:
    X, y = parts[0][:300], parts[1][:300]
    about = {"share": 0.5, "rounds": 1, "epochs": 1, "criterion": "taylor", "seed": 3}
    one, two = (prune(dnn, X, y, **about).network_.state_dict() for _ in range(2))
    assert all(torch.equal(one[k], two[k]) for k in one)


def test_microseconds_are_a_cost_too(cnn: CNN, parts: Parts) -> None:
    small = prune(cnn, *parts[:2], share=0.6, cost="microseconds", rounds=1, epochs=0)
    one = torch.from_numpy(parts[0][:1])
    assert count(small.network_, one).macs < count(cnn.network_, one).macs


@pytest.mark.parametrize(
    "wrong", [{"share": 0}, {"share": 1}, {"cost": "money"}, {"criterion": "x"}, {"rounds": 0}]
)
def test_wrong_settings_of_pruning_are_told(wrong: dict, dnn: DNN, parts: Parts) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        prune(dnn, *parts[:2], **{"share": 0.5, **wrong})


def test_nothing_to_make_narrower_is_told() -> None:
    with pytest.raises(InputError, match="narrower"):
        network = nn.Sequential(nn.Linear(3, 2))
        lowest(channels_of(network, torch.zeros(1, 3)), np.zeros(0), 0.5, {})


# -- distillation ---------------------------------------------------------------------------------


def test_distillation_is_the_divergence_times_the_temperature_squared() -> None:
    """By hand, two classes: p = softmax((2, 0) / 2) = (e, 1) / (e + 1), q = (1/2, 1/2)."""
    p = np.exp(1) / (np.exp(1) + 1)
    wanted = 4 * (p * np.log(2 * p) + (1 - p) * np.log(2 * (1 - p)))
    told = distillation(torch.tensor([[1.0, 1.0]]), torch.tensor([[2.0, 0.0]]), 2.0)
    assert float(told) == pytest.approx(wanted, rel=1e-5)


def test_logits_made_once_teach_as_the_teacher_itself_does() -> None:
    torch.manual_seed(0)
    teacher, pupil = nn.Linear(4, 3), nn.Linear(4, 3)
    x, y = torch.randn(9, 4), torch.arange(9) % 3
    about = (pupil, functional.cross_entropy, Recipe(), Compute())
    there = Taught(*about, teacher=teacher, temperature=3.0, share=0.4)
    once = Taught(*about, teacher=None, temperature=3.0, share=0.4)
    targets = taught_targets(teacher, x, y)
    torch.testing.assert_close(there.objective(x, y, 0), once.objective(x, targets, 0))
    by_hand = 0.6 * functional.cross_entropy(pupil(x), y)
    by_hand = by_hand + 0.4 * distillation(pupil(x), teacher(x), 3.0)
    torch.testing.assert_close(there.objective(x, y, 0), by_hand)


class Seen(nn.Module):
    """Remembers the batches that it was shown."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network, self.shown = network, []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.shown.append(x.clone())
        return self.network(x)


def test_teacher_sees_what_the_pupil_sees(cnn: CNN, parts: Parts) -> None:
    X, y = parts[0][:64], parts[1][:64]
    pupil = copy.deepcopy(cnn).set_params(augment="shift", batch_size=32)
    pupil.network_ = Seen(pupil.network_)
    teacher = Seen(copy.deepcopy(cnn.network_))
    fine_tune(pupil, X, y, epochs=1, teacher=teacher, average=0)
    assert len(teacher.shown) == 2
    assert all(torch.equal(a, b) for a, b in zip(teacher.shown, pupil.network_.shown))
    originals = {image.tobytes() for image in X}
    assert any(image.numpy().tobytes() not in originals for image in teacher.shown[0])
    still = copy.deepcopy(cnn).set_params(augment=None, batch_size=32)
    teacher.shown.clear()
    fine_tune(still, X, y, epochs=3, teacher=teacher)
    assert sum(len(batch) for batch in teacher.shown) == 64  # each item once, not once an epoch

"""Pretraining of a DNN: what is learnt below arrives above, and nothing else does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import depthwise
from depthwise.errors import InputError
from depthwise.families.boltzmann.network import RBMNetwork
from depthwise.families.dnn.dnn import DNN, DNNRegressor
from depthwise.families.dnn.pretraining import DenoisingLayer
from depthwise.training.loop import Event
from depthwise.training.run import Run
from depthwise.training.stages import Stages

QUICK: dict[str, Any] = {
    "hidden": (13, 7),
    "pretrain_epochs": 2,
    "epochs": 2,
    "threads": 1,
    "precision": "float32",
}


class Kept(Stages):
    """Stages that keep what each of them trained."""

    trained: list[Any]

    def run(self, name: str, update: Any, recipe: Any, **more: Any) -> Any:
        self.trained = [*getattr(self, "trained", []), more["network"]]
        return super().run(name, update, recipe, **more)


def pretrained(model: DNN, X: np.ndarray, y: np.ndarray) -> Kept:
    """`model` as it is after pretraining and before fine-tuning."""
    data = model._training_data(X, y, None, None)
    with Kept(model, model.network_, data, Run()) as stages:
        model._pretrain(stages, stages.inputs, 1.0)
    return stages


def layers_of(model: DNN) -> dict[str, Tensor]:
    return {k: v.clone() for k, v in model.network_.state_dict().items() if "hidden" in k}


def rows(n: int = 60, d: int = 5) -> np.ndarray:
    return np.random.default_rng(0).normal(3, 2, (n, d)) @ np.diag([1, 2, 3, 4, 5.0][:d])


# -- from the stack to the network ----------------------------------------------------------------


@pytest.mark.parametrize("visible", ["pixels", "rows"])
def test_before_fine_tuning_the_layers_are_the_means_of_the_stack(
    visible: str, digits: Any
) -> None:
    X = digits[0][:80] if visible == "pixels" else rows(80)
    model = DNN(pretrain="dbn", **QUICK)
    machines = pretrained(model, X, digits[1][:80]).trained
    assert [type(machine) for machine in machines] == [RBMNetwork, RBMNetwork]
    assert machines[0].gaussian == (visible == "rows")
    x = torch.from_numpy(X)
    v = x.flatten(1) / 255 if visible == "pixels" else (x - x.mean(0)) / x.std(0, correction=0)
    with torch.no_grad():
        below = machines[0].hidden_mean(v.float())
        wanted = [below, machines[1].hidden_mean(below)]
    for shown, mean in zip(model.network_.eval().representations(x), wanted, strict=True):
        torch.testing.assert_close(shown, mean, atol=1e-5, rtol=1e-5)


def test_before_fine_tuning_the_layers_are_the_encoders(digits: Any) -> None:
    model = DNN(pretrain="autoencoder", **QUICK)
    h: Tensor = torch.from_numpy(digits[0][:80]).flatten(1) / 255
    learners = pretrained(model, digits[0][:80], digits[1][:80]).trained
    for learner, layer in zip(learners, (1, 2), strict=True):
        h = learner.encode(h)
        np.testing.assert_allclose(
            model.transform(digits[0][:80], layer=layer), h.detach(), atol=1e-5
        )


def test_the_head_begins_near_zero(digits: Any) -> None:
    model = DNN(pretrain="dbn", **QUICK)
    pretrained(model, digits[0][:80], digits[1][:80])
    assert np.abs(model.predict_proba(digits[0][:80]) - 0.1).max() < 0.02


@pytest.mark.parametrize("kind", ["dbn", "autoencoder"])
@pytest.mark.parametrize("care", [{"layer_rate": 0.0}, {"head_first": 1.0}])
def test_layers_that_may_not_move_stay_what_pretraining_made_them(
    kind: str, care: dict[str, float], digits: Any
) -> None:
    X, y = digits[0][:80], digits[1][:80]
    begun, ended = (DNN(pretrain=kind, **QUICK, **care) for _ in range(2))
    pretrained(begun, X, y)
    ended.fit(X, y)
    for name, tensor in layers_of(begun).items():
        assert torch.equal(tensor, layers_of(ended)[name]), name
    assert not torch.equal(begun.network_.output.weight, ended.network_.output.weight)


def test_fine_tuning_moves_the_layers_unless_told_otherwise(digits: Any) -> None:
    X, y = digits[0][:80], digits[1][:80]
    begun, ended = (DNN(pretrain="dbn", **QUICK) for _ in range(2))
    pretrained(begun, X, y)
    ended.fit(X, y)
    assert not torch.equal(begun.network_.hidden[0].weight, ended.network_.hidden[0].weight)


def test_unlabelled_items_count_in_pretraining_like_any_other(digits: Any) -> None:
    X, y = digits[0][:120], digits[1][:120]
    model = DNN(pretrain="dbn", layer_rate=0.0, **QUICK)
    all_labelled = layers_of(model.fit(X, y))
    few_labelled = layers_of(model.fit(X[:50], y[:50], unlabelled=X[50:]))
    alone = layers_of(model.fit(X[:50], y[:50]))
    assert all(torch.equal(all_labelled[name], few_labelled[name]) for name in all_labelled)
    assert not all(torch.equal(all_labelled[name], alone[name]) for name in all_labelled)


def test_unlabelled_items_outside_the_unit_interval_make_the_visible_units_gaussian() -> None:
    X, more = np.random.default_rng(0).random((40, 4)), rows(60, 4)
    model = DNN(pretrain="dbn", **QUICK).fit(X, X[:, 0] > 0.5, unlabelled=more)
    shift = np.concatenate([X, more]).mean(axis=0)
    np.testing.assert_allclose(model.network_.standardise.mean, shift, rtol=1e-5)


def test_pretraining_raises_the_likelihood_of_the_data(digits: Any) -> None:
    """Digits have less free energy, in nats, than digits whose pixels are shuffled alike."""
    X, y = digits[0][:400], digits[1][:400]
    model = DNN(pretrain="dbn", **{**QUICK, "hidden": (40,), "pretrain_epochs": 30})
    machine = pretrained(model, X, y).trained[0]
    v = torch.from_numpy(digits[2]).flatten(1) / 255
    with torch.no_grad():
        scrambled = v[:, torch.randperm(64, generator=torch.Generator().manual_seed(0))]
        gap = machine.free_energy(scrambled).mean() - machine.free_energy(v).mean()
        biases_only = ((v - scrambled) @ machine.visible_bias).mean()
    assert gap > biases_only + 1


# -- denoising autoencoders -----------------------------------------------------------------------


@pytest.mark.parametrize("unit", [True, False])
def test_the_denoising_gradient_agrees_with_finite_differences(unit: bool) -> None:
    torch.manual_seed(0)
    layer = DenoisingLayer(5, 3, nn.Sigmoid(), 0.3, unit)
    layer.float = lambda: layer  # type: ignore[method-assign]
    v = torch.rand(7, 5)
    seen = v * (torch.rand(7, 5) > 0.3)
    loss = layer.reconstruction(v, seen).mean()
    loss.backward()
    for weight in layer.parameters():
        place = tuple(0 for _ in weight.shape)
        step, values = 1e-2, []
        for sign in (1, -1):
            with torch.no_grad():
                weight[place] += sign * step
                values.append(float(layer.reconstruction(v, seen).double().mean()))
                weight[place] -= sign * step
        assert weight.grad is not None
        slope = (values[0] - values[1]) / (2 * step)
        assert float(weight.grad[place]) == pytest.approx(slope, rel=1e-2, abs=1e-4)


def test_the_denoising_loss_is_the_cross_entropy_of_the_clean_values() -> None:
    torch.manual_seed(0)
    layer, v = DenoisingLayer(5, 3, nn.Sigmoid(), 0.0, True), torch.rand(7, 5)
    p = torch.sigmoid(layer.decoder(torch.sigmoid(layer.encoder(v))))
    by_hand = -(v * p.log() + (1 - v) * (1 - p).log()).sum(dim=1).mean()
    torch.testing.assert_close(layer(v), by_hand)


def test_the_masked_share_is_as_set_and_the_rest_is_untouched() -> None:
    torch.manual_seed(0)
    layer, v, seen = DenoisingLayer(50, 3, nn.Sigmoid(), 0.3, True), torch.rand(200, 50) + 0.1, []
    layer.encoder.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    layer(v)
    masked = seen[0] == 0
    assert float(masked.double().mean()) == pytest.approx(0.3, abs=4 * (0.21 / 10_000) ** 0.5)
    assert torch.equal(seen[0][~masked], v[~masked])


# -- in stages ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["dbn", "autoencoder"])
@pytest.mark.parametrize("epoch", [1, 3, 5])
def test_a_fit_killed_in_any_stage_resumes_as_never_killed(
    kind: str, epoch: int, digits: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stages end after epochs 2, 4 and 6."""
    X, y = digits[0][:60], digits[1][:60]

    class Stop(Exception):
        pass

    def kill(event: Event) -> None:
        if event.epoch >= epoch:
            raise Stop

    def model() -> DNN:
        return DNN(pretrain=kind, dropout=0.2, agreement=0.5, **QUICK)

    import depthwise.training.loop as training

    monkeypatch.setitem(training.train.__kwdefaults__, "checkpoint_seconds", 0.0)
    whole = model().fit(X, y)
    with pytest.raises(Stop):
        model().fit(X, y, checkpoint=tmp_path / "run", watch=kill)
    resumed = model().fit(X, y, checkpoint=tmp_path / "run")
    for name, tensor in whole.network_.state_dict().items():
        assert torch.equal(tensor, resumed.network_.state_dict()[name]), name


def test_the_history_names_the_stages(digits: Any) -> None:
    model = DNN(pretrain="dbn", **QUICK).fit(digits[0][:60], digits[1][:60])
    stages = [record["stage"] for record in model.history_["epochs"]]
    assert stages == ["rbm-1"] * 2 + ["rbm-2"] * 2 + ["fine-tune"] * 2


def test_a_first_piece_is_pretrained_on_and_later_pieces_are_not(digits: Any) -> None:
    X, y = digits[0][:60], digits[1][:60]
    model = DNN(pretrain="dbn", layer_rate=0.0, **QUICK)
    begun = DNN(pretrain="dbn", **QUICK)
    pretrained(begun, X, y)
    for _ in range(2):
        model.partial_fit(X, y, classes=np.arange(10))
        assert all(torch.equal(t, layers_of(model)[name]) for name, t in layers_of(begun).items())


def test_a_pretrained_model_learns_digits_and_is_saved(digits: Any, tmp_path: Path) -> None:
    X, y, X_test, y_test = digits
    model = DNN(pretrain="dbn", hidden=(60, 60), pretrain_epochs=15, epochs=60, threads=1)
    assert model.fit(X, y).score(X_test, y_test) > 0.93
    model.save(tmp_path / "model")
    again = depthwise.load(tmp_path / "model")
    assert np.array_equal(model.predict_proba(X_test), again.predict_proba(X_test))


def test_a_regressor_is_pretrained_too() -> None:
    X = rows(100)
    y = X[:, 0] - 2
    model = DNNRegressor(pretrain="dbn", **{**QUICK, "epochs": 60}).fit(X, y)
    assert model.score(X, y) > 0.5
    assert model.history_["epochs"][0]["stage"] == "rbm-1"


# -- wrong settings -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pretrain", "dbm"),
        ("pretrain_epochs", 0),
        ("pretrain_lr", -1.0),
        ("masking", 1.0),
        ("layer_rate", 1.5),
        ("head_first", -0.1),
        ("agreement", -1.0),
        ("max_norm", 0),
        ("activation", "tanh"),
        ("normalise", "yes"),
        ("input_dropout", 1.0),
    ],
)
def test_a_wrong_setting_is_named_with_its_value(name: str, value: Any, digits: Any) -> None:
    with pytest.raises(InputError, match=f"{name}.*{value}"):
        DNN(**{**QUICK, name: value}).fit(digits[0][:40], digits[1][:40])


def test_pretraining_of_rectifiers_is_refused(digits: Any) -> None:
    with pytest.raises(InputError, match="logistic"):
        DNN(pretrain="dbn", activation="relu").fit(digits[0][:40], digits[1][:40])


def test_unlabelled_items_that_nothing_would_learn_from_are_refused(digits: Any) -> None:
    with pytest.raises(InputError, match="pretrain"):
        DNN().fit(digits[0][:40], digits[1][:40], unlabelled=digits[0][40:60])


def test_unlabelled_items_of_another_shape_are_refused(digits: Any) -> None:
    with pytest.raises(InputError, match="fitted on"):
        DNN(pretrain="dbn").fit(
            digits[0][:40], digits[1][:40], unlabelled=np.zeros((5, 1, 9, 8), np.uint8)
        )

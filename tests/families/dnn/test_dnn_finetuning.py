"""The DNN's network and its last stage: rates of layers, max-norm, dropout, agreement, numbers."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.utils.estimator_checks import check_estimator
from torch import Tensor, nn

from depthwise.compute import Compute
from depthwise.families.dnn.dnn import DNN, DNNRegressor
from depthwise.families.dnn.finetuning import POOL_SHARE, FineTuning
from depthwise.families.dnn.network import DNNNetwork, limit_norms
from depthwise.losses import smoothed_cross_entropy
from depthwise.training.step import Recipe, lr_factor

SGD = Recipe(lr=0.5, optimizer="sgd", schedule="constant", weight_decay=0.0, clip_norm=None)


def network(dropout: float = 0.0, **more: Any) -> DNNNetwork:
    torch.manual_seed(0)
    return DNNNetwork((5,), 3, (7, 2), dropout, activation="logistic", normalise=False, **more)


def tuning(net: DNNNetwork, recipe: Recipe = SGD, **care: Any) -> FineTuning:
    return FineTuning(net, net, smoothed_cross_entropy, recipe, Compute(), **care)


def batch(n: int = 11) -> tuple[Tensor, Tensor]:
    source = torch.Generator().manual_seed(1)
    return torch.rand(n, 5, generator=source), torch.randint(3, (n,), generator=source)


# -- the network ----------------------------------------------------------------------------------


def test_the_network_is_what_its_formula_says() -> None:
    net, x = network().eval(), batch()[0]
    first, second = (linear.weight.detach().numpy() for linear in net.linears)
    for linear in net.linears:
        nn.init.normal_(linear.bias)
    biases = [linear.bias.detach().numpy() for linear in net.linears]
    h1 = 1 / (1 + np.exp(-(x.numpy() @ first.T + biases[0])))
    h2 = 1 / (1 + np.exp(-(h1 @ second.T + biases[1])))
    shown = [h.detach().numpy() for h in net.representations(x)]
    np.testing.assert_allclose(shown[0], h1, atol=1e-6)
    np.testing.assert_allclose(shown[1], h2, atol=1e-6)
    logits = h2 @ net.output.weight.detach().numpy().T + net.output.bias.detach().numpy()
    np.testing.assert_allclose(net(x).detach().numpy(), logits, atol=1e-6)


@pytest.mark.parametrize("settings", [{}, {"activation": "logistic"}, {"normalise": False}])
def test_representations_have_the_layers_widths(settings: dict[str, Any], digits: Any) -> None:
    model = DNN(hidden=(13, 5, 3), epochs=1, **settings).fit(digits[0][:50], digits[1][:50])
    shapes = [model.transform(digits[0][:7], layer=layer).shape for layer in (1, 2, 3)]
    assert shapes == [(7, 13), (7, 5), (7, 3)]
    top = torch.from_numpy(model.transform(digits[0][:7]))
    p = torch.softmax(model.network_.output(top), dim=1).detach().numpy()
    np.testing.assert_allclose(p, model.predict_proba(digits[0][:7]), atol=1e-6)


def test_dropout_silences_its_share_and_keeps_the_mean() -> None:
    net, seen = network(0.5, input_dropout=0.2), []
    for linear in (*net.linears, net.output):
        linear.register_forward_pre_hook(lambda _, args: seen.append(args[0].detach()))
    x = torch.ones(20_000, 5)
    net.train()(x)
    first = net.representations(x[:1])[0]
    for values, share, mean in ((seen[0], 0.2, torch.ones(1, 5)), (seen[1], 0.5, None)):
        rows = len(values) * values.shape[1]
        off = float((values == 0).double().mean())
        assert off == pytest.approx(share, abs=5 * (share * (1 - share) / rows) ** 0.5)
        if mean is not None:
            torch.testing.assert_close(values.mean(0, keepdim=True), mean, atol=0.02, rtol=0)
    assert first.shape == (1, 7)


def test_nothing_is_dropped_when_predicting() -> None:
    net, x = network(0.9, input_dropout=0.9).eval(), batch()[0]
    assert torch.equal(net(x), net(x))


# -- max-norm and rates ---------------------------------------------------------------------------


def test_max_norm_shortens_long_rows_and_leaves_short_ones() -> None:
    linear = nn.Linear(3, 2)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[3.0, 0.0, 4.0], [0.3, 0.0, 0.4]]))
    limit_norms([linear], 2.5)
    wanted = torch.tensor([[1.5, 0.0, 2.0], [0.3, 0.0, 0.4]])
    torch.testing.assert_close(linear.weight.detach(), wanted)


def test_no_hidden_unit_outgrows_max_norm_in_training(digits: Any) -> None:
    X, y = digits[0][:100], digits[1][:100]
    free, bound = (DNN(epochs=5, max_norm=c, average=0.0).fit(X, y) for c in (None, 0.8))
    longest = [
        max(float(w.weight.detach().norm(dim=1).max()) for w in m._core().linears)
        for m in (free, bound)
    ]
    assert longest[1] <= 0.8 + 1e-6 < longest[0]


def test_layers_learn_at_their_share_of_the_rate() -> None:
    """One step of plain descent: each weight has moved by its rate times its gradient."""
    recipe, (x, y) = SGD, batch()
    net, again = network(), network()
    smoothed_cross_entropy(again(x), y).backward()
    tuning(net, recipe, layer_rate=0.1)(x, y, 0.5)
    for (name, moved), start in zip(net.named_parameters(), again.parameters()):
        share = 1.0 if name.startswith("output") else 0.1
        assert start.grad is not None
        step = 1.9 * recipe.lr * share * start.grad  # Nesterov's first step: (1 + 0.9) g
        torch.testing.assert_close(moved, start - step, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_the_head_learns_first(optimizer: str) -> None:
    recipe = Recipe(lr=0.1, optimizer=optimizer, schedule="constant")
    net, (x, y) = network(), batch()
    update, begun = (
        tuning(net, recipe, head_first=0.5),
        {k: v.clone() for k, v in net.state_dict().items()},
    )
    update(x, y, 0.49)
    moved = {k for k, v in net.state_dict().items() if not torch.equal(v, begun[k])}
    assert moved == {"output.weight", "output.bias"}
    update(x, y, 0.5)
    assert not torch.equal(net.linears[0].weight, begun["hidden.0.weight"])


def test_without_care_fine_tuning_is_gradient_descent() -> None:
    update = tuning(network(), Recipe(lr=0.2))
    rates = {update.rate(group, 0.3) for group in update.optimizer.param_groups}
    assert rates == {0.2 * lr_factor("onecycle", 0.3)}


# -- agreement ------------------------------------------------------------------------------------


def test_agreement_is_the_cross_entropy_with_the_averages_answer() -> None:
    """Before any step, without dropout, the average answers as the network: what is added is the
    entropy of its answers, times the weight on its way up."""
    net, (x, y) = network(), batch()
    update = tuning(net)
    pool = torch.ones(6, 5)  # all alike, so that the draw does not matter
    update.agree_on(pool, 0.8, partial(torch.softmax, dim=1))
    p = torch.softmax(net(pool[:1]), dim=1).detach().double().numpy()
    entropy = float(-(p * np.log(p)).sum())
    labelled = smoothed_cross_entropy(net(x), y).item()
    for progress, weight in ((0.0, 0.0), (0.25, 0.4), (0.5, 0.8), (0.9, 0.8)):
        loss = update.objective(x, y, progress).item()
        assert loss == pytest.approx(labelled + weight * entropy, abs=1e-5)


def test_agreement_looks_at_many_items_without_labels() -> None:
    net, (x, y), seen = network(), batch(4), []
    update = tuning(net)
    update.agree_on(batch(50)[0], 1.0, partial(torch.softmax, dim=1))
    net.register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    update(x, y, 0.5)
    assert seen == [4 + POOL_SHARE * 4]


def test_agreement_learns_from_items_without_labels(digits: Any) -> None:
    """Ten labels a class: with the other images' say, more of the test part is right."""
    X, y, X_test, y_test = digits
    few = np.concatenate([np.flatnonzero(y == k)[:5] for k in range(10)])
    rest = np.delete(X, few, axis=0)
    settings: dict[str, Any] = {"hidden": (100,), "dropout": 0.4, "epochs": 60, "threads": 1}
    settings["quality"] = "paper"
    alone = DNN(**settings).fit(X[few], y[few]).score(X_test, y_test)
    agreeing = DNN(agreement=1.0, **settings).fit(X[few], y[few], unlabelled=rest)
    assert agreeing.score(X_test, y_test) > alone


# -- numbers --------------------------------------------------------------------------------------


def line(n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    X = np.random.default_rng(0).normal(5, 3, (n, 3))
    return X, X @ np.array([[1.0, -20.0], [2.0, 0.0], [-1.0, 40.0]]) + np.array([1000.0, -3.0])


@pytest.mark.parametrize("targets", [1, 2])
def test_a_regressor_finds_a_known_linear_function(targets: int) -> None:
    X, Y = line()
    Y = Y[:, 0] if targets == 1 else Y
    model = DNNRegressor(hidden=(32,), dropout=0.0, epochs=60, threads=1).fit(X[:300], Y[:300])
    assert model.predict(X[300:]).shape == Y[300:].shape
    assert model.score(X[300:], Y[300:]) > 0.98
    assert model.transform(X[:5]).shape == (5, 32)


def test_classifier_and_regressor_have_the_same_settings() -> None:
    of_classes = {"class_weight", "metric"}
    kept = {name: v for name, v in DNN().get_params().items() if name not in of_classes}
    assert kept == DNNRegressor().get_params()


@pytest.mark.parametrize(
    "model",
    [
        DNN(hidden=(16,), pretrain="dbn", pretrain_epochs=3, epochs=15),
        DNNRegressor(hidden=(32,), epochs=15),
    ],
    ids=["pretrained", "regressor"],
)
@pytest.mark.filterwarnings("ignore")
def test_scikit_learns_check_estimator(model: Any) -> None:
    results = check_estimator(model, on_fail=None)
    failed = [r["check_name"] for r in results if r["status"] in ("failed", "xfail")]
    # that weight 2 is as an item twice, to seven digits: see test_sample_weight
    assert [name for name in failed if "check_sample_weight_equivalence" not in name] == []
    assert len(results) > 40


def test_time_that_is_up_ends_every_stage(digits: Any, tmp_path: Path) -> None:
    model = DNN(pretrain="dbn", pretrain_epochs=10_000, epochs=10_000, hidden=(9, 5), threads=1)
    model.fit(digits[0][:100], digits[1][:100], seconds_limit=0.5)
    assert model.history_["seconds"] < 5
    assert {r["stage"] for r in model.history_["epochs"]} == {"rbm-1", "rbm-2", "fine-tune"}

"""The deep stacking classifier and regressor: laws of the stack, of its data, of going on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

import depthwise.training.loop as training
from depthwise.errors import InputError, ModelFileError
from depthwise.families.dsn.dsn import DSN, DSNRegressor
from depthwise.families.dsn.learning import Growth, fit_softmax
from depthwise.families.dsn.network import DSNNetwork
from depthwise.families.dsn.row_blocks import FILE_BLOCK, Rows, column_statistics
from depthwise.models.modelfile import read_model

pytestmark = pytest.mark.numerical

SMALL: dict[str, Any] = {"n_hidden": 30, "n_modules": 2, "init": "random", "epochs": 10}
VARIANTS = ("dsn", "tensor", "kernel")


def weights(model: Any) -> list[torch.Tensor]:
    return list(model.network_.state_dict().values())


def same(a: Any, b: Any) -> bool:
    return all(torch.equal(x, y) for x, y in zip(weights(a), weights(b), strict=True))


def losses(model: Any) -> list[float]:
    return [e["loss"] for e in model.history_["epochs"] if e["stage"].startswith("solve")]


@pytest.fixture(scope="module")
def some(digits: Any) -> tuple[np.ndarray, np.ndarray]:
    return digits[0][:300], digits[1][:300]


# -- the stack ------------------------------------------------------------------------------------


def test_a_stack_of_one_module_equals_a_computation_by_hand(some: Any) -> None:
    X, y = some
    model = DSN(**{**SMALL, "n_modules": 1, "epochs": 0, "ridge": 2.0}).fit(X, y)
    state = {name: tensor.numpy() for name, tensor in model.network_.state_dict().items()}
    v = X.reshape(300, 64) / 255
    H = 1 / (1 + np.exp(-(v @ state["stack.0.weight"] + state["stack.0.bias"])))
    upper = Ridge(alpha=2.0, solver="cholesky").fit(H, np.eye(10)[y])
    np.testing.assert_allclose(model.transform(X, layer=1), H, atol=1e-5)
    np.testing.assert_allclose(state["stack.0.upper"].T, upper.coef_, atol=2e-4)
    answers = 10 * upper.predict(H)
    p = np.exp(answers) / np.exp(answers).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.predict_proba(X), p, atol=2e-3)


def test_a_module_sees_the_inputs_and_all_predictions_below(some: Any) -> None:
    X, y = some
    model = DSN(**{**SMALL, "n_modules": 3, "epochs": 0}).fit(X, y)
    network = model.network_
    assert isinstance(network, DSNNetwork)
    assert [module.weight.shape[0] for module in network.stack] == [64, 74, 84]
    x = torch.from_numpy(X[:7])
    first = network.stack[0](network.visible(x))
    second = network.stack[1](torch.cat([network.visible(x), first], dim=1))
    torch.testing.assert_close(
        network.stacked(x, 2), torch.cat([network.visible(x), first, second], dim=1)
    )
    assert [h.shape for h in network.representations(x)] == [(7, 30)] * 3


@pytest.mark.parametrize("variant", ["dsn", "tensor"])
def test_no_module_is_worse_than_the_one_below_on_the_training_items(
    variant: str, some: Any
) -> None:
    model = DSN(**{**SMALL, "variant": variant, "n_modules": 3, "ridge": 1e-6}).fit(*some)
    assert len(losses(model)) == 3
    assert losses(model) == sorted(losses(model), reverse=True)


@pytest.mark.parametrize("variant", ["dsn", "tensor"])
def test_fine_tuning_lowers_the_objective_and_the_error(variant: str, digits: Any) -> None:
    X, y, X_test, y_test = digits
    fixed, tuned = (
        DSN(**{**SMALL, "variant": variant, "ridge": 0.1, "epochs": epochs}).fit(X, y)
        for epochs in (0, 30)
    )
    assert losses(tuned)[0] < 0.5 * losses(fixed)[0]
    assert 1 - tuned.score(X_test, y_test) < 0.5 * (1 - fixed.score(X_test, y_test))


def test_a_machine_below_gives_the_first_weights(digits: Any) -> None:
    X, y = digits[:2]
    begun = [
        DSN(**{**SMALL, "init": init, "epochs": 0, "init_epochs": 5}).fit(X, y)
        for init in ("rbm", "auto")
    ]
    assert same(*begun)  # pixels are within [0, 1]
    random = DSN(**{**SMALL, "epochs": 0}).fit(X, y)
    assert begun[0].score(X, y) > 0.9
    assert not same(begun[0], random)


@pytest.mark.parametrize("init", ["rbm", "random"])
def test_float32_answers_agree_with_float64_ones(init: str, some: Any) -> None:
    """The ridge that "auto" chooses keeps upper weights small enough."""
    model = DSN(**{**SMALL, "init": init, "init_epochs": 5, "n_hidden": 150}).fit(*some)
    x = torch.from_numpy(some[0])
    with torch.inference_mode():
        single = model.network_(x)
        double = model.network_.double()(x)
    torch.testing.assert_close(single, double.float(), rtol=0, atol=1e-4)


# -- choosing on held-out items -------------------------------------------------------------------


def test_the_stack_ends_below_a_module_that_does_not_help(some: Any, tmp_path: Path) -> None:
    X, y = some
    noise = np.random.default_rng(0).integers(0, 256, (200, 1, 8, 8), dtype=np.uint8)
    held = noise, np.arange(200) % 10
    model = DSN(**{**SMALL, "n_modules": 5}).fit(X, y, validation=held)
    scores = [e["score"] for e in model.history_["epochs"] if e["stage"].startswith("solve")]
    kept = len(model.network_.stack)
    assert kept < len(scores) == kept + 1 or kept == 5
    model.save(tmp_path / "model")
    again = read_model(tmp_path / "model", {"dsn": DSN})
    assert np.array_equal(again.predict_proba(X), model.predict_proba(X))


def test_fine_tuning_keeps_the_best_epoch(digits: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lower weights, to the bit, whatever epoch is the best: here the second, by decree."""
    told, seen = iter([0.1, 0.9, 0.5, 0.3]), []

    def scores(growth: Any, rows: Any, module: Any) -> tuple[float, ...]:
        seen.append(module.weight.detach().clone())
        return (next(told),)

    monkeypatch.setattr(Growth, "_scores", scores)
    X, y, X_test, y_test = digits
    settings = {**SMALL, "n_modules": 1, "epochs": 3}
    model = DSN(**settings).fit(X[:100], y[:100], validation=(X_test, y_test))
    kept = model.network_.stack[0].weight
    assert [torch.equal(kept, weight) for weight in seen] == [False, True, False, True]


def test_a_softmax_layer_makes_held_out_labels_likelier(digits: Any) -> None:
    X, y, X_test, y_test = digits
    plain, soft = (
        DSN(**SMALL, softmax=softmax).fit(X[:600], y[:600], validation=(X[600:], y[600:]))
        for softmax in (False, True)
    )

    def surprise(model: Any) -> float:
        return -float(np.log(model.predict_proba(X_test)[np.arange(len(y_test)), y_test]).mean())

    assert surprise(soft) < surprise(plain)


def test_the_softmax_layer_is_logistic_regression() -> None:
    source = torch.Generator().manual_seed(0)
    answers = torch.randn(400, 3, generator=source)
    labels = (answers + torch.randn(400, 3, generator=source)).argmax(dim=1)
    output = torch.nn.Linear(3, 3)
    fit_softmax(output, answers, labels)
    p = torch.softmax(output(answers).detach(), dim=1) - torch.nn.functional.one_hot(labels, 3)
    assert float(p.mean(dim=0).abs().max()) < 1e-4  # the bias' derivative, which has no penalty


# -- data -----------------------------------------------------------------------------------------


def test_a_memmap_gives_what_an_array_gives(some: Any, tmp_path: Path) -> None:
    X, y = some
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    settings = {**SMALL, "epochs": 4, "batch_size": 10**6}  # whole passes: order does not count
    array, file = DSN(**settings).fit(X, y), DSN(**settings).fit(mapped, y)
    np.testing.assert_allclose(array.predict_proba(X), file.predict_proba(mapped), atol=1e-4)


def test_rows_of_a_memmap_are_read_in_blocks(tmp_path: Path) -> None:
    X = np.arange(150, dtype=np.float32)[:, None]
    np.save(tmp_path / "X.npy", X)
    rows = Rows(np.load(tmp_path / "X.npy", mmap_mode="r"), np.arange(150) % 3, 3, "cpu")
    assert len(rows.block_numbers()) == 3
    x, earlier, t, _ = rows.take(torch.tensor([2, 0]))
    assert x[:, 0].tolist() == [*range(FILE_BLOCK), *range(2 * FILE_BLOCK, 150)]
    assert earlier.shape == (86, 0)
    assert torch.equal(t.argmax(dim=1), x[:, 0].long() % 3)


def test_shards_cover_every_item_once() -> None:
    rows = Rows(np.zeros((70_001, 1)), np.zeros(70_001, np.int64), 2, "cpu")
    shards = rows.shards()
    assert len(shards) == 8
    assert [i for start, end in shards for i in (start, end)] == sorted(
        i for start, end in shards for i in (start, end)
    )
    assert sum(end - start for start, end in shards) == 70_001


def test_the_number_of_workers_changes_nothing() -> None:
    noise = np.random.default_rng(0)
    X = noise.standard_normal((17_000, 3))
    y = (X[:, 0] * X[:, 1] > 0).astype(int)
    settings = {**SMALL, "n_hidden": 12, "epochs": 1, "threads": 1}
    assert same(*(DSN(**settings, n_jobs=jobs).fit(X, y) for jobs in (1, 2)))


def test_column_statistics_are_numpys() -> None:
    X = np.random.default_rng(0).normal(3, 5, (5000, 2, 3, 2))
    mean, std = column_statistics(X)
    np.testing.assert_allclose(mean, X.mean(axis=(0, 2, 3)))
    np.testing.assert_allclose(std, X.std(axis=(0, 2, 3)))
    mean, std = column_statistics(X[:, :, 0, 0])
    np.testing.assert_allclose(std, X[:, :, 0, 0].std(axis=0))


# -- numbers --------------------------------------------------------------------------------------


def test_regression_equals_ridge_on_the_same_features() -> None:
    noise = np.random.default_rng(0)
    X = noise.standard_normal((200, 4))
    Y = np.column_stack([np.sin(X[:, 0]) * 30 + 5, X[:, 1] - X[:, 2]])
    model = DSNRegressor(n_hidden=20, n_modules=1, epochs=0, ridge=0.5).fit(X, Y)
    H = model.transform(X, layer=1)
    referee = Ridge(alpha=0.5, solver="svd").fit(H, (Y - Y.mean(axis=0)) / Y.std(axis=0))
    expected = referee.predict(H) * Y.std(axis=0) + Y.mean(axis=0)
    np.testing.assert_allclose(model.predict(X), expected, atol=2e-3)


@pytest.mark.parametrize("variant", VARIANTS)
def test_regression_learns_what_a_plane_cannot(variant: str) -> None:
    noise = np.random.default_rng(0)
    X = noise.uniform(-2, 2, (700, 2))
    y = np.sin(2 * X[:, 0]) * X[:, 1]
    model = DSNRegressor(**{**SMALL, "variant": variant, "n_hidden": 64, "epochs": 30})
    model.fit(X[:500], y[:500])
    assert model.predict(X[500:]).shape == (200,)
    assert model.score(X[500:], y[500:]) > 0.95 > Ridge().fit(X, y).score(X, y)


# -- going on -------------------------------------------------------------------------------------


def test_pieces_of_data_make_the_ridge_regression_of_all(some: Any) -> None:
    X, y = some
    model = DSN(**{**SMALL, "ridge": 1.5})
    for part in np.array_split(np.arange(300), 4):
        model.partial_fit(X[part], y[part], classes=np.arange(10))
    H = model.transform(X, layer=1)
    referee = Ridge(alpha=1.5, solver="svd").fit(H, np.eye(10)[y])
    np.testing.assert_allclose(model.network_.stack[0].upper.T, referee.coef_, atol=1e-3)


def test_a_fitted_model_goes_on_as_if_it_had_seen_all(digits: Any) -> None:
    X, y = digits[:2]
    model = DSN(**{**SMALL, "ridge": 1.5, "epochs": 5}).fit(X[:200], y[:200])
    model.partial_fit(X[200:500], y[200:500])
    H = model.transform(X[:500], layer=1)
    referee = Ridge(alpha=1.5, solver="svd").fit(H, np.eye(10)[y[:500]])
    np.testing.assert_allclose(model.network_.stack[0].upper.T, referee.coef_, atol=2e-3)


def test_a_loaded_model_is_corrected_not_forgotten(digits: Any, tmp_path: Path) -> None:
    X, y, X_test, y_test = digits
    DSN(**{**SMALL, "epochs": 20}).fit(X, y).save(tmp_path / "model")
    loaded = read_model(tmp_path / "model", {"dsn": DSN})
    before = loaded.score(X_test, y_test)
    loaded.partial_fit(X_test[:10], y_test[:10])
    assert loaded.score(X_test[10:], y_test[10:]) > before - 0.02


@pytest.mark.parametrize("kill_at", [3, 13, 25])
def test_a_fit_killed_and_resumed_is_as_never_killed(
    kill_at: int, some: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the machine below the first module, in the first module, in the second."""
    X, y = some
    settings = {**SMALL, "init": "rbm", "init_epochs": 8, "epochs": 12}

    class Stop(Exception):
        pass

    def kill(event: Any) -> None:
        if event.epoch >= kill_at:
            raise Stop

    whole = DSN(**settings).fit(X, y)
    monkeypatch.setitem(training.train.__kwdefaults__, "checkpoint_seconds", 0.0)
    with pytest.raises(Stop):
        DSN(**settings).fit(X, y, checkpoint=tmp_path / "run", watch=kill)
    resumed = DSN(**settings).fit(X, y, checkpoint=tmp_path / "run")
    assert same(whole, resumed)
    assert len(resumed.history_["epochs"]) == 8 + 12 + 12 + 2
    with pytest.raises(ModelFileError, match="other data or settings"):
        DSN(**{**settings, "lr": 0.02}).fit(X, y, checkpoint=tmp_path / "run")


def test_a_limit_of_seconds_shortens_fine_tuning_then_ends_the_stack(some: Any) -> None:
    settings = {**SMALL, "n_modules": 4, "epochs": 10**6}
    assert DSN(**settings).fit(*some, seconds_limit=0.5).history_["steps"] < 10**5
    hurried = DSN(**settings).fit(*some, seconds_limit=1e-3)
    assert len(hurried.network_.stack) == 1
    assert hurried.score(*some) > 0.5


def test_ctrl_c_keeps_the_modules_that_were_begun(some: Any) -> None:
    def stop(event: Any) -> None:
        if event.epoch >= 5:
            raise KeyboardInterrupt

    model = DSN(**{**SMALL, "n_modules": 4}).fit(*some, watch=stop)
    assert len(model.network_.stack) == 1
    assert model.score(*some) > 0.5
    assert model.history_["stopped"] == "interrupted"


# -- wrong settings -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("size", "xxl"),
        ("variant", "deep"),
        ("n_hidden", 0),
        ("n_hidden", 2.5),
        ("n_modules", 0),
        ("init", "zeros"),
        ("epochs", -1),
        ("epochs", float("inf")),
        ("init_epochs", "many"),
        ("batch_size", 1),
        ("lr", 0),
        ("optimizer", "adam"),
        ("weight_decay", -1),
        ("ridge", -0.5),
        ("ridge", float("nan")),
        ("gamma", 0),
        ("noise", 1.0),
        ("dropout", 1.0),
        ("average", -0.1),
        ("patience", 0),
        ("n_jobs", 0),
        ("threads", 0),
        ("precision", "fp16"),
        ("device", "tpu"),
    ],
)
def test_a_wrong_setting_is_named_with_its_value(name: str, value: Any, some: Any) -> None:
    with pytest.raises(InputError, match=rf"{name}.*{value}") as caught:
        DSN(**{**SMALL, name: value}).fit(*some)
    assert "\n" not in str(caught.value)


def test_settings_that_do_not_go_together_are_told(some: Any) -> None:
    with pytest.raises(InputError, match='init="rbm" is of variant="dsn"'):
        DSN(variant="tensor", init="rbm").fit(*some)
    with pytest.raises(InputError, match="softmax must be False"):
        DSNRegressor(softmax=True).fit(np.zeros((5, 2)), np.arange(5))
    with pytest.raises(InputError, match="learns from labels"):
        DSN().fit(some[0])

"""One contract for every family in the catalogue, on images; and scikit-learn's own on rows."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from depthwise.catalog import FAMILIES as ALL_FAMILIES
from depthwise.catalog import find_family, load_model
from depthwise.data.dataset import Dataset
from depthwise.data.inputs import as_images, statistics
from depthwise.errors import DivergedError, InputError, ModelFileError
from depthwise.models.answers import items_at_once
from depthwise.models.supervised import Classifier
from every_model import EXAMPLES
from scikit_checks import failed_checks

FAMILIES = {name: make for name, make in ALL_FAMILIES.items() if "classification" in make.tasks}

# little training, but enough to learn the digits
SETTINGS: dict[str, dict[str, Any]] = {
    "logistic": {},
    "boosting": {"size": "s"},
    "tabular": {"size": "s", "epochs": 5, "hidden": 48, "lr": 0.01},
    "dnn": {"size": "s", "epochs": 5},
    "cnn": {"size": "xxs", "epochs": 12, "lr": 0.01},
    "dsn": {"n_hidden": 200},
    "dbn": {"hidden": (100, 200), "epochs": 20, "finetune_epochs": 20, "batch_size": 20, "lr": 0.1},
    "dbm": {
        "hidden": (100, 60),
        "epochs": 8,
        "pretrain_epochs": 5,
        "finetune_epochs": 20,
        "finetune_lr": 4e-3,
        "batch_size": 20,
        "lr": 0.1,
        "dropout": 0.1,
        "input_dropout": 0.0,
    },
    "autoencoder": {"hidden": (100,), "code_size": 16, "epochs": 15},
}
NETWORKS = ("dnn", "cnn")
PASSES = {"boosting": 2, "cnn": 10, "dbn": 10}  # by which a model that learns in pieces has learnt


def make(family: str, **changes: Any) -> Classifier:
    return FAMILIES[family](**{**SETTINGS[family], **changes})


@pytest.fixture(scope="module")
def fitted(digits: Any) -> dict[str, Classifier]:
    X, y = digits[:2]
    return {name: make(name).fit(X, y) for name in FAMILIES}


@pytest.fixture(params=list(FAMILIES))
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_family_has_settings_here() -> None:
    assert set(SETTINGS) == set(FAMILIES)


def test_it_learns_the_digits(family: str, fitted: Any, digits: Any) -> None:
    assert fitted[family].score(*digits[2:]) > 0.93


def test_labels_may_be_anything(family: str, tmp_path: Path) -> None:
    """A model of names, booleans or negative numbers is that of the classes 0, 1, 2, in order."""
    X = EXAMPLES[family].data(0)[0]
    kinds = [("een", "null", "Straße 2"), (False, True), (-7, -6, -5)]
    for names in kinds:
        order = np.arange(len(X)) % len(names)
        classes = np.array(sorted(names))
        plain = EXAMPLES[family].make().fit(X, order)
        model = EXAMPLES[family].make().fit(X, classes[order])
        again = load_model(model.save(tmp_path / "model"))
        for one in (model, again):
            assert one.classes_.dtype.kind == classes.dtype.kind
            assert np.array_equal(one.predict(X), classes[plain.predict(X)])


def test_partial_fit_learns_in_pieces(family: str, digits: Any) -> None:
    X, y, X_test, y_test = digits
    model = make(family)
    for _ in range(PASSES.get(family, 6)):
        for part in np.array_split(np.arange(len(X)), 3):
            model.partial_fit(X[part], y[part], classes=np.arange(10))
    assert model.score(X_test, y_test) > 0.85


def test_a_new_label_in_partial_fit_is_named(family: str, digits: Any) -> None:
    X, y = digits[0][:90], digits[1][:90]
    model = make(family).partial_fit(X[y < 5], y[y < 5])
    with pytest.raises(InputError, match="9"):
        model.partial_fit(X[y == 9], y[y == 9])


def test_a_dataset_is_fitted_on_its_training_part(family: str) -> None:
    """And validated on its own: as the arrays are that it is made of."""
    X, y = EXAMPLES[family].data(0)
    names, labels = np.unique(y, return_inverse=True)
    parts = {"train": np.arange(14), "validation": np.arange(14, 20), "test": np.arange(20, 24)}
    data = Dataset("made", "images", X, labels.astype(np.int64), list(names), parts)
    model = EXAMPLES[family].make().fit(data)
    held = X[14:20], y[14:20]
    plain = EXAMPLES[family].make().fit(X[:14], y[:14], validation=held)
    assert np.array_equal(model.predict_proba(X), plain.predict_proba(X))
    assert model.classes_.tolist() == list(names)
    if family in NETWORKS:
        assert "score" in model.history_["epochs"][-1]


def test_warm_start_goes_on_from_the_weights(digits: Any) -> None:
    X, y = digits[:2]
    model = make("dnn", epochs=8, warm_start=True).fit(X, y)
    first = model.history_["epochs"][-1]["loss"]
    model.fit(X, y)
    assert model.history_["epochs"][0]["loss"] < 2 * first + 0.05


def test_warm_start_on_another_task_is_refused_and_the_model_stays_as_it_was(digits: Any) -> None:
    X, y = digits[:2]
    model = make("dnn", epochs=1, warm_start=True).fit(X, y)
    before = model.predict_proba(X[:5])
    with pytest.raises(InputError, match=r"warm_start=True goes on .* input_shape_"):
        model.fit(X[..., :5], y)
    with pytest.raises(InputError, match=r"warm_start=True goes on .* classes_"):
        model.fit(X, y % 3)
    assert (model.predict_proba(X[:5]) == before).all()


def test_fit_forgets_the_momentum_that_partial_fit_had_gathered(digits: Any) -> None:
    X, y = digits[0][:60], digits[1][:60]
    used = make("dnn", epochs=2).partial_fit(X[..., :5], y)
    ended = [model.fit(X, y).partial_fit(X, y) for model in (used, make("dnn", epochs=2))]
    assert (ended[0].predict_proba(X) == ended[1].predict_proba(X)).all()


def test_odd_numbers_of_items_in_batches_of_two_are_learnt(digits: Any) -> None:
    model = make("dnn", epochs=1, batch_size=2).fit(digits[0][:21], digits[1][:21])
    assert model.history_["steps"] == 10  # 20 items in pairs, one of them with a third


def test_a_single_item_is_too_little_to_go_on_with(digits: Any) -> None:
    model = make("dnn", epochs=1).fit(digits[0][:40], digits[1][:40])
    with pytest.raises(InputError, match="X has 1 item"):
        model.partial_fit(digits[0][:1], digits[1][:1])


def test_a_constant_column_of_large_numbers_says_nothing_in_either_precision() -> None:
    noise = np.random.default_rng(0)
    X = noise.standard_normal((101, 2))
    X[:, 1] = 1234567.1  # its mean in float64 is a rounding off
    y = (X[:, 0] > 0).astype(int)
    model = make("dnn", epochs=30).fit(X, y)
    assert (model.predict(X) == y).mean() > 0.9
    assert (model.predict(X.astype(np.float32)) == y).mean() > 0.9


def test_early_stopping_keeps_the_best_epoch(digits: Any) -> None:
    X, y, X_test, y_test = digits
    model = make("dnn", epochs=30, patience=4).fit(X, y, validation=(X_test, y_test))
    best = max(e["score"] for e in model.history_["epochs"])
    assert model.score(X_test, y_test) == pytest.approx(best)


def test_grid_search_and_pipelines(digits: Any) -> None:
    rows = digits[0].reshape(len(digits[0]), -1)[:300].astype(np.float64)
    search = GridSearchCV(make("dnn", epochs=3), {"lr": [1e-5, 3e-3]}, cv=2)
    assert search.fit(rows, digits[1][:300]).best_params_ == {"lr": 3e-3}
    to_images = FunctionTransformer(lambda X: X.reshape(-1, 1, 8, 8).astype("uint8"))
    pipeline = make_pipeline(to_images, make("cnn")).fit(rows, digits[1][:300])
    assert pipeline.score(rows, digits[1][:300]) > 0.75


# -- scikit-learn's own contract, on rows ---------------------------------------------------------


@pytest.mark.parametrize(
    "model",
    [
        FAMILIES["dnn"](hidden=(32,), epochs=15),
        FAMILIES["logistic"](),
        FAMILIES["boosting"](max_iter=4),
        FAMILIES["tabular"](hidden=16, members=2, bins=8, epochs=15, lr=0.01),
    ],
    ids=lambda model: model.family,
)
@pytest.mark.filterwarnings("ignore")
def test_scikit_learns_own_checks(model: Classifier) -> None:
    done, failed = failed_checks(model, **{model.resource: 2})
    assert done > 40
    assert failed == []


# -- bad input ------------------------------------------------------------------------------------


def test_a_missing_channel_axis_is_told_with_the_remedy(family: str, digits: Any) -> None:
    with pytest.raises(InputError, match=r"images\[:, None\]"):
        make(family).fit(digits[0][:, 0], digits[1])


def test_channels_last_images_are_told_apart(family: str, digits: Any) -> None:
    with pytest.raises(InputError, match="transpose"):
        make(family).fit(np.zeros((9, 12, 10, 3), np.uint8), np.arange(9) % 2)


def test_nan_in_images_is_found(family: str, digits: Any) -> None:
    X = digits[0][:20].astype(np.float32)
    X[13, 0, 2, 2] = np.nan
    with pytest.raises(InputError, match=r"images\[13\]"):
        make(family).fit(X, digits[1][:20])


@pytest.mark.parametrize("family", NETWORKS)
def test_an_answer_that_is_not_a_number_is_no_answer(family: str, fitted: Any, digits: Any) -> None:
    broken = pickle.loads(pickle.dumps(fitted[family]))
    with torch.no_grad():
        broken.network_.output.bias[3] = float("nan")
    with pytest.raises(DivergedError, match="item 0 is not a number"):
        broken.predict(digits[2][:3])


def test_one_class_is_not_enough(family: str, digits: Any) -> None:
    with pytest.raises(InputError, match="one class"):
        make(family).fit(digits[0][:20], np.zeros(20, int))


def test_images_of_another_shape_are_refused(family: str, fitted: Any) -> None:
    with pytest.raises(InputError, match="fitted on"):
        fitted[family].predict(np.zeros((2, 1, 9, 8), np.uint8))


def test_pixels_of_another_scale_are_refused(family: str, fitted: Any, digits: Any) -> None:
    with pytest.raises(InputError, match="uint8"):
        fitted[family].predict(digits[2][:2] / 255)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lr", -1),
        ("epochs", 0),
        ("epochs", float("inf")),
        ("batch_size", 2.5),
        ("batch_size", 1),
        ("threads", 0),
        ("clip_norm", float("inf")),
        ("optimizer", "adam"),
        ("schedule", "step"),
        ("precision", "fp16"),
        ("label_smoothing", 1.0),
        ("size", "xxxl"),
        ("dropout", 1.0),
        ("device", "tpu"),
        ("augment", "mirror"),
    ],
)
@pytest.mark.parametrize("family", NETWORKS)
def test_a_wrong_setting_is_named_with_its_value(
    family: str, name: str, value: Any, digits: Any
) -> None:
    with pytest.raises(InputError, match=f"(?s){name}.*{value}|{value}.*{name}"):
        make(family, **{name: value}).fit(digits[0][:40], digits[1][:40])


@pytest.mark.parametrize("family", FAMILIES)
def test_flat_rows_are_refused_by_a_model_of_images(family: str, fitted: Any, digits: Any) -> None:
    with pytest.raises(InputError, match=r"X\.reshape\(-1, 1, 8, 8\)"):
        fitted[family].predict(digits[2].reshape(-1, 64))


def test_rows_are_not_images(digits: Any) -> None:
    with pytest.raises(InputError, match="DNN"):
        make("cnn").fit(digits[0].reshape(-1, 64), digits[1])


def test_a_misspelt_family_is_recognised() -> None:
    with pytest.raises(InputError, match="Did you mean 'cnn'"):
        find_family("cnm")


# -- a saved model, damaged -----------------------------------------------------------------------


@pytest.fixture
def saved(fitted: Any, tmp_path: Path) -> Path:
    return Path(fitted["cnn"].save(tmp_path / "model"))


def edit(folder: Path, **changes: Any) -> None:
    path = folder / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_newer_format_is_refused_clearly(saved: Path) -> None:
    edit(saved, format=2)
    with pytest.raises(ModelFileError, match="newer than this version"):
        load_model(saved)


@pytest.mark.parametrize("byte", [3, 100, -1])
def test_a_changed_byte_is_noticed(saved: Path, byte: int) -> None:
    weights = bytearray((saved / "model.safetensors").read_bytes())
    weights[byte] ^= 1
    (saved / "model.safetensors").write_bytes(weights)
    with pytest.raises(ModelFileError, match="SHA-256"):
        load_model(saved)


@pytest.mark.parametrize(
    "changes",
    [
        {"family": "os.system"},
        {"family": ["cnn"]},
        {"settings": {"size": "xxs", "hack": 1}},
        {"settings": 5},
        {"settings": {"size": "m"}},
        {"network": {"input_shape": [1, 8, 8], "n_classes": 10**12}},
        {"network": {"input_shape": [1, 8], "n_classes": 10}},
        {"network": {}},
        {"classes": {}},
        {"classes": [0, 1]},
        {"classes_kind": "object"},
        {"input_shape": "abc"},
        {"format": "1"},
        {"format": None},
    ],
)
def test_a_description_that_lies_is_refused(saved: Path, changes: dict[str, Any]) -> None:
    edit(saved, **changes)
    with pytest.raises(ModelFileError):
        load_model(saved)


def test_a_bottomless_description_is_refused(saved: Path) -> None:
    (saved / "model.json").write_text("[" * 200_000)
    with pytest.raises(ModelFileError, match=r"model\.json"):
        load_model(saved)


def test_trees_deeper_than_their_nodes_are_refused(fitted: Any, tmp_path: Path) -> None:
    folder = Path(fitted["boosting"].save(tmp_path / "model"))
    network = json.loads((folder / "model.json").read_text())["network"]
    edit(folder, network={**network, "depth": 10**9})
    with pytest.raises(ModelFileError, match="depth"):
        load_model(folder)


def test_a_promised_terabyte_is_not_allocated(fitted: Any, tmp_path: Path) -> None:
    folder = Path(fitted["dnn"].save(tmp_path / "model"))
    edit(folder, settings={"hidden": [10**6, 10**6]})
    with pytest.raises(ModelFileError, match="does not describe the weights"):
        load_model(folder)


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_a_missing_or_truncated_file_is_named(saved: Path, name: str) -> None:
    whole = (saved / name).read_bytes()
    (saved / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelFileError, match=name):
        load_model(saved)
    (saved / name).unlink()
    with pytest.raises(ModelFileError, match=name):
        load_model(saved)


def test_a_folder_that_is_no_model_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="not a saved model"):
        load_model(tmp_path)


def test_saving_where_nothing_can_be_written_is_one_line(fitted: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        fitted["dnn"].save(tmp_path / "file" / "model")


# -- the arrays under it --------------------------------------------------------------------------


def test_pixel_statistics_agree_with_numpy() -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 3, 7, 2), dtype=np.uint8)
    mean, std = statistics(images)
    np.testing.assert_allclose(mean, images.mean(axis=(0, 2, 3)))
    np.testing.assert_allclose(std, images.std(axis=(0, 2, 3)))


def test_pixels_are_kept_as_bytes() -> None:
    images = np.zeros((3, 1, 5, 2), np.uint8)
    assert as_images(images) is images


@pytest.mark.parametrize("side", [8, 28, 32, 128, 224, 1000])
def test_pictures_are_answered_as_many_at_once_as_stay_in_the_cache(side: int) -> None:
    model, pixels = make("cnn"), 3 * side * side
    batch = items_at_once(model.image_only, (3, side, side), torch.device("cpu"))
    assert 8 <= batch <= 512
    assert batch == 8 or batch * pixels <= 1 << 16
    assert batch == 512 or 2 * batch * pixels > 1 << 16
    assert items_at_once(make("dnn").image_only, (1000,), torch.device("cpu")) == 512

"""The segmenter: it learns, keeps the contract, takes any size, tiles, and refuses bad masks."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from depthwise.data.dataset import IGNORE, Dataset
from depthwise.errors import DivergedError, InputError
from depthwise.models.modelfile import read_model
from depthwise.tasks.segmentation.segmenter import Segmenter
from made_shapes import CLASSES, shapes

QUICK: dict[str, Any] = {
    "size": "xs",
    "epochs": 10,
    "lr": 0.01,
    "precision": "float32",
    "threads": 1,
}


def quick(**changes: Any) -> Segmenter:
    return Segmenter(**{**QUICK, **changes})


def load(folder: Path) -> Segmenter:
    model: Segmenter = read_model(folder, {"segmenter": Segmenter})
    return model


@pytest.fixture(scope="module")
def trained() -> Segmenter:
    return quick().fit(*shapes(48), classes=CLASSES)


@pytest.fixture
def model(trained: Segmenter) -> Segmenter:
    made: Segmenter = pickle.loads(pickle.dumps(trained))
    return made


# -- learning -------------------------------------------------------------------------------------


def test_it_learns_the_shapes(model: Segmenter) -> None:
    report = model.assess(*shapes(20, seed=1))
    assert report["value"] > 0.6  # all ground: 0.27
    assert report["low"] <= report["value"] <= report["high"]
    assert list(report["per_class"]) == CLASSES
    assert report["items"] == 20
    assert model.score(*shapes(20, seed=1)) == report["value"]
    json.dumps(report, allow_nan=False)


def test_the_report_is_that_of_its_own_masks(model: Segmenter) -> None:
    X, y = shapes(5, seed=2)
    predicted, counts = model.predict(X), y != IGNORE
    report = model.assess(X, y)
    assert report["pixel_accuracy"] == pytest.approx((predicted == y)[counts].mean())
    both, either = (predicted == 1) & (y == 1), ((predicted == 1) & counts) | (y == 1)
    assert report["per_class"]["square"] == pytest.approx(both.sum() / either.sum())


def test_ignored_pixels_have_no_influence_on_the_score(model: Segmenter) -> None:
    X, y = shapes(6, seed=3)
    predicted = model.predict(X)
    wrong = (predicted != y) & (y != IGNORE)
    assert wrong.any()
    y[wrong] = IGNORE
    report = model.assess(X, y)
    assert report["value"] == report["pixel_accuracy"] == 1
    assert report["pixels"] == (y != IGNORE).sum()


def test_partial_fit_learns_in_pieces() -> None:
    X, y = shapes(48)
    model = quick(augment=None)
    for _ in range(6):
        for part in np.array_split(np.arange(48), 2):
            model.partial_fit(X[part], y[part], classes=CLASSES)
    assert model.score(*shapes(10, seed=1)) > 0.45  # all ground: 0.27
    assert model._shown.own.sum() == 6 * (y != IGNORE).sum()


def test_a_rare_class_weighs_more() -> None:
    X, y = shapes(16)
    model = quick(epochs=1, class_weight="balanced").fit(X, y)
    ground, square, disc = model.class_weight_
    assert ground < square < disc  # a disc is smaller than a square of the same reach
    assert np.array_equal(quick(epochs=1, class_weight=None).fit(X, y).class_weight_, np.ones(3))
    given = quick(epochs=1, class_weight=(1.0, 2.0, 3.0)).fit(X, y)
    assert given.class_weight_.tolist() == [1, 2, 3]


def test_a_dataset_brings_names_and_validation(tmp_path: Path) -> None:
    X, y = shapes(24)
    parts = {"train": np.arange(16), "validation": np.arange(16, 20), "test": np.arange(20, 24)}
    nothing = np.zeros(24, np.int64)
    data = Dataset("made", "images", X, nothing, CLASSES, parts, task="segmentation", targets=y)
    model = quick(epochs=2).fit(data)
    assert model.classes_.tolist() == CLASSES
    assert len(model.history_["epochs"]) == 2
    assert all(0 <= epoch["score"] <= 1 for epoch in model.history_["epochs"])


# -- augmentation ---------------------------------------------------------------------------------


def test_flipping_an_image_flips_its_mask() -> None:
    """Whatever window is drawn, each pixel's class still tells its colour."""
    X, y = shapes(6)
    X[:] = np.where(y == 1, 250, np.where(y == 2, 130, 10))[:, None]
    X[:, :, 0] = X[:, :, 1]  # where the mask is to be ignored
    y[:, 0] = y[:, 1]
    torch.manual_seed(0)
    images, masks = quick(augment="auto")._moved(torch.from_numpy(X), torch.from_numpy(y))
    assert images.dtype == masks.dtype == torch.uint8
    seen = [images[:, 0][masks == k].double().mean() for k in range(3)]
    assert seen[0] < 60 < seen[2] < 180 < seen[1]
    flips = [_is_mirrored(image, mask) for image, mask in zip(images, masks, strict=True)]
    assert all(flips)


def _is_mirrored(image: torch.Tensor, mask: torch.Tensor) -> bool:
    """Whether image and mask agree better as they are than with one of the two mirrored."""
    level = torch.tensor([10.0, 250.0, 130.0])
    counts = mask != IGNORE
    drawn = level[mask.long().clamp(max=2)]
    as_is = (image[0] - drawn)[counts].abs().mean()
    turned = (image[0].flip(1) - drawn)[counts].abs().mean()
    return bool(as_is < turned)


def test_floats_are_augmented_as_bytes_are() -> None:
    X, y = shapes(4)
    segmenter, targets = quick(), torch.from_numpy(y)
    torch.manual_seed(3)
    bytes_moved, masks = segmenter._moved(torch.from_numpy(X), targets)
    torch.manual_seed(3)
    floats_moved, others = segmenter._moved(torch.from_numpy(X).float() / 255, targets)
    assert torch.equal(masks, others)
    assert (floats_moved * 255 - bytes_moved).abs().max() <= 2  # bytes are rounded twice


def test_without_augmentation_nothing_moves() -> None:
    X, y = map(torch.from_numpy, shapes(3))
    images, masks = quick(augment=None)._moved(X, y)
    assert torch.equal(images, X)
    assert torch.equal(masks, y)


# -- answers --------------------------------------------------------------------------------------


def test_probabilities_are_probabilities_and_masks_their_largest(model: Segmenter) -> None:
    X = shapes(3, seed=4)[0]
    p = model.predict_proba(X)
    assert p.shape == (3, 3, 34, 42)
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-5)
    assert np.array_equal(model.predict(X), p.argmax(axis=1))


@pytest.mark.parametrize("size", [(1, 1), (3, 70), (33, 17), (64, 64)])
def test_any_size_in_is_the_same_size_out(model: Segmenter, size: tuple[int, int]) -> None:
    X = np.random.default_rng(0).integers(0, 256, (2, 3, *size)).astype(np.uint8)
    masks = model.predict(X)
    assert masks.shape == (2, *size)
    assert masks.dtype == np.uint8
    assert masks.max() < 3


def test_the_network_gives_logits_of_raw_images(model: Segmenter) -> None:
    X = torch.from_numpy(shapes(2)[0])
    with torch.inference_mode():
        assert model.network_(X).shape == (2, 3, 34, 42)


def test_tiled_is_the_whole_far_from_seams(model: Segmenter) -> None:
    """Tiles 0 .. 384, 144 .. 528, 296 .. 680: up to 144, and from 528 on, one alone is heard."""
    X, _ = shapes(1, (60, 680), seed=5)
    model.tile = 1024
    whole = model.predict_proba(X)
    model.tile = 384
    tiled = model.predict_proba(X)
    assert not np.array_equal(whole, tiled)
    np.testing.assert_allclose(tiled[..., :144], whole[..., :144], atol=1e-4)
    np.testing.assert_allclose(tiled[..., 528:], whole[..., 528:], atol=1e-4)
    assert (tiled.argmax(axis=1) == whole.argmax(axis=1)).mean() > 0.95
    assert np.array_equal(model.predict(X), tiled.argmax(axis=1))


def test_an_answer_that_is_no_number_is_told(model: Segmenter) -> None:
    torch.nn.init.constant_(model.network_.output.bias, float("nan"))
    with pytest.raises(DivergedError, match="lower lr"):
        model.predict(shapes(1)[0])


# -- the contract ---------------------------------------------------------------------------------


@pytest.mark.parametrize("size", list(Segmenter.sizes))
def test_every_rung_is_built_without_memory(size: str) -> None:
    with torch.device("meta"):
        network = Segmenter(size=size).build((3, 48, 40), 7)
        assert network(torch.zeros(2, 3, 48, 40)).shape == (2, 7, 48, 40)
        shown = network.representations(torch.zeros(2, 3, 48, 40))
    assert all(each.ndim == 2 for each in shown)


def test_a_frozen_backbone_stays_as_it_was() -> None:
    X, y = shapes(16)
    model = quick(epochs=1, freeze="all")
    start = quick(epochs=1, freeze="all", lr=1e-12, weight_decay=0.0).fit(X, y)
    model.fit(X, y)
    for name, tensor in model.network_.backbone.state_dict().items():
        assert torch.equal(tensor, start.network_.backbone.state_dict()[name])
    assert not torch.equal(model.network_.output.weight, start.network_.output.weight)


@pytest.mark.parametrize("backbone", ["cnn-xxs", "residual-xs"])
def test_another_backbone_is_stood_on(backbone: str) -> None:
    X, y = shapes(8, (20, 27))
    assert quick(epochs=1, backbone=backbone).fit(X, y).predict(X).shape == y.shape


def test_enlarged_images_are_answered_in_their_own_size(tmp_path: Path) -> None:
    X, y = shapes(8, (20, 27))
    model = quick(epochs=1, enlarge=2).fit(X, y)
    assert model.predict(X).shape == y.shape
    assert model.network_.multiple == 8  # of the 16 of this backbone, in pixels of the image
    model.save(tmp_path / "model")
    assert np.array_equal(load(tmp_path / "model").predict(X), model.predict(X))


def test_grey_images_are_learnt_too() -> None:
    X, y = shapes(8)
    model = quick(epochs=1).fit(X[:, :1].astype(np.float32) / 255, y)
    assert model.predict(X[:, :1].astype(np.float32) / 255).shape == y.shape
    with pytest.raises(InputError, match=r"fitted on 1.*grey"):
        model.predict(X)


# -- bad input ------------------------------------------------------------------------------------


def test_masks_of_another_size_than_their_images_are_refused(model: Segmenter) -> None:
    X, y = shapes(4)
    with pytest.raises(InputError, match=r"masks are 34 x 41 pixels, their images 34 x 42"):
        quick().fit(X, y[:, :, 1:])
    with pytest.raises(InputError, match="3 masks for 4 images"):
        model.assess(X, y[:3])


def test_float_masks_are_refused() -> None:
    X, y = shapes(4)
    with pytest.raises(InputError, match=r"whole numbers.*float32.*astype"):
        quick().fit(X, y.astype(np.float32))


def test_masks_with_a_channel_axis_are_refused() -> None:
    X, y = shapes(4)
    with pytest.raises(InputError, match=r"\(4, 1, 34, 42\).*masks\[:, 0\]"):
        quick().fit(X, y[:, None])


@pytest.mark.parametrize(("value", "dtype"), [(-1, np.int64), (256, np.int32)])
def test_numbers_that_no_class_can_have_are_refused(value: int, dtype: Any) -> None:
    X, y = shapes(4)
    y = y.astype(dtype)
    y[2, 3, 5] = value
    with pytest.raises(InputError, match=rf"masks\[2\] holds {value}: classes are numbered"):
        quick().fit(X, y)


def test_unknown_indices_are_refused(model: Segmenter) -> None:
    X, y = shapes(4)
    y[1, 2, 3] = 3
    with pytest.raises(InputError, match=r"the class 3, but there are 3 classes, 0 to 2"):
        quick().fit(X, y, classes=CLASSES)
    with pytest.raises(InputError, match=r"the class 3, but there are 3 classes"):
        model.assess(X, y)


def test_masks_of_one_class_are_refused() -> None:
    X, y = shapes(4)
    with pytest.raises(InputError, match="2 to 255 classes"):
        quick().fit(X, np.zeros_like(y))
    with pytest.raises(InputError, match="2 to 255 classes"):
        quick().fit(X, np.full_like(y, IGNORE))


def test_scoring_nothing_is_refused(model: Segmenter) -> None:
    X, y = shapes(2)
    with pytest.raises(InputError, match="no pixel to score"):
        model.assess(X, np.full_like(y, IGNORE))


def test_masks_are_needed() -> None:
    with pytest.raises(InputError, match="there are none"):
        quick().fit(shapes(2)[0])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("size", "xxl"),
        ("class_weight", 1.5),
        ("class_weight", "heavy"),
        ("class_weight", (1.0, 2.0)),
        ("class_weight", (1.0, -2.0, 1.0)),
        ("enlarge", 0),
        ("enlarge", 1.5),
        ("dice", -1.0),
        ("dropout", 1.0),
        ("tile", 10),
        ("augment", "shift"),
    ],
)
def test_wrong_settings_are_told(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=name):
        quick(**{name: value}).fit(*shapes(4))

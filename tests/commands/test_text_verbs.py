"""What else can be done with a model of texts: files for other programs, going on, and what is
refused with a word on what to do instead."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from depthwise import SentenceMatcher, TextClassifier, TextLogistic
from depthwise.choosing.ladder import ladder
from depthwise.errors import InputError
from depthwise.exporting.export import export
from depthwise.shrinking.shrink import shrink
from depthwise.tasks.language.language_model import LanguageModel
from depthwise.tasks.text_classification.classifier import rows_of_pairs
from made_encoder import made_encoder

PLAIN: dict[str, Any] = {"device": "cpu", "precision": "float32", "threads": 1, "epochs": 2}
ANIMALS, DOES = ("cat", "dog", "bird", "fish"), ("sleeps", "runs", "sings", "swims")
TEXTS = [f"the {a} {b} in the tree {i}" for i in range(3) for a in ANIMALS for b in DOES]
LABELS = np.array(["land" if "cat" in text or "dog" in text else "other" for text in TEXTS])
PAIRS = [(a, b) for a, b in zip(TEXTS, [*TEXTS[1:], TEXTS[0]])]
SAME = np.array([float(a.split()[1] == b.split()[1]) * 2.5 + 0.5 for a, b in PAIRS])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    pytest.importorskip("tokenizers")
    return made_encoder(tmp_path_factory.mktemp("encoder"))


Made = Callable[[str], Any]
MADE: dict[str, Made] = {
    "text": lambda folder: TextClassifier(size="xs", **PLAIN).fit(TEXTS, LABELS),
    "text on an encoder": lambda folder: TextClassifier(encoder=folder, **PLAIN).fit(TEXTS, LABELS),
    "tfidf": lambda folder: TextLogistic().fit(TEXTS, LABELS),
    "siamese": lambda folder: SentenceMatcher(size="xs", **PLAIN).fit(PAIRS, SAME),
    "cross on an encoder": lambda folder: SentenceMatcher(
        encoder=folder, cross=True, targets="classes", **PLAIN
    ).fit(PAIRS, SAME > 1),
}


def asked(model: Any) -> list[Any]:
    return PAIRS if isinstance(model, SentenceMatcher) else TEXTS


@pytest.fixture(scope="module")
def made(folder: str) -> dict[str, Any]:
    return {name: make(folder) for name, make in MADE.items()}


@pytest.mark.parametrize(
    ("name", "to"),
    [
        ("text", "openvino"),
        ("text on an encoder", "torch-export"),
        ("siamese", "onnx"),
        ("cross on an encoder", "torch-export"),
    ],
)
def test_an_exported_file_answers_as_the_model(
    name: str, to: str, made: dict[str, Any], tmp_path: Path
) -> None:
    pytest.importorskip({"onnx": "onnxruntime", "openvino": "openvino"}.get(to, "torch"))
    model = made[name]
    export(model, to, tmp_path, asked(model))
    tokens = model.tokenize(asked(model))
    with torch.inference_mode():
        wanted = model.network_(torch.from_numpy(tokens)).numpy()
    np.testing.assert_allclose(run(tmp_path, to, tokens), wanted, atol=1e-4)


def run(folder: Path, to: str, tokens: np.ndarray) -> np.ndarray:
    """As the script beside the file runs it."""
    if to == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
        return np.asarray(session.run(None, {"inputs": tokens})[0])
    if to == "openvino":
        import openvino

        network = openvino.compile_model(
            str(folder / "model.xml"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
        )
        return np.asarray(network(tokens)[0])
    answers: np.ndarray = torch.export.load(folder / "model.pt2").module()(torch.from_numpy(tokens))
    return answers.detach().numpy()


@pytest.mark.parametrize("name", list(MADE))
def test_shrink_says_what_to_do_instead(name: str, made: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"shrink .*Fit (a smaller size of it: xs|one of these)"):
        shrink(made[name], (asked(made[name]), LABELS), max_size_mb=1.0)


# -- going on -------------------------------------------------------------------------------------


def test_warm_start_goes_on_with_the_words_of_a_text() -> None:
    model = TextClassifier(size="s", warm_start=True, **PLAIN).fit(TEXTS, LABELS)
    words, first = model.words_, model.history_["epochs"][-1]["loss"]
    model.fit([*TEXTS, "words that nobody has ever heard of before this one"], [*LABELS, "other"])
    assert model.words_ is words
    assert model.history_["epochs"][-1]["loss"] < first


def test_warm_start_learns_nothing_of_a_new_class() -> None:
    model = TextClassifier(size="xs", warm_start=True, **PLAIN).fit(TEXTS, LABELS)
    before = model.predict_proba(TEXTS)
    with pytest.raises(InputError, match=r"'air', which is not among the classes \['land"):
        model.fit(TEXTS[:2], ["air", "land"])
    assert np.array_equal(model.predict_proba(TEXTS), before)


@pytest.mark.parametrize("on_encoder", [False, True])
def test_warm_start_goes_on_with_the_range_of_similarities(on_encoder: bool, folder: str) -> None:
    about = {"encoder": folder} if on_encoder else {"size": "xs"}
    settings = {**PLAIN, **about, "epochs": 6, "lr": 3e-3, "dropout": 0.0, "word_dropout": 0.0}
    model = SentenceMatcher(warm_start=True, **settings).fit(PAIRS, SAME)
    first = model.history_["epochs"][-1]["loss"]
    model.fit([*PAIRS, ("the cat", "a bird that is longer than all others")], [*SAME, 0.5])
    assert model.range_ == (0.5, 3.0) and model.kind_ == "similarity"
    assert model.history_["epochs"][-1]["loss"] < first


@pytest.mark.parametrize("name", ["text on an encoder", "cross on an encoder"])
def test_a_frozen_encoder_sees_each_item_once(
    name: str, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from depthwise.backbones.texts.named import SentenceEncoder

    seen, forward = [], SentenceEncoder.forward

    def counted(self: Any, pieces: Any, *rest: Any) -> Any:
        seen.append(len(pieces))
        return forward(self, pieces, *rest)

    monkeypatch.setattr(SentenceEncoder, "forward", counted)
    MADE[name](folder)
    assert sum(seen) == len(TEXTS)


def test_partial_fit_refuses_a_class_that_was_not_announced() -> None:
    for model in (TextClassifier(size="xs", **PLAIN), TextClassifier(size="s", **PLAIN)):
        model.partial_fit(TEXTS[:8], LABELS[:8], classes=["land", "other"])
        with pytest.raises(InputError, match="not among the classes"):
            model.partial_fit(TEXTS[:2], ["air", "land"])


def test_the_windows_of_a_language_model_are_exported(tmp_path: Path) -> None:
    settings = {**PLAIN, "context": 12, "batch_size": 4}
    model = LanguageModel(size="xxs", **settings).fit(" ".join(TEXTS))
    export(model, "torch-export", tmp_path, TEXTS)
    tokens = model._take(TEXTS, reset=False)[0][:5]
    with torch.inference_mode():
        wanted = model.network_(torch.from_numpy(tokens)).numpy()
    np.testing.assert_allclose(run(tmp_path, "torch-export", tokens), wanted, atol=1e-4)


def test_rungs_on_the_encoder_stand_beside_the_sizes() -> None:
    for family in (TextClassifier, SentenceMatcher):
        rungs = ladder({"it": family}, (2, 9), seed=3)
        names = [rung.name for rung in rungs]
        assert names == [f"it-{size}" for size in (*family.sizes, *family.pretrained)]
        for rung in rungs:
            model = rung.model()
            assert model.random_state == 3
            assert (model.encoder == "minilm-l6") == (rung.size not in family.sizes)


def test_pairs_of_words_are_hashed_as_whole_numbers_have_it() -> None:
    left, right = torch.randint(0, 2**15, (2, 999), generator=torch.Generator().manual_seed(0))
    wanted = [
        ((1_000_003 * a + b) * 2_654_435_761 >> 16) % 2**15
        for a, b in zip(left.tolist(), right.tolist())
    ]
    assert rows_of_pairs(left, right).tolist() == wanted

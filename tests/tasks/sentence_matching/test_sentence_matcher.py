"""Sentence matching: what it learns, what changes nothing, search, and bad input."""

from __future__ import annotations

import json
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.metrics import f1_score

from depthwise.errors import InputError, ModelFileError
from depthwise.models.modelfile import read_model
from depthwise.tasks.sentence_matching import index as sentence_matching_index
from depthwise.tasks.sentence_matching.matcher import SIZES, SentenceMatcher
from depthwise.tasks.sentence_matching.scores import f1, f1_interval, spearman, spearman_interval
from made_encoder import made_encoder

QUICK: dict[str, Any] = {"device": "cpu", "precision": "float32", "threads": 1}
FAMILY = {"sentences": SentenceMatcher}
WHO = ["the cat", "a dog", "my old friend", "the queen", "a tall man", "that bird"]
DOES = ["sleeps at home", "runs to Rome", "sings a song", "eats bread", "reads a book"]


def made_pairs(seed: int = 0, count: int = 160) -> tuple[list[tuple[str, str]], np.ndarray]:
    """Two sentences are as alike as they share who (2) and what is done (3): 0, 2, 3 or 5."""
    draw = np.random.default_rng(seed)
    pairs, scores = [], []
    for _ in range(count):
        a, b = draw.integers(len(WHO), size=2)
        c, d = draw.integers(len(DOES), size=2)
        b, d = (a if draw.random() < 0.4 else b), (c if draw.random() < 0.4 else d)
        pairs.append((f"{WHO[a]} {DOES[c]}", f"{WHO[b]} {DOES[d]}"))
        scores.append(2.0 * (a == b) + 3.0 * (c == d))
    return pairs, np.array(scores)


def made_classes(seed: int = 0) -> tuple[list[tuple[str, str]], np.ndarray]:
    """Whether the same is done."""
    pairs, scores = made_pairs(seed)
    return pairs, np.where(scores >= 3, "same", "another")


def make(**changes: Any) -> SentenceMatcher:
    return SentenceMatcher(
        **{**QUICK, "size": "xs", "lr": 1e-2, "epochs": 6, "batch_size": 16, **changes}
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    pytest.importorskip("tokenizers")
    return made_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def fitted(folder: str) -> dict[str, SentenceMatcher]:
    few = {"encoder": folder, "epochs": 1}
    return {
        "similarity": make(targets=(0, 5)).fit(*made_pairs()),
        "classes": make().fit(*made_classes()),
        "cross": make(cross=True, size="s", epochs=1).fit(*made_classes()),
        "encoder": make(targets=(0, 5), **few).fit(*made_pairs()),
        "encoder classes": make(**few, freeze=1).fit(*made_classes()),
        "encoder cross": make(targets=(0, 5), cross=True, **few, freeze=2).fit(*made_pairs()),
    }


KINDS = ["similarity", "classes", "cross", "encoder", "encoder classes", "encoder cross"]
SIAMESE = ["similarity", "classes", "encoder", "encoder classes"]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def answers(model: SentenceMatcher, pairs: Any) -> np.ndarray:
    return model.predict_proba(pairs) if model.kind_ == "classes" else model.predict(pairs)


# -- learning -------------------------------------------------------------------------------------


def test_similarities_of_unseen_pairs_are_learnt(fitted: Any) -> None:
    pairs, scores = made_pairs(seed=1)
    assert fitted["similarity"].score(pairs, scores) > 0.8
    told = fitted["similarity"].predict(pairs)
    assert told[scores == 5].mean() > told[scores == 3].mean() + 0.5
    assert told[scores == 3].mean() > told[scores == 0].mean() + 0.5


def test_classes_of_unseen_pairs_are_learnt(fitted: Any) -> None:
    pairs, labels = made_classes(seed=1)
    assert fitted["classes"].score(pairs, labels) > 0.8
    assert set(fitted["classes"].predict(pairs)) == {"same", "another"}


def test_before_learning_more_words_in_common_are_more_alike() -> None:
    model = make(targets=(0, 5), epochs=0.01, lr=1e-9).fit(*made_pairs())
    close, far = model.similarity(
        ["a grey whale swims", "a grey whale swims"], ["the grey whales swim", "it rained in May"]
    )
    assert close > far + 0.3


@pytest.mark.parametrize("cross", [False, True])
@pytest.mark.parametrize("size", list(SIZES))
def test_every_rung_learns(size: str, cross: bool) -> None:
    pairs, scores = made_pairs(count=24)
    model = make(size=size, cross=cross, epochs=1).fit(pairs, scores + 0.25)
    assert model.predict(pairs[:3]).shape == (3,)


@pytest.mark.parametrize("freeze", ["all", 0, 2])
def test_an_encoder_learns_above_its_frozen_stages(folder: str, freeze: Any) -> None:
    pairs, labels = made_classes()
    model = make(encoder=folder, freeze=freeze, epochs=2).fit(pairs, labels)
    published = SentenceMatcher(encoder=folder)._on_encoder(2, pretrained=True).state_dict()
    moved = {
        name.removeprefix("encoder.body.").split(".")[0]
        for name, weight in model.network_.state_dict().items()
        if name.startswith("encoder.") and not torch.equal(weight, published[name])
    }
    assert ("layers" in moved) is (freeze != "all")
    assert ("pieces" in moved) is (freeze == 0)
    assert not torch.equal(
        model.network_.head.answer.output.weight, published["head.answer.output.weight"]
    )


def test_a_frozen_encoders_similarity_begins_at_its_own_cosine(folder: str) -> None:
    pairs, scores = made_pairs(count=20)
    model = make(encoder=folder, targets=(0, 5), epochs=0.01, lr=1e-9).fit(pairs, scores)
    own = model.network_.encoder.encode([text for pair in pairs for text in pair])
    cosines = (own[::2] * own[1::2]).sum(axis=1)
    np.testing.assert_allclose(model.predict(pairs), 5 * cosines.clip(0, 1), atol=1e-4)


def test_held_out_pairs_choose_the_best_epoch() -> None:
    held = made_pairs(seed=2, count=60)
    model = make(targets=(0, 5), epochs=3).fit(*made_pairs(), validation=held)
    best = max(record["score"] for record in model.history_["epochs"])
    assert model.score(*held) == pytest.approx(best, abs=1e-6)
    assert (
        len(make(validation_fraction=0.25, epochs=2).fit(*made_classes()).history_["epochs"]) == 2
    )


def test_partial_fit_learns_in_pieces(folder: str) -> None:
    pairs, labels = made_classes()
    for encoder in (None, folder):
        model = make(encoder=encoder)
        for start in range(0, 160, 40):
            part = slice(start, start + 40)
            model.partial_fit(pairs[part], labels[part], classes=["another", "same", "unsure"])
        assert model.predict_proba(pairs[:2]).shape == (2, 3)
    numbers = make(targets=(0, 5)).partial_fit(*made_pairs()).partial_fit(*made_pairs(1))
    assert numbers.kind_ == "similarity"


@pytest.mark.parametrize("on_encoder", [False, True])
def test_a_fit_killed_between_epochs_resumes_as_never_killed(
    on_encoder: bool, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import depthwise.training.loop as training

    class Stop(Exception):
        pass

    def kill(event: Any) -> None:
        if event.epoch >= 1:
            raise Stop

    def fresh() -> SentenceMatcher:
        return make(targets=(0, 5), epochs=3, encoder=folder if on_encoder else None)

    data = made_pairs(count=60)
    whole = fresh().fit(*data)
    often = {**(training.train.__kwdefaults__ or {}), "checkpoint_seconds": 0.0}
    monkeypatch.setattr(training.train, "__kwdefaults__", often)
    with pytest.raises(Stop):
        fresh().fit(*data, checkpoint=tmp_path / "run", watch=kill)
    resumed = fresh().fit(*data, checkpoint=tmp_path / "run")
    assert np.array_equal(whole.predict(data[0]), resumed.predict(data[0]))


# -- what changes nothing -------------------------------------------------------------------------


def test_a_filled_up_batch_answers_as_singles(kind: str, fitted: Any) -> None:
    texts = ["a", "", "my friend sings a song in Rome", "né 東京 🙂"]
    pairs = [(a, b) for a in texts for b in texts]
    singles = np.concatenate([answers(fitted[kind], [pair]) for pair in pairs])
    np.testing.assert_allclose(answers(fitted[kind], pairs), singles, atol=1e-4)


@pytest.mark.parametrize("kind", SIAMESE)
def test_similarity_is_the_same_whichever_comes_first(kind: str, fitted: Any) -> None:
    pairs = made_pairs(1)[0]
    a, b = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    model = fitted[kind]
    np.testing.assert_allclose(model.similarity(a, b), model.similarity(b, a), atol=1e-6)
    if model.kind_ == "similarity":
        told, turned = model.predict(pairs), model.predict(list(zip(b, a)))
        np.testing.assert_allclose(told, turned, atol=1e-5)


@pytest.mark.parametrize("kind", SIAMESE)
def test_vectors_have_length_1(kind: str, fitted: Any) -> None:
    texts = ["the cat", "", " ", "a", "!", "🙂", "שלום", "東京", "\ud800", "\0", "x" * 5000]
    u = fitted[kind].encode(texts)
    np.testing.assert_allclose(np.linalg.norm(u, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("kind", ["similarity", "encoder"])
def test_predicted_similarities_go_with_the_cosine_of_the_vectors(kind: str, fitted: Any) -> None:
    pairs = made_pairs(1)[0]
    model = fitted[kind]
    cosines = model.similarity([a for a, _ in pairs], [b for _, b in pairs])
    head = model.network_.head
    wanted = 5 * (float(head.gain.detach()) * cosines + float(head.offset.detach()))
    np.testing.assert_allclose(model.predict(pairs), wanted.clip(0, 5), atol=1e-4)


def test_a_layer_shows_what_the_head_is_given(kind: str, fitted: Any) -> None:
    model, pairs = fitted[kind], made_pairs(1)[0][:5]
    shown = model.transform(pairs)
    assert shown.shape[0] == 5
    if not model.cross:
        np.testing.assert_allclose(np.linalg.norm(shown, axis=1), np.sqrt(2), atol=1e-5)


def test_an_array_is_the_same_as_a_list(fitted: Any) -> None:
    pairs = made_pairs(1)[0][:7]
    for table in (np.array(pairs), np.array(pairs, dtype=object), [list(pair) for pair in pairs]):
        assert np.array_equal(
            answers(fitted["similarity"], table), answers(fitted["similarity"], pairs)
        )


def test_saved_and_loaded_it_is_the_same(kind: str, fitted: Any, tmp_path: Path) -> None:
    model, pairs = fitted[kind], made_pairs(1)[0][:9]
    model.save(tmp_path / "model")
    again = read_model(tmp_path / "model", FAMILY)
    assert np.array_equal(answers(again, pairs), answers(model, pairs))
    assert again.get_params() == model.get_params()
    assert np.array_equal(answers(pickle.loads(pickle.dumps(model)), pairs), answers(model, pairs))
    if not model.cross:
        np.testing.assert_allclose(again.encode("the cat"), model.encode("the cat"), atol=1e-6)


def test_a_saved_model_needs_no_folder_of_its_encoder(tmp_path: Path) -> None:
    pytest.importorskip("tokenizers")
    name = made_encoder(tmp_path / "encoder")
    model = make(encoder=name, targets=(0, 5), epochs=1).fit(*made_pairs(count=20))
    model.save(tmp_path / "model")
    (tmp_path / "encoder").rename(tmp_path / "gone")
    again = read_model(tmp_path / "model", FAMILY)
    np.testing.assert_allclose(again.encode("the cat"), model.encode("the cat"), atol=1e-6)


@pytest.mark.parametrize("lie", [{"range": [5]}, {"range": "x"}, {"encoder": {}}, {"encoder": 3}])
def test_a_description_that_lies_is_refused(lie: dict, fitted: Any, tmp_path: Path) -> None:
    path = fitted["encoder"].save(tmp_path / "model") / "model.json"
    described = json.loads(path.read_text())
    described["network"].update(lie)
    path.write_text(json.dumps(described))
    with pytest.raises(ModelFileError, match=r"model\.json"):
        read_model(tmp_path / "model", FAMILY)


@pytest.mark.parametrize("cross", [False, True])
@pytest.mark.parametrize("n_outputs", [1, 3])
def test_a_network_is_built_before_there_is_data(cross: bool, n_outputs: int) -> None:
    with torch.device("meta"):
        network = make(cross=cross).build((2, 40), n_outputs)
        told = network.eval()(torch.ones(3, 2, 40, dtype=torch.int64))
    assert told.shape == (3, n_outputs)


def test_the_network_can_be_exported(fitted: Any) -> None:
    model = fitted["similarity"]
    tokens = torch.from_numpy(model._take(made_pairs(1)[0][:4], reset=False)[0])
    batch = {"pairs": {0: torch.export.Dim("batch", min=2)}}
    program = torch.export.export(model.network_, (tokens,), dynamic_shapes=batch)
    with torch.no_grad():
        torch.testing.assert_close(program.module()(tokens), model.network_(tokens))


# -- search ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 4, 30, 99])
def test_search_is_brute_force(k: int, fitted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentence_matching_index, "BLOCK", 7)
    monkeypatch.setattr(sentence_matching_index, "QUERIES", 3)
    model = fitted["similarity"]
    sentences = [f"{who} {does}" for who in WHO for does in DOES]
    queries = ["the dog runs", "bread", "who sleeps ?", "", "my friend sings in Rome"]
    places, cosines = model.index(sentences).search(queries, k)
    full = model.encode(queries) @ model.encode(sentences).T
    assert places.shape == (5, min(k, 30))
    np.testing.assert_allclose(cosines, -np.sort(-full, axis=1)[:, :k], atol=1e-6)
    np.testing.assert_allclose(np.take_along_axis(full, places, axis=1), cosines, atol=1e-6)
    assert all(len(set(row)) == len(row) for row in places.tolist())


def test_of_equals_the_first_is_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentence_matching_index, "BLOCK", 6)
    vectors = np.tile(np.eye(2, dtype=np.float32), (20, 1))
    places, cosines = sentence_matching_index.nearest(vectors[1:2], vectors, 3)
    assert places.tolist() == [[1, 3, 5]]
    assert cosines.tolist() == [[1, 1, 1]]


def test_one_query_has_one_row(fitted: Any) -> None:
    index = fitted["similarity"].index(["the cat sleeps", "a dog runs", "that bird sings"])
    places, cosines = index.search("a dog runs", k=2)
    assert places.shape == cosines.shape == (2,)
    assert places[0] == 1
    assert cosines[0] == pytest.approx(1, abs=1e-5)
    assert len(index) == 3


def test_an_index_saved_and_loaded_finds_the_same(fitted: Any, tmp_path: Path) -> None:
    model = fitted["encoder"]
    index = model.index([f"{who} {does}" for who in WHO for does in DOES])
    path = index.save(tmp_path / "sentences.safetensors")
    again = model.load_index(path)
    for ours, theirs in zip(index.search("the cat", 5), again.search("the cat", 5)):
        assert np.array_equal(ours, theirs)


def test_an_index_of_another_model_is_refused(fitted: Any, tmp_path: Path) -> None:
    path = fitted["similarity"].index(["a", "b"]).save(tmp_path / "i.safetensors")
    with pytest.raises(ModelFileError, match="other weights"):
        fitted["classes"].load_index(path)
    path.write_bytes(b"no index")
    with pytest.raises(ModelFileError, match="no index"):
        fitted["classes"].load_index(path)


@pytest.mark.parametrize("k", [0, -1, 2.5, True, "3"])
def test_k_must_be_a_whole_number(k: Any, fitted: Any) -> None:
    with pytest.raises(InputError, match="k must be"):
        fitted["similarity"].index(["a"]).search("a", k)


def test_a_cross_encoder_has_no_vectors(fitted: Any) -> None:
    with pytest.raises(InputError, match="cross=False"):
        fitted["cross"].index(["a"])


# -- scores ---------------------------------------------------------------------------------------


def test_the_rank_correlation_is_scipys() -> None:
    draw = np.random.default_rng(0)
    a = draw.integers(6, size=50).astype(float)  # with ties
    b = a + draw.normal(size=50)
    assert spearman(a, b) == pytest.approx(spearmanr(a, b)[0])
    assert spearman(np.ones(5), b[:5]) == 0.0


def test_the_rank_correlations_interval_is_by_hand() -> None:
    """rho 0.5, N 103: atanh 0.5493, standard error sqrt(1.125 / 100) = 0.10607."""
    low, high = spearman_interval(0.5, 103)
    assert low == pytest.approx(np.tanh(0.549306 - 1.959964 * 0.1060660), abs=1e-6)
    assert high == pytest.approx(np.tanh(0.549306 + 1.959964 * 0.1060660), abs=1e-6)


def test_f1_is_scikit_learns() -> None:
    draw = np.random.default_rng(1)
    told, truth = draw.random(80) < 0.5, draw.random(80) < 0.6
    assert f1(told, truth) == pytest.approx(f1_score(truth, told))
    low, high = f1_interval(told, truth)
    assert low < f1(told, truth) < high
    assert high - low < 0.35
    assert f1(np.zeros(3, bool), np.zeros(3, bool)) == 0.0


def test_an_assessment_says_what_it_measured(fitted: Any) -> None:
    pairs, labels = made_classes(1)
    model = fitted["classes"]
    report = model.assess(pairs, labels)
    told = model.predict(pairs)
    assert report["metric"] == "f1 of same"
    assert report["value"] == pytest.approx(f1_score(labels == "same", told == "same"))
    assert report["accuracy"] == pytest.approx((told == labels).mean())
    assert set(report["per_class"]) == {"another", "same"}
    numbers = fitted["similarity"].assess(*made_pairs(1))
    assert numbers["metric"] == "spearman"
    assert numbers["low"] < numbers["value"] < numbers["high"]
    json.dumps([report, numbers])


def test_of_three_classes_the_score_is_accuracy() -> None:
    pairs, scores = made_pairs()
    labels = np.select([scores == 5, scores == 0], ["entailment", "neutral"], "contradiction")
    model = make(epochs=2).fit(pairs, labels)
    assert model.score(pairs, labels) == pytest.approx((model.predict(pairs) == labels).mean())


# -- what y is ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("y", "targets", "kind"),
    [
        ([0.5, 2.0, 3.0], "auto", "similarity"),
        ([0, 1, 1], "auto", "classes"),
        ([0.0, 1.0, 1.0], "auto", "classes"),
        ([True, False, True], "auto", "classes"),
        (["yes", "no", "no"], "auto", "classes"),
        ([0, 3, 5], (0, 5), "similarity"),
        ([0.0, 1.0, 1.0], (0, 1), "similarity"),
        (["0.5", "2", "3.1"], (0, 5), "similarity"),
    ],
)
def test_what_y_holds_decides_or_is_said(y: Any, targets: Any, kind: str) -> None:
    model = make(targets=targets, epochs=1)
    inputs, _ = model._take([("a", "b")] * 3, y, reset=True)
    assert model.kind_ == kind
    assert inputs.shape[:2] == (3, 2)


def test_a_refit_forgets_what_it_told_before() -> None:
    model = make(epochs=1).fit(*made_classes())
    model.fit(made_pairs()[0], made_pairs()[1] + 0.5)
    assert model.kind_ == "similarity"
    assert not hasattr(model, "classes_")
    assert model.range_ == (0.5, 5.5)


# -- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("X", "y", "words"),
    [
        (["a", "b"], [0, 1], r"X\[0\] must be a pair"),
        ([("a", "b", "c")] * 2, [0, 1], r"X\[0\] must be a pair"),
        ([("a", "b"), ("a", None)], [0, 1], r"X\[1\]\[1\] must be text; got NoneType"),
        ([("a", 4.5), ("b", 3.0)], [0, 1], r"X\[0\]\[1\] must be text; got float 4.5.*column"),
        (np.array([["a", "b", "c"]]), [0], r"\(N, 2\); got an array of \(1, 3\)"),
        (np.array(["a", "b"]), [0, 1], r"\(N, 2\); got an array of \(2,\)"),
        ("a b", [0], r"\(N, 2\); got str"),
        (5, [0], "list of pairs"),
        ([], [], "no pair"),
        ([("0.5", "a"), ("3", "b")], [0, 1], "first sentence of every pair is a number.*swapped"),
        ([("a", "b")] * 2, [0, 1, 1], r"y must be \(2,\)"),
        ([("a", "b")] * 2, [[0, 1], [1, 0]], r"y must be \(2,\)"),
        ([("a", "b")] * 2, None, "learns from labels"),
        ([("a", "b")] * 2, [0, 0], "one class"),
        ([("a", "b")] * 2, [0.5, 0.5], "nothing to learn"),
        ([("a", "b")] * 2, [0.5, np.nan], r"y\[1\] is NaN"),
        ([("a", "b")] * 30, [f"sentence {i}" for i in range(30)], "30 different texts.*swapped"),
    ],
)
def test_wrong_data_is_named(X: Any, y: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        make().fit(X, y)


def test_a_similarity_out_of_its_range_is_named() -> None:
    pairs = [("a", "b"), ("c", "d"), ("e", "f")]
    with pytest.raises(InputError, match=r"y\[1\] is 7, outside the range \(0\.0, 5\.0\)"):
        make(targets=(0, 5)).fit(pairs, [1.5, 7, 2])
    with pytest.raises(InputError, match="similarities, numbers; got 'alike'"):
        make(targets=(0, 5)).fit(pairs, ["1", "alike", "2"])
    model = make(targets=(0, 5), epochs=1).fit(pairs, [1, 2, 3])
    with pytest.raises(InputError, match="outside the range"):
        model.score(pairs, [1, 2, -3])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("targets", (5, 0)),
        ("targets", "scores"),
        ("targets", (0, float("nan"))),
        ("size", "xxxl"),
        ("max_words", 0),
        ("dropout", 1.0),
        ("word_dropout", -0.1),
        ("encoder_rate", 0.0),
        ("cross", "yes"),
        ("epochs", 0),
        ("encoder", "minilm-l7"),
    ],
)
def test_a_wrong_setting_is_named_with_its_value(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"(?s){name}.*{str(value)[:4].replace('(', '.')}"):
        make(**{name: value}).fit(*made_pairs(count=20))


def test_classes_are_not_asked_of_similarities(fitted: Any) -> None:
    with pytest.raises(InputError, match="use predict"):
        fitted["similarity"].predict_proba([("a", "b")])
    with pytest.raises(InputError, match="y is missing"):
        fitted["similarity"].score([("a", "b")], None)
    with pytest.raises(InputError, match="as many with as many"):
        fitted["similarity"].similarity(["a", "b"], ["a"])


def test_a_document_of_100000_words_is_cut_and_that_is_said(kind: str, fitted: Any) -> None:
    long = "the cat sleeps at home " * 20_000
    with pytest.warns(UserWarning, match=r"1 of \d (sentences|texts|pairs) have more than"):
        told = answers(fitted[kind], [(long, "the cat"), ("a", "b")])
    assert np.isfinite(told).all()


def test_short_sentences_are_read_without_a_word() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make(epochs=1).fit([("a", ""), ("", ""), ("!", "b"), ("c", "c")], [0, 0, 0, 1])

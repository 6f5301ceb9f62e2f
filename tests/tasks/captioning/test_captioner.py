"""The captioner's laws: what it learns, how it writes, what it keeps and what it refuses."""

from __future__ import annotations

import json
import math
import pickle
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from depthwise.backbones.texts.transformer import Rung
from depthwise.data.dataset import Dataset
from depthwise.data.targets.caption_table import CaptionTable
from depthwise.errors import DivergedError, InputError, ModelFileError
from depthwise.models.modelfile import read_model
from depthwise.tasks.captioning.beam_search import beam_search
from depthwise.tasks.captioning.captioner import SIZES, Captioner
from depthwise.tasks.captioning.network import Writer, caption_nats, places
from depthwise.tasks.captioning.step import drawn, token_rows
from depthwise.text.tokens import Tokenizer
from made_captions import told_shapes

FAMILIES = {"captioner": Captioner}
QUICK: dict[str, Any] = {
    "size": "xs",
    "tokens": "bytes",
    "max_tokens": 40,
    "dropout": 0.0,
    "epochs": 2,
    "batch_size": 16,
    "lr": 4e-3,
    "device": "cpu",
    "precision": "float32",
    "threads": 1,
}


def make(**changes: Any) -> Captioner:
    return Captioner(**{**QUICK, **changes})


@pytest.fixture(scope="module")
def trained() -> Captioner:
    pytest.importorskip("tokenizers", reason='needs pip install "depthwise[text]"')
    return make(tokens="bpe", vocabulary=290, epochs=16).fit(*told_shapes(160))


@pytest.fixture
def model(trained: Captioner) -> Captioner:
    made: Captioner = pickle.loads(pickle.dumps(trained))
    return made


def writer(seed: int = 0) -> Writer:
    """An untrained one of six tokens and `end`, in float64 so that the order of sums does not
    matter, whose layers outweigh the token before, which otherwise foretells itself."""
    torch.manual_seed(seed)
    made = Writer((3, 2, 3), 5, 7, Rung(16, 2, 4, 2), 0.0).double().eval()
    torch.nn.init.normal_(made.embedding.weight, std=0.3)
    with torch.no_grad():
        for block in made.blocks:
            for part in (block.attention, block.across):
                part.queries.weight *= 6  # type: ignore[operator, union-attr]
                part.output.weight *= 15  # type: ignore[operator, union-attr]
            block.feed.output.weight *= 5  # type: ignore[operator, union-attr]
    return made


def seen(n: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, 3 * 2 * 3 + 5, generator=torch.Generator().manual_seed(seed)).double()


# -- learning -------------------------------------------------------------------------------------


def test_it_learns_to_tell_shapes(model: Captioner) -> None:
    X, y = told_shapes(60, seed=1)
    report = model.assess(X, y)
    words = [caption.split() for caption in model.predict(X)]
    colours = [w[1] in said[0] for w, said in zip(words, y) if len(w) > 1]
    assert np.mean(colours) > 0.7  # by chance 1/3
    assert report["value"] > 0.5
    assert report["low"] <= report["value"] <= report["high"]
    assert report["items"] == 60
    assert report["cider"] > 2
    assert model.score(X, y) == report["value"]
    json.dumps(report, allow_nan=False)


def test_a_frozen_backbone_stays_as_it_was_and_sees_once() -> None:
    X, y = told_shapes(24)
    model = make(freeze="all", validation_fraction=0.25)
    looks: list[int] = []
    see = model._features
    model._features = lambda images: looks.append(len(images)) or see(images)  # type: ignore[method-assign,func-returns-value]
    model.fit(X, y)
    assert looks == [18, 6]
    fresh = make(freeze="all")
    fresh._take(X, y, reset=True)
    before = fresh.build(model.input_shape_, model.n_outputs).backbone.state_dict()  # type: ignore[union-attr, operator]
    after = model.network_.backbone.state_dict()
    assert before.keys() == after.keys()
    assert model._features(X[:3]).dtype == np.float16


def test_under_a_limit_it_looks_at_what_fits_and_taken_up_again_at_as_much(tmp_path: Path) -> None:
    X, y = told_shapes(300)

    def slowly(model: Captioner) -> Captioner:
        see = model._features

        def look(images: np.ndarray) -> np.ndarray:
            time.sleep(0.01 * len(images))
            return see(images)

        model._features = look  # type: ignore[method-assign]
        return model

    class Stop(Exception):
        pass

    def stop(event: Any) -> None:
        raise Stop

    limits: dict[str, Any] = {"checkpoint": tmp_path / "run.checkpoint", "seconds_limit": 2.0}
    with pytest.raises(Stop):
        slowly(make(freeze="all", epochs=2)).fit(X, y, watch=stop, **limits)
    looked = json.loads((tmp_path / "run.looked.checkpoint").read_text())
    assert 16 <= looked[0] < 300 and looked[0] % 16 == 0
    model = slowly(make(freeze="all", epochs=2))
    begun = time.monotonic()
    model.fit(X, y, **limits)
    assert time.monotonic() - begun < 1.1 * 2 + 2
    assert model.history_["stopped"] == "time"
    assert json.loads((tmp_path / "run.looked.checkpoint").read_text()) == looked


def test_partial_fit_learns_in_pieces() -> None:
    X, y = told_shapes(48)
    model, losses = make(lr=2e-3), []
    for _ in range(3):
        for part in np.array_split(np.arange(48), 2):
            model.partial_fit(X[part], [y[i] for i in part])
        losses.append(model.history_["epochs"][-1]["loss"])
    assert losses[0] > losses[1] > losses[2]


def test_warm_start_goes_on_with_its_tokens() -> None:
    X, y = told_shapes(24)
    model = make(epochs=4, warm_start=True).fit(X, y)
    tokens, first = model.tokenizer_, model.history_["epochs"][0]["loss"]
    model.fit(X, y)
    assert model.tokenizer_ is tokens
    assert model.history_["epochs"][0]["loss"] < first


def test_a_dataset_brings_captions_and_validation() -> None:
    X, y = told_shapes(24)
    parts = {"train": np.arange(16), "validation": np.arange(16, 20), "test": np.arange(20, 24)}
    targets, nothing = CaptionTable.from_lists(y), np.zeros(24, np.int64)
    data = Dataset("made", "images", X, nothing, [], parts, task="captions", targets=targets)
    model = make().fit(data)
    scores = [epoch["score"] for epoch in model.history_["epochs"]]
    assert len(scores) == 2
    assert all(-6 < score < 0 for score in scores)  # minus nats a byte; ln 257 = 5.55
    assert model.split_ == data.split_marks


# -- what is minimised ----------------------------------------------------------------------------


def test_the_loss_is_that_of_each_token_given_those_before() -> None:
    net, x = writer(), seen(2)
    captions = [[[1, 2, 6], [3, 6]], [[0, 0, 5, 6]]]
    rows = torch.full((2, 2, 4), -1)
    for i, of_image in enumerate(captions):
        for k, caption in enumerate(of_image):
            rows[i, k, : len(caption)] = torch.tensor(caption)
    expected = 0.0
    for i, of_image in enumerate(captions):
        for caption in of_image:
            for t, token in enumerate(caption):
                before = torch.tensor([[6, *caption[:t]]])
                hidden = net.hidden(before, net.remember(x[i : i + 1]))[0, -1]
                expected -= float(torch.log_softmax(net.logits(hidden), 0)[token].detach())
    with torch.no_grad():
        total, mean = (caption_nats(net, x, rows, reduction=how) for how in ("sum", "mean"))
    assert float(total) == pytest.approx(expected, rel=1e-5)
    assert float(mean) == pytest.approx(expected / 9, rel=1e-5)


def test_token_rows_hold_every_caption_and_its_end() -> None:
    table, end = CaptionTable.from_lists([["ab"], ["c", "defg"]]), 256
    rows = token_rows(table, Tokenizer("bytes"), 4)
    assert rows.tolist() == [
        [[97, 98, end, -1], [-1, -1, -1, -1]],
        [[99, end, -1, -1], [100, 101, 102, 103]],  # four letters are the most: no end
    ]


def test_captions_are_drawn_from_those_that_are_there() -> None:
    torch.manual_seed(0)
    rows = torch.full((2, 6, 3), -1)
    rows[0, :, 0] = torch.arange(6)
    rows[1, :2, :2] = 7
    seen_numbers = set()
    for _ in range(60):
        some = drawn(rows, 3)
        assert some.shape == (2, 3, 2)
        assert len(set(some[0, :, 0].tolist())) == 3
        assert (some[1, :, 0] == 7).sum() == 2
        seen_numbers |= set(some[0, :, 0].tolist())
    assert seen_numbers == set(range(6))


def test_places_of_a_grid_are_all_different() -> None:
    p = places(5, 7, 10, torch.zeros(1))[0]
    assert p.shape == (35, 10)
    assert float(torch.cdist(p, p).fill_diagonal_(1).min()) > 0.05


# -- writing --------------------------------------------------------------------------------------


@torch.inference_mode()
def greedy(net: Writer, x: torch.Tensor, most: int) -> list[list[int]]:
    """The likeliest token, again and again, each image by itself and without a cache."""
    end, captions = net.embedding.num_embeddings - 1, []
    for row in x:
        remembered, tokens = net.remember(row[None]), [end]
        while len(tokens) <= most:
            hidden = net.hidden(torch.tensor([tokens]), remembered)
            token = int(net.logits(hidden[0, -1]).argmax())
            if token == end:
                break
            tokens.append(token)
        captions.append(tokens[1:])
    return captions


@torch.inference_mode()
def best_of_all(net: Writer, x: torch.Tensor, most: int, penalty: float) -> list[int]:
    """The caption of the best score among all that end within `most` tokens, by trying them."""
    end, best = net.embedding.num_embeddings - 1, (-math.inf, [0])
    remembered = net.remember(x)
    live: list[tuple[float, list[int]]] = [(0.0, [])]
    for length in range(1, most + 1):
        longer = []
        for total, tokens in live:
            hidden = net.hidden(torch.tensor([[end, *tokens]]), remembered)[0, -1]
            p = torch.log_softmax(net.logits(hidden), dim=0)
            best = max(best, ((total + float(p[end])) / length**penalty, tokens))
            longer += [(total + float(p[w]), [*tokens, w]) for w in range(end)]
        live = longer
    return best[1]


SEEDS = range(6)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("cached", [True, False])
def test_a_beam_of_one_is_greedy_search(seed: int, cached: bool) -> None:
    net, x = writer(seed), seen(9, seed)
    for most in (1, 12):
        found = beam_search(net, x, beams=1, most=most, penalty=0.7, cached=cached)
        assert found == greedy(net, x, most)


@pytest.mark.parametrize("seed", SEEDS)
def test_with_a_cache_it_writes_as_without(seed: int) -> None:
    net, x = writer(seed), seen(7, seed)
    with_cache, without = (
        beam_search(net, x, beams=3, most=10, penalty=0.7, cached=cached) for cached in (1, 0)
    )
    assert with_cache == without


@pytest.mark.parametrize("beams", [1, 3])
def test_a_batch_is_told_as_its_images_alone(beams: int) -> None:
    """Captions of a batch end at different lengths."""
    net, x = writer(4 if beams > 1 else 1), seen(12, 4 if beams > 1 else 1)
    together = beam_search(net, x, beams=beams, most=15, penalty=0.7)
    alone = [beam_search(net, row[None], beams=beams, most=15, penalty=0.7)[0] for row in x]
    assert together == alone
    assert len(set(map(len, together))) > 2


@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_a_beam_as_wide_as_can_be_finds_the_best_caption(penalty: float) -> None:
    """Up to 3 tokens of 6 there are 36 beginnings at most, and up to 43 captions that end."""
    net = writer(3)
    for row in seen(3, 1):
        search = beam_search(net, row[None], beams=60, most=3, penalty=penalty)
        assert search[0] == best_of_all(net, row[None], 3, penalty)


def test_a_length_penalty_makes_captions_longer() -> None:
    net, x = writer(2), seen(20, 3)
    short, long = (
        sum(map(len, beam_search(net, x, beams=8, most=12, penalty=penalty)))
        for penalty in (0.0, 1.5)
    )
    assert short < long


def test_singles_are_told_as_in_a_batch(model: Captioner) -> None:
    X = told_shapes(9, seed=4)[0]
    assert model.predict(X) == [model.predict(X[i : i + 1])[0] for i in range(9)]
    assert all(isinstance(caption, str) and caption for caption in model.predict(X, beams=1))


def test_an_answer_that_is_not_a_number_is_no_answer(model: Captioner) -> None:
    with torch.no_grad():
        model.network_.writer.norm.weight[0] = float("nan")
    with pytest.raises(DivergedError, match="not a number"):
        model.predict(told_shapes(2)[0])


# -- text -----------------------------------------------------------------------------------------


def test_captions_of_any_script_are_learnt() -> None:
    X, _ = told_shapes(12)
    said = ["一只 红色的 方块 。", "собака 🐕‍🦺", "a\ud800b", "كلب", "word", "x" * 500]
    model = make(epochs=1, max_tokens=12).fit(X, said * 2)
    assert all(isinstance(caption, str) for caption in model.predict(X))
    assert model.assess(X, said * 2)["items"] == 12


def test_marks_and_capitals_are_learnt_where_that_is_asked() -> None:
    """What the network is to write is what its rows of tokens say."""
    said = [["A Dog , runs ."], ["One", "two-three  four"]]
    for lowercase, wanted in (
        (False, ["A Dog , runs .", "One", "two-three four"]),
        (True, ["a dog runs", "one", "two three four"]),
    ):
        model = make(lowercase=lowercase)
        rows = model._take(told_shapes(2)[0], said, reset=True)[1].reshape(4, -1)
        texts = [model.tokenizer_.decode(row[row >= 0].tolist()) for row in rows]
        assert [text for text in texts if text] == wanted


# -- saving, going on -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"tokens": {"kind": "bytes", "characters": "", "merges": []}},
        {"tokens": 5},
        {"n_classes": 10**12},
        {"backbone": {"kind": "residual"}},
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
            network = Captioner(size=size).build((3, 112, 112), 2049)
            assert network(torch.zeros(2, 3, 112, 112)).shape == (2, 2049)


def test_layers_can_be_looked_into(model: Captioner) -> None:
    X = told_shapes(3)[0]
    assert model.transform(X).shape == (3, model.network_.backbone.n_embedding)


# -- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("y", "told"),
    [
        ([["a"], [], ["b"], ["c"]], r"y\[1\] has no caption"),
        ([["a"], ["b"], [""], ["c"]], r"y\[2\] has an empty caption"),
        ([["a"], ["b"]], "y has captions of 2 images, but there are 4 images"),
        ([1, 2, 3, 4], r"y\[0\] must be a caption"),
        ("a dog", "y must be a caption"),
        (None, "Give y"),
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
        ("tokens", "words"),
        ("max_tokens", 0),
        ("dropout", 1.0),
        ("enlarge", 0),
        ("epochs", 0),
        ("batch_size", 1),
        ("lr", -1),
        ("label_smoothing", 1.0),
        ("precision", "fp16"),
        ("threads", 0),
    ],
)
def test_a_wrong_setting_is_named_with_its_value(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"(?s){name}.*{value}"):
        make(**{name: value}).fit(*told_shapes(4))


@pytest.mark.parametrize(("name", "value"), [("beams", 0), ("beams", 1.5), ("length_penalty", -1)])
def test_a_wrong_way_of_writing_is_named(model: Captioner, name: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"{name}.*{value}"):
        model.predict(told_shapes(2)[0], **{name: value})


def test_images_that_are_none_or_of_another_size_are_refused(model: Captioner) -> None:
    with pytest.raises(InputError, match=r"images must be \(N, C, H, W\)"):
        model.predict(np.zeros((3, 300)))
    with pytest.raises(InputError, match="fitted on"):
        model.predict(np.zeros((3, 3, 12, 12), np.uint8))

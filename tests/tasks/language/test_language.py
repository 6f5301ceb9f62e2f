"""LanguageModel's laws: what it says of text, what it writes, and what it remembers."""

from __future__ import annotations

import json
import math
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from depthwise.errors import DataError, DivergedError, InputError, ModelFileError
from depthwise.models.modelfile import read_model
from depthwise.tasks.language.generation import draw, drawn_tokens, pieces_of_text
from depthwise.tasks.language.language_model import LanguageModel
from depthwise.text.tokens import Tokenizer

FAMILIES = {"language": LanguageModel}
SENTENCE = "the quick brown fox jumps over the lazy dog. "
QUICK: dict[str, Any] = {
    "size": "xs",
    "context": 32,
    "epochs": 8,
    "batch_size": 8,
    "device": "cpu",
    "precision": "float32",
    "threads": 1,
    "validation_fraction": 0.0,
}


def make(**changes: Any) -> LanguageModel:
    return LanguageModel(**{**QUICK, **changes})


@pytest.fixture(scope="module")
def fitted() -> LanguageModel:
    return make().fit(SENTENCE * 30)


def written(model: LanguageModel, prompt: str = "the ", **changes: Any) -> str:
    return "".join(model.generate(prompt, **{"max_tokens": 50, **changes}))


def test_it_learns_a_sentence_that_repeats(fitted: LanguageModel) -> None:
    assert written(fitted, "the quick brown", temperature=0, max_tokens=10) == " fox jumps"
    assert fitted.bits_per_byte(SENTENCE * 5) < 0.5
    assert fitted.bits_per_byte("qqxz#") > 4


# -- scores ---------------------------------------------------------------------------------------


def nats_one_by_one(model: LanguageModel, text: str) -> np.ndarray:
    """The definition, token by token: windows of T that move on by half of it."""
    row = [model.tokenizer_.end, *model.tokenizer_.encode(text).tolist()]
    context = min(model.input_shape_[0], len(row) - 1)
    half, nats, start = model.input_shape_[0] // 2, [], 0
    for t in range(1, len(row)):
        while t - start > context:
            start = min(start + context - half, len(row) - 1 - context)
        with torch.no_grad():
            logits = model.network_(torch.tensor([row[start:t]]))[0, -1]
        nats.append(float(functional.cross_entropy(logits, torch.tensor(row[t]))))
    return np.array(nats)


@pytest.mark.parametrize("length", [1, 5, 32, 33, 75, 100])
def test_nats_are_those_of_each_token_given_those_before(fitted: Any, length: int) -> None:
    text = (SENTENCE * 3)[:length]
    wanted = nats_one_by_one(fitted, text)
    np.testing.assert_allclose(fitted.token_nats(text), wanted, rtol=1e-3, atol=1e-4)


def test_scores_say_the_same_in_their_units(fitted: LanguageModel) -> None:
    text = "the lazy née fox"  # 16 characters, 17 bytes, 17 tokens
    nats = float(fitted.token_nats(text).sum())
    assert fitted.bits_per_byte(text) == pytest.approx(nats / math.log(2) / 17)
    assert fitted.nats_per_character(text) == pytest.approx(nats / 16)
    assert fitted.perplexity(text) == pytest.approx(math.exp(nats / 17))
    assert fitted.score(text) == -fitted.bits_per_byte(text)


def test_an_untrained_network_needs_eight_bits_a_byte() -> None:
    model = make().fit(SENTENCE * 3)
    model.network_ = model._new_network()
    assert model.bits_per_byte(SENTENCE) == pytest.approx(math.log2(257), rel=0.05)


# -- writing --------------------------------------------------------------------------------------


def test_the_same_seed_writes_the_same_text(fitted: LanguageModel) -> None:
    hot = {"temperature": 1.5, "top_p": 1.0}
    assert written(fitted, seed=5, **hot) == written(fitted, seed=5, **hot)
    assert written(fitted, seed=5, **hot) != written(fitted, seed=6, **hot)


def test_writing_leaves_the_global_seed_alone(fitted: LanguageModel) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    written(fitted)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_with_a_cache_it_writes_as_without(fitted: LanguageModel, dtype: torch.dtype) -> None:
    """Past the end of the window too, which is 32 tokens."""
    network = pickle.loads(pickle.dumps(fitted.network_)).to(dtype)
    runs = []
    for cached in (True, False):
        generator = torch.Generator().manual_seed(0)
        tokens = drawn_tokens(network, [256, 116, 104], 32, 1.3, 1.0, generator, cached)
        runs.append([token for _, token in zip(range(90), tokens)])
    assert runs[0] == runs[1]


def test_what_is_timed_is_writing_behind_half_a_window(fitted: LanguageModel) -> None:
    text = fitted._row([SENTENCE])[:32].tolist()
    told = fitted.answering(fitted.network_)(torch.tensor([text, text[::-1]]))
    for row, begun in zip(told.tolist(), (text, text[::-1]), strict=True):
        tokens = drawn_tokens(fitted.network_, begun[:16], 32, 0.0, 1.0, torch.Generator())
        assert row == [*begun[:16], *(token for _, token in zip(range(16), tokens))]


def test_pieces_joined_are_the_text_and_come_one_by_one(fitted: LanguageModel) -> None:
    pieces = fitted.generate("the quick", temperature=0, max_tokens=10**9)
    assert "".join(next(pieces) for _ in range(4)) == " bro"


@pytest.mark.parametrize("stop", ["fox", ["dog.", "fox"], "ox jumps"])
def test_a_stop_text_ends_it_and_is_not_written(fitted: LanguageModel, stop: Any) -> None:
    whole = written(fitted, "the quick", temperature=0)
    first = min(whole.index(s) for s in ([stop] if isinstance(stop, str) else stop))
    assert written(fitted, "the quick", temperature=0, stop=stop) == whole[:first]


def test_what_only_looks_like_a_stop_text_is_written(fitted: LanguageModel) -> None:
    whole = written(fitted, "the quick", temperature=0)
    assert written(fitted, "the quick", temperature=0, stop=["foxes", "brown fog"]) == whole


def test_pieces_wait_for_whole_characters() -> None:
    tokenizer = Tokenizer("bytes")
    told = list(pieces_of_text(iter("é東".encode()), tokenizer, (), 99))
    assert told == ["é", "東"]
    assert "".join(pieces_of_text(iter([233, 65]), tokenizer, (), 99)) == "\ufffdA"
    assert list(pieces_of_text(iter([65, 256, 66]), tokenizer, (), 99)) == ["A"]  # 256 ends it


def test_a_nucleus_is_the_fewest_tokens_that_have_top_p() -> None:
    """p = .5 .3 .15 .05: top_p .6 keeps two of them, .8 too; .81 three."""
    logits = torch.tensor([0.15, 0.5, 0.05, 0.3]).log()
    for top_p, kept in (
        (0.5, {1}),
        (0.6, {1, 3}),
        (0.79, {1, 3}),
        (0.81, {0, 1, 3}),
        (1, {*range(4)}),
    ):
        generator = torch.Generator().manual_seed(0)
        assert {draw(logits, 1.0, top_p, generator) for _ in range(200)} == kept


def test_temperature_sharpens_and_flattens() -> None:
    """p ~ exp(z / T): of logits 0 and ln 4, the second has 4/5 at T = 1 and 16/17 at T = 1/2."""
    logits = torch.tensor([0.0, math.log(4)])
    for temperature, share in ((1.0, 4 / 5), (0.5, 16 / 17), (0.0, 1.0)):
        generator = torch.Generator().manual_seed(0)
        drawn = [draw(logits, temperature, 1.0, generator) for _ in range(1000)]
        assert np.mean(drawn) == pytest.approx(share, abs=0.03)


def test_an_empty_prompt_and_no_tokens_are_fine(fitted: LanguageModel) -> None:
    assert len(written(fitted, "", max_tokens=5)) == 5
    assert written(fitted, max_tokens=0) == ""
    assert written(fitted, "🙂 \ud800 東京", max_tokens=3)
    assert len(written(fitted, SENTENCE * 50, max_tokens=5)) == 5  # longer than the window


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", -1),
        ("temperature", math.nan),
        ("top_p", 0),
        ("top_p", 1.1),
        ("stop", [""]),
        ("max_tokens", -1),
        ("max_tokens", 1.5),
        ("seed", -1),
        ("prompt", None),
    ],
)
def test_a_wrong_argument_is_named_before_anything_is_written(
    fitted: LanguageModel, name: str, value: Any
) -> None:
    with pytest.raises(InputError, match=name):
        fitted.generate(**{name: value})


# -- saving, going on -----------------------------------------------------------------------------


@pytest.mark.parametrize("tokens", ["bytes", "characters", "bpe"])
def test_saved_and_loaded_it_is_the_same(tokens: str, tmp_path: Path) -> None:
    if tokens == "bpe":
        pytest.importorskip("tokenizers", reason='needs pip install "depthwise[text]"')
    model = make(epochs=1, tokens=tokens, vocabulary=280).fit(("né " + SENTENCE) * 9)
    model.save(tmp_path / "model")
    again = read_model(tmp_path / "model", FAMILIES)
    assert again.get_params() == model.get_params()
    assert np.array_equal(again.token_nats(SENTENCE), model.token_nats(SENTENCE))
    assert written(again, temperature=1.0) == written(model, temperature=1.0)
    assert sorted(p.name for p in (tmp_path / "model").iterdir()) == [
        "model.json",
        "model.safetensors",
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"tokens": {"kind": "bytes", "characters": "é", "merges": []}},
        {"tokens": {"kind": "characters", "characters": "é", "merges": []}},  # 258 tokens, not 257
        {"tokens": 5},
        {"n_classes": 10**12},
        {"input_shape": []},
        {"input_shape": [10**12]},
    ],
)
def test_a_description_that_lies_is_refused(
    fitted: LanguageModel, changes: dict[str, Any], tmp_path: Path
) -> None:
    path = fitted.save(tmp_path / "model") / "model.json"
    described = json.loads(path.read_text())
    described["network"] |= changes
    path.write_text(json.dumps(described))
    with pytest.raises(ModelFileError, match=r"model\.json"):
        read_model(tmp_path / "model", FAMILIES)


def test_partial_fit_learns_in_pieces() -> None:
    model = make(lr=5e-3)
    scores = []
    for _ in range(3):
        for _ in range(2):
            model.partial_fit(SENTENCE * 20)
        scores.append(model.bits_per_byte(SENTENCE * 3))
    assert scores[0] > scores[1] > scores[2]


def test_a_piece_shorter_than_the_window_is_learnt_from() -> None:
    model = make(lr=5e-3).partial_fit(SENTENCE * 3)
    before = model.bits_per_byte("zzz qqq")
    for _ in range(8):
        model.partial_fit("zzz qqq")
    assert model.input_shape_ == (32,)
    assert model.bits_per_byte("zzz qqq") < before - 1


def test_the_last_part_chooses_the_best_epoch() -> None:
    told = []
    model = make(epochs=3, validation_fraction=0.1).fit(SENTENCE * 20, watch=told.append)
    scores = [record["score"] for record in model.history_["epochs"]]
    assert len(scores) == 3
    assert told[-1].score == max(scores)


def test_a_limit_of_seconds_shortens_the_schedule() -> None:
    model = make(epochs=10_000).fit(SENTENCE * 20, seconds_limit=1.5)
    assert model.history_["seconds"] < 6
    assert 0 < model.history_["steps"] < 10_000


def test_it_learns_from_files_and_from_several_texts(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(SENTENCE * 5)
    model = make(epochs=1).fit([tmp_path / "a.txt", "and a text", ""])
    row = model._row(["ab", "", "c"]).tolist()
    assert row == [256, 97, 98, 256, 256, 99]


# -- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "a", []])
def test_too_little_text_is_told(text: Any) -> None:
    with pytest.raises(InputError, match="text"):
        make().fit(text)


def test_a_text_shorter_than_the_window_is_learnt() -> None:
    model = make(epochs=80).fit("abcabcabcabc")
    assert model.input_shape_ == (12,)
    assert written(model, "ab", temperature=0, max_tokens=4) == "cabc"


def test_text_of_any_script_is_learnt_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = make(epochs=1, tokens="characters").fit("東京🙂 \ud800 \0 שלום né " * 20)
    assert model.bits_per_byte("東京 \udfff") > 0


def test_a_file_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    (tmp_path / "old.txt").write_bytes(b"caf\xe9 " * 20)
    with pytest.raises(DataError, match=r"old\.txt is not utf-8: byte 3 \(0xe9\)"):
        make().fit(tmp_path / "old.txt")


def test_an_empty_text_has_no_score(fitted: LanguageModel) -> None:
    for score in (fitted.bits_per_byte, fitted.perplexity, fitted.nats_per_character):
        with pytest.raises(InputError, match="X is empty"):
            score("")


def test_an_answer_that_is_not_a_number_is_no_answer(fitted: LanguageModel) -> None:
    broken = pickle.loads(pickle.dumps(fitted))
    with torch.no_grad():
        broken.network_.transformer.norm.weight[0] = float("nan")
    with pytest.raises(DivergedError, match="not a number"):
        broken.bits_per_byte("the")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("size", "xxxl"),
        ("tokens", "words"),
        ("context", 1),
        ("dropout", 1.0),
        ("epochs", 0),
        ("batch_size", 0),
        ("lr", -1),
        ("optimizer", "sgd"),
        ("schedule", "step"),
        ("clip_norm", math.inf),
        ("validation_fraction", 1.0),
        ("precision", "fp16"),
        ("threads", 0),
        ("device", "tpu"),
    ],
)
def test_a_wrong_setting_is_named_with_its_value(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"(?s){name}.*{value}"):
        make(**{name: value}).fit(SENTENCE)

"""Counts mixed into a language model: probabilities, those of Kneser-Ney, that stay with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from depthwise.errors import InputError, ModelFileError
from depthwise.exporting.export import export
from depthwise.models.modelfile import read_model
from depthwise.tasks.language.generation import drawn_tokens
from depthwise.tasks.language.kneser_ney import KneserNey
from depthwise.tasks.language.language_model import LanguageModel
from depthwise.tasks.language.ngram_counts import Counts, best_share

FAMILIES = {"language": LanguageModel}
DRAWN = np.random.default_rng(0)
WORDS = ["to be", "or not", "that is", "the question", "whether", "nobler", "in the mind"]
TEXT = " ".join(DRAWN.choice(WORDS, 300))
QUICK: dict[str, Any] = {
    "size": "xxs",
    "context": 32,
    "epochs": 4,
    "batch_size": 16,
    "device": "cpu",
    "precision": "float32",
    "threads": 1,
    "validation_fraction": 0.2,
    "counts": 5,
}


@pytest.fixture(scope="module")
def fitted() -> LanguageModel:
    return LanguageModel(**QUICK).fit(TEXT)


@pytest.mark.parametrize("order", [1, 3, 5])
def test_what_is_expected_is_what_was_counted(order: int) -> None:
    row = DRAWN.choice(6, 400, p=[0.4, 0.2, 0.2, 0.1, 0.05, 0.05])
    counted = KneserNey(order, 7).fit(row)  # token 6 never occurs
    asked = DRAWN.choice(7, (2, 50))
    p = Counts.of(counted).expected(torch.from_numpy(asked))
    torch.testing.assert_close(p.sum(dim=2), torch.ones(2, 50))
    for tokens, found in zip(asked, p.numpy(), strict=True):
        nats = -np.log(found[np.arange(49), tokens[1:]])
        np.testing.assert_allclose(nats, counted.nats(tokens)[1:], rtol=1e-4)


def test_what_was_read_before_is_not_forgotten() -> None:
    counts = Counts.of(KneserNey(4, 5).fit(DRAWN.choice(5, 300)))
    tokens = torch.from_numpy(DRAWN.choice(5, (3, 20)))
    whole = counts.expected(tokens)
    for cut in (1, 2, 19):
        later = counts.expected(tokens[:, cut:], tokens[:, :cut])
        torch.testing.assert_close(later, whole[:, cut:])


def test_a_mixture_is_no_worse_than_either_where_its_share_was_found() -> None:
    network, counts = DRAWN.exponential(1.0, (2, 200))
    share = best_share(network, counts)
    mixed = -np.log(share * np.exp(-network) + (1 - share) * np.exp(-counts)).mean()
    assert 0 < share < 1
    assert mixed <= min(network.mean(), counts.mean()) + 1e-6


def test_counts_help_a_network_that_learnt_little(fitted: LanguageModel) -> None:
    unseen = " ".join(np.random.default_rng(1).choice(WORDS, 50))
    alone = LanguageModel(**{**QUICK, "counts": None}).fit(TEXT)
    assert fitted.nats_per_character(unseen) < alone.nats_per_character(unseen) - 0.1


def test_with_a_cache_it_writes_as_without(fitted: LanguageModel) -> None:
    begun = fitted._row(["whether "]).tolist()
    runs = []
    for cached in (True, False):
        drawn = torch.Generator().manual_seed(3)
        tokens = drawn_tokens(fitted.network_, begun, 32, 0.9, 1.0, drawn, cached)
        runs.append([token for _, token in zip(range(80), tokens)])
    assert runs[0] == runs[1]


def test_counts_are_saved_and_learning_more_keeps_them(
    fitted: LanguageModel, tmp_path: Path
) -> None:
    fitted.save(tmp_path / "m")
    again = read_model(tmp_path / "m", FAMILIES)
    np.testing.assert_array_equal(again.token_nats(TEXT[:99]), fitted.token_nats(TEXT[:99]))
    before = again.network_.counts.expected(torch.tensor([[116, 111]]))
    again.partial_fit(TEXT)
    torch.testing.assert_close(again.network_.counts.expected(torch.tensor([[116, 111]])), before)


def test_the_first_piece_of_text_is_what_is_counted() -> None:
    model = LanguageModel(**QUICK).partial_fit("aab" * 40)
    asked = torch.from_numpy(model.tokenizer_.encode("aa")[None].astype(np.int64))
    b = model.network_.counts.expected(asked)[0, 1]
    assert model.tokenizer_.pieces[int(b.argmax())] == b"b"


@pytest.mark.parametrize("sizes", [[], [[0, 1]], [[1, 1 << 40]], [[-1, 5]]])
def test_a_crafted_model_is_refused(fitted: LanguageModel, tmp_path: Path, sizes: Any) -> None:
    fitted.save(tmp_path / "m")
    file = tmp_path / "m" / "model.json"
    content = json.loads(file.read_text())
    content["network"]["counts"] = sizes
    file.write_text(json.dumps(content))
    with pytest.raises(ModelFileError):
        read_model(tmp_path / "m", FAMILIES)


@pytest.mark.parametrize("counts", [0, 21, 5.0, "5"])
def test_an_order_that_is_none_is_refused(counts: Any) -> None:
    with pytest.raises(InputError, match=r"counts must be a whole number in \[1, 20\]"):
        LanguageModel(**{**QUICK, "counts": counts}).fit(TEXT)


def test_an_order_too_high_for_the_tokens_is_refused_before_training() -> None:
    with pytest.raises(InputError, match="Lower the order"):
        LanguageModel(**{**QUICK, "counts": 9, "epochs": 1e6}).fit(TEXT)


def test_what_cannot_be_exported_says_what_to_do(fitted: LanguageModel, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="fit with counts=None"):
        export(fitted, "torch-export", tmp_path / "out")
    assert not (tmp_path / "out").exists()

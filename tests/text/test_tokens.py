"""Tokenisers and text files: nothing is lost, and what cannot be read is named."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from depthwise.errors import DataError, InputError
from depthwise.text.files import as_texts, read_text
from depthwise.text.tokens import KINDS, Tokenizer, as_bytes, learn_tokens

KNOWN = "the cat sat on the mat; né à Zürich, 東京 🙂 the cat"
ANY_TEXT = st.text(st.characters())  # lone surrogates among them


def learnt(kind: str) -> Tokenizer:
    if kind == "bpe":
        pytest.importorskip("tokenizers", reason='needs pip install "depthwise[text]"')
    return learn_tokens(kind, [KNOWN] * 3, vocabulary=300)


@pytest.fixture(scope="module", params=KINDS)
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return learnt(request.param)


@given(text=ANY_TEXT)
@example("")
@example("\0")
@example("the cat \ud83d\ude00 sat \udfff\ud800")
@example("👩‍👩‍👧 e\u0301 \u202e ﷽")
@settings(max_examples=60, deadline=None)
def test_any_text_comes_back(tokenizer: Tokenizer, text: str) -> None:
    tokens = tokenizer.encode(text)
    assert tokens.dtype == np.int32
    assert tokenizer.decode(tokens.tolist()) == text
    assert tokenizer.decode_bytes(tokens.tolist()) == text.encode("utf-8", "surrogatepass")
    assert ((tokens >= 0) & (tokens < tokenizer.end)).all()


@given(raw=st.binary())
@settings(max_examples=40, deadline=None)
def test_any_tokens_have_some_text(raw: bytes) -> None:
    text = learnt("bytes").decode(list(raw))
    assert text == raw.decode("utf-8", "replace") or as_bytes(text) == raw


def test_the_vocabularies_are_as_counted_by_hand() -> None:
    assert learnt("bytes").encode("né!").tolist() == [110, 195, 169, 33]
    characters = learnt("characters")
    assert characters.characters == "àéü京東🙂"  # by code point
    assert characters.encode("né!").tolist() == [110, 257, 33]
    assert characters.encode("nè!").tolist() == [110, 195, 168, 33]  # never seen: its bytes
    assert characters.size == 256 + 6 + 1


def test_byte_pairs_are_joined_most_frequent_first() -> None:
    pytest.importorskip("tokenizers")
    # "aab aab ab": ab occurs 3 times, more than any other pair; then a + ab and " " + ab, 2 times
    tokenizer = learn_tokens("bpe", ["aab", "aab", "ab"], vocabulary=258)
    assert tokenizer.pieces[256:] == [b"ab", b"aab"]
    assert tokenizer.merges == [(97, 98), (97, 256)]
    assert tokenizer.encode("aabab").tolist() == [257, 256]


def test_byte_pairs_agree_with_the_librarys_own_byte_level_tokeniser() -> None:
    tokenizers = pytest.importorskip("tokenizers")
    other = tokenizers.ByteLevelBPETokenizer()
    other.train_from_iterator([KNOWN] * 3, vocab_size=300, min_frequency=2, show_progress=False)
    ours = learnt("bpe")
    for text in (KNOWN, "a cat that sat", "mat东"):
        pieces = [ours.decode_bytes([token]) for token in ours.encode(text).tolist()]
        spelt = [other.id_to_token(token) for token in other.encode(text).ids]
        assert [len(piece) for piece in pieces] == [len(piece) for piece in spelt]


def test_it_comes_back_from_json_and_pickle(tokenizer: Tokenizer) -> None:
    plain = json.loads(json.dumps(tokenizer.to_plain()))
    for again in (Tokenizer.from_plain(plain), pickle.loads(pickle.dumps(tokenizer))):
        assert again.pieces == tokenizer.pieces
        assert again.encode("the cats 🙂").tolist() == tokenizer.encode("the cats 🙂").tolist()


@pytest.mark.parametrize(
    "plain",
    [
        {"kind": "bpe", "characters": "", "merges": [[97, 256]]},  # a piece that is not there yet
        {"kind": "bpe", "characters": "", "merges": [[97, -1]]},
        {"kind": "bpe", "characters": "", "merges": [[97.0, 98]]},
        {"kind": "bytes", "characters": "é", "merges": []},
        {"kind": "characters", "characters": "éé", "merges": []},
        {"kind": "characters", "characters": "a", "merges": []},
        {"kind": "words", "characters": "", "merges": []},
        {"kind": "bytes", "characters": 5, "merges": []},
        {"kind": "bytes"},
    ],
)
def test_a_vocabulary_that_contradicts_itself_is_refused(plain: dict[str, object]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        Tokenizer.from_plain(plain)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(("words", ["a"]), "tokens must be one of"), (("bpe", ["a"], 20), "vocabulary must be 256")],
)
def test_wrong_kinds_and_sizes_are_named(arguments: tuple[object, ...], words: str) -> None:
    with pytest.raises(InputError, match=words):
        learn_tokens(*arguments)  # type: ignore[arg-type]


# -- files ----------------------------------------------------------------------------------------


def test_a_file_that_is_not_utf8_is_named_with_its_byte_and_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "old.txt"
    path.write_bytes("Zürich".encode("latin-1"))
    with pytest.raises(DataError, match=r"old\.txt is not utf-8: byte 1 \(0xfc\).*latin-1"):
        read_text(path)
    assert read_text(path, "latin-1") == "Zürich"


def test_a_utf16_file_is_recognised_by_its_mark(tmp_path: Path) -> None:
    path = tmp_path / "windows.txt"
    path.write_bytes("東京".encode("utf-16"))
    with pytest.raises(DataError, match="begins like utf-16"):
        read_text(path)
    assert read_text(path, "utf-16") == "東京"


def test_the_mark_of_utf8_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfabc")
    assert read_text(tmp_path / "a.txt") == "abc"


def test_missing_files_folders_and_encodings_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        read_text(tmp_path / "none.txt")
    with pytest.raises(DataError, match="directory"):
        read_text(tmp_path)
    (tmp_path / "a").write_text("a")
    with pytest.raises(InputError, match="no encoding 'utf-9'"):
        read_text(tmp_path / "a", "utf-9")


def test_strings_are_text_and_paths_are_files(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("from a file")
    assert as_texts("itself") == ["itself"]
    assert as_texts([tmp_path / "a.txt", ""]) == ["from a file", ""]
    assert as_texts(np.array([["one"], ["column"]], dtype=object)) == ["one", "column"]


def test_the_name_of_a_file_is_not_taken_for_its_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("from a file")
    with pytest.raises(InputError, match=r"To read it: Path\("):
        as_texts(str(tmp_path / "a.txt"))


@pytest.mark.parametrize("wrong", [[None], [3.5], 7, b"abc", [["a"]], []])
def test_what_is_no_text_is_named(wrong: object) -> None:
    with pytest.raises(InputError, match="X"):
        as_texts(wrong)
